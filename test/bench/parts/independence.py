"""What other people's trouble costs: dead and silent endpoints, an old snapshot, many tenants.

Drain rates are compared before, with and after the trouble: `before` and `after` are the
rate without. The old snapshot belongs to a transaction that also has a transaction id, and
while it is open deliveries go on, so that dead rows pile up that nothing can remove.
"""

import os
import subprocess
import time
from contextlib import closing, contextmanager
from statistics import median

from app import App
from lab import BenchError, Session, memory, wait_until
from parts.latency import arrivals, latencies, traffic
from stats import Row, number, percentile

NAME = "independence"
TROUBLE = 9  # the workspace that has the trouble
CHURN_PAUSE = 4  # seconds between the drains while a transaction is open


def drain_rates(app, scale, rounds):
    """(deliveries a second, microseconds of processor time for one) of workspace 0's
    backlog, round by round.

    What the application's INSERTs leave to be written (after a checkpoint, whole pages all
    over a large table) goes to disk first: the drain would otherwise wait behind it.
    """
    rates = []
    for _ in range(rounds):
        app.fill(scale.deliveries)
        os.sync()
        took, used = app.drain(scale.deliveries, workspace=0)
        rates.append((scale.deliveries / took, used / scale.deliveries * 1e6))
    return rates


def against(what, with_trouble, without, note=""):
    """The rates with trouble, each as a part of the median rate without."""
    usual, usual_cpu = (median(column) for column in zip(*without))
    now, now_cpu = (median(column) for column in zip(*with_trouble))
    return Row(what, [rate / usual for rate, _ in with_trouble], "×", at_least=0.9,
               note=f"{number(now)} of {number(usual)} deliveries/s, processor time for one "
                    f"{number(now_cpu)} and {number(usual_cpu, 'µs')}{note}")


def dead_endpoint(lab, scale):
    """Drain rate, start-up and memory with very many pending for an endpoint that is down."""
    rounds = scale.independence_rounds
    with App(lab, "dead") as app:
        app.workspaces(TROUBLE, 1)
        app.connect(0, lab.url("h1"))
        drain_rates(app, scale, 1)
        without = drain_rates(app, scale, rounds)
        idle = memory(app.worker())
        app.connect(TROUBLE, lab.url("dead"))
        app.fill(scale.dead, (TROUBLE, TROUBLE))
        app.sql.lines("VACUUM ANALYZE; CHECKPOINT")  # or autovacuum takes one of two cores
        with_trouble = drain_rates(app, scale, rounds)
        peak = max(memory(pid) for pid in app.workers())
        start_up = []
        for n in range(rounds):
            start_up.append(start_up_seconds(lab, app))
            peak = max(peak, *(memory(pid) for pid in app.workers()))
        app.sql.lines("SELECT integration_disconnect('w9', 'webhook')")
        wait_until(lambda: not app.pending(), 600, "what was pending is cancelled")
        app.sql.lines("VACUUM ANALYZE; CHECKPOINT")
        without += drain_rates(app, scale, rounds)
    n = number(scale.dead)
    return [
        against(f"drain rate with {n} more pending for a dead endpoint", with_trouble, without),
        Row(f"start of the server to first request, {n} pending for another", start_up, "s", at_most=5),
        Row(f"worker's memory above an idle one's, {n} pending", [max(0, peak - idle) / 2**20], "MB", at_most=32,
            note=f"idle {number(idle / 2**20, 'MB')} anonymous"),
    ]


def start_up_seconds(lab, app):
    """Restarts the cluster with one delivery pending; seconds from the start of the server
    until it arrives."""
    app.sql.lines(app.insert_posts(1))
    app.sql.lines("ALTER SYSTEM SET featul_integrations.delivery = on")
    app.sql.close()
    lab.stop_cluster()
    before = lab.requests()
    start = time.monotonic()
    lab.start_cluster()
    wait_until(lambda: lab.requests() > before, 60, "the first request after a restart")
    took = time.monotonic() - start
    app.reopen()
    app.deliver(False)
    return took


def open_transaction(lab, scale):
    """Drain rate while a transaction has been open for long and dead rows cannot go."""
    rounds = scale.independence_rounds
    with App(lab, "snapshot") as app:
        app.connect(0, lab.url("h1"))
        drain_rates(app, scale, 1)
        without = drain_rates(app, scale, rounds)
        with closing(Session(lab, app.name)) as old:
            old.lines("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id(), count(*) FROM public.post")
            opened = time.monotonic()
            churned = 0
            while time.monotonic() - opened < scale.open_seconds:
                churned += scale.deliveries
                drain_rates(app, scale, 1)
                time.sleep(min(CHURN_PAUSE, scale.open_seconds / 10))
            with_trouble = drain_rates(app, scale, rounds)
            minutes = (time.monotonic() - opened) / 60
            old.lines("COMMIT")
        app.sql.lines("VACUUM ANALYZE featul_integrations.queue")
        without += drain_rates(app, scale, rounds)
    return [against(f"drain rate with a transaction open for {number(minutes)} minutes", with_trouble, without,
                    f"; {number(churned)} dead rows in queue")]


