"""What an idle worker and the launcher do: nothing.

A process that wakes up is switched to, and the kernel counts that; so no change of the
counters means no wake-up and no query. Reading them does not touch the process.
"""

import time

from app import App
from lab import switches, wait_until
from stats import Row

NAME = "idle"


def rows(lab, scale):
    with App(lab, "idle") as app:
        # one delivery first: an idle worker is one that has worked
        app.connect(0, lab.url("h1"))
        app.fill(1)
        app.drain(1)
        app.deliver(True)
        settle = max(2, scale.idle_settle)
        pids = app.workers() + lab.worker_processes("launcher")
        wait_until(lambda: len(pids) >= 2, 1, "a worker and a launcher")
        time.sleep(settle)  # what the reload just before set off comes to rest
        before = {pid: switches(pid) for pid in pids}
        time.sleep(scale.idle_seconds)
        woken = sum(switches(pid) - before[pid] for pid in pids)
    return [Row(f"wake-ups of worker and launcher in {scale.idle_seconds} s without work", [woken], at_most=0,
                note=f"{len(pids)} processes, after a delivery")]
