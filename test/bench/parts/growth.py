"""Drain rate and memory as the backlog grows, with 1, 2 and 4 workers.

The backlog is spread over 16 workspaces, so that every worker owns some. The plot goes to
docs/performance-growth.svg with --write.
"""

import threading
import time
from statistics import median

from app import App
from lab import memory
from plot import line_plot
from stats import Row, number

NAME = "growth"
WORKSPACES = 16
PLOT = "performance-growth.svg"


class PeakMemory(threading.Thread):
    """Watches the anonymous memory of processes, ten times a second."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids = pids
        self.peak = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.peak = max(self.peak, *map(memory, self.pids))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def measure(app, size, rounds, idle):
    """Median rate of so many pending, and the largest worker's memory above an idle one's."""
    rates = []
    peak = 0
    for _ in range(rounds):
        app.fill(size, (0, WORKSPACES - 1))
        with PeakMemory(app.workers()) as watched:
            took, _ = app.drain(size, seconds=1200)
        peak = max(peak, watched.peak)
        rates.append(size / took)
        app.forget()
    return median(rates), max(0, peak - idle)


def rows(lab, scale):
    lines = {}
    result = []
    for workers in scale.worker_counts:
        lab.restart_with(workers=workers)
        with App(lab, f"growth{workers}") as app:
            app.workspaces(1, WORKSPACES - 1)
            app.connect((0, WORKSPACES - 1), lab.url("h1"))
            idle = max(map(memory, app.workers()))
            measure(app, 1000, 1, idle)
            for size in scale.sizes:
                rate, above = measure(app, size, 1 if size > 100_000 else scale.growth_rounds, idle)
                lines.setdefault(f"{workers} worker{'s' if workers > 1 else ''}", []).append((size, rate))
                result.append(Row(f"{number(size)} pending, {workers} worker{'s' if workers > 1 else ''}", [rate],
                                  "deliveries/s", note=f"memory of a worker {number(above / 2**20, 'MB')} above idle"))
    lab.restart_with(workers=1)
    lab.plots[PLOT] = line_plot(lines, "deliveries pending at the start", "deliveries per second")
    return result