def silent_endpoint(lab, scale):
    """Another tenant's p99 while one tenant has very many pending on a silent endpoint."""
    alone, beside = [], []
    with App(lab, "silent") as app:
        app.workspaces(TROUBLE, 1)
        app.connect(0, lab.url("arrival"))
        sent = {}
        with arrivals(lab) as sink:
            for n in range(scale.silent_cycles):
                app.deliver(True)
                traffic(lab, app, "warm", 1)
                sent[f"alone{n}"] = traffic(lab, app, f"alone{n}", scale.latency_seconds)
                app.connect(TROUBLE, lab.url("arrival", "/silent"))
                app.fill(scale.silent, (TROUBLE, TROUBLE))
                sent[f"beside{n}"] = traffic(lab, app, f"beside{n}", scale.latency_seconds)
                app.sql.lines("SELECT integration_disconnect('w9', 'webhook')")
                wait_until(lambda: not app.pending(), 600, "what was pending is cancelled")
        for run, times in sent.items():
            commit, _ = latencies(times, sink.times)
            (alone if run.startswith("alone") else beside).append(percentile(commit, 99))
    return [Row(f"another tenant's p99 beside {number(scale.silent)} pending on a silent endpoint",
                [b / a for a, b in zip(alone, beside)], "×", at_most=2,
                note=f"{number(median(beside), 'ms')} instead of {number(median(alone), 'ms')}")]


@contextmanager
def changes(lab, app):
    """While it lasts, one admin rotates a secret, again and again."""
    script = lab.file("rotate.sql", "SET featul_integrations.operator = on;\nSELECT integration_rotate_secret('w150');\n")
    process = lab.start([lab.pg("pgbench"), "-n", "-c", 1, "-T", 3600, "-f", script, *lab.to(app.name)[:-2], app.name],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def many_integrations(lab, scale):
    """Drain rate and latency of one tenant among very many active ones."""
    with App(lab, "many") as app:
        app.connect(0, lab.url("h1"))
        drain_rates(app, scale, 1)
        without = drain_rates(app, scale, scale.independence_rounds)
        app.workspaces(100, scale.tenants)
        app.connect((100, 99 + scale.tenants), lab.url("h1", "/other"))
        app.sql.lines("ANALYZE")
        to_one = drain_rates(app, scale, scale.independence_rounds)
        to_all = []
        for _ in range(scale.independence_rounds):
            app.fill(scale.deliveries, (100, 99 + scale.tenants))
            took, _ = app.drain(scale.deliveries)
            to_all.append(scale.deliveries / took)
        app.connect(0, lab.url("arrival"))
        app.deliver(True)
        with arrivals(lab) as sink:
            traffic(lab, app, "warm", 1)
            sent = traffic(lab, app, "many", scale.latency_seconds)
            wait_until(lambda: not app.pending(), 60, "all is delivered")
            with changes(lab, app):
                traffic(lab, app, "warmer", 1)
                sent_amid = traffic(lab, app, "amid", scale.latency_seconds)
                wait_until(lambda: not app.pending(), 60, "all is delivered")
        app.deliver(False)
        app.connect(0, lab.url("h1"))
        with changes(lab, app):
            amid = drain_rates(app, scale, scale.independence_rounds)
        commit, _ = latencies(sent, sink.times)
        commit_amid, _ = latencies(sent_amid, sink.times)
    n = number(scale.tenants)
    return [
        against(f"drain rate with {n} active integrations", to_one, without),
        Row(f"the same, backlog spread over all {n}", [rate / median(rate for rate, _ in without) for rate in to_all], "×",
            at_least=0.85),
        Row(f"p99 with {n} active integrations, 200 events/s", [percentile(commit, 99)], "ms", at_most=20),
        Row("more of it while one admin changes settings in a loop", [percentile(commit_amid, 99) - percentile(commit, 99)],
            "ms", at_most=20, note=f"{number(percentile(commit_amid, 99), 'ms')}"),
        Row("drain rate meanwhile, of that without", [rate / median(rate for rate, _ in to_one) for rate, _ in amid], "×",
            note=f"{number(median(rate for rate, _ in amid))} deliveries/s; the admin has a backend of its own, on two cores"),
    ]


def rows(lab, scale):
    return [
        *dead_endpoint(lab, scale),
        *open_transaction(lab, scale),
        *silent_endpoint(lab, scale),
        *many_integrations(lab, scale),
    ]
