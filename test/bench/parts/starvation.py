"""Endpoints that answer, beside a thousand that hang, are slow or fail, from a restart on.

All thousand have a backlog and are known for what they are, as they are in a server that has run.
Time counts from the moment that the worker sends its first requests again.
"""

from concurrent.futures import ThreadPoolExecutor

from app import App
from lab import wait_until
from parts.latency import arrivals, latencies, traffic
from stats import Row, number, percentile

NAME = "starvation"
FIRST = 100  # workspace of the first of the thousand
BAD = ("/hangs", "/after1", "/after2", "/after3", "/fails")

# workspace: path, milliseconds until it answers, events a second, bar for its answers (ms)
OBSERVED = {0: ("/", 0, 20, 50), 1: ("/after/500", 500, 4, 1100), 2: ("/after/1200", 1200, 2, 2500)}


def connect_all(lab, app, scale):
    app.workspaces(1, 2)
    app.workspaces(FIRST, scale.bad)
    for workspace, (path, *_) in OBSERVED.items():
        app.connect(workspace, lab.url("arrival", path))
    each = scale.bad // len(BAD)
    for n, path in enumerate(BAD):
        app.connect((FIRST + n * each, FIRST + (n + 1) * each - 1), lab.url("h1", path))


def events(lab, app, run, seconds):
    """Events of all that are observed at the same time; the marks of each one's."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(OBSERVED, pool.map(
            lambda item: traffic(lab, app, f"{run}{item[0]}", seconds, item[0], item[1][2], 1), OBSERVED.items())))


def rows(lab, scale):
    with App(lab, "starvation") as app:
        connect_all(lab, app, scale)
        app.fill(20 * scale.bad, (FIRST, FIRST + scale.bad - 1))
        with arrivals(lab) as sink:
            app.deliver(True)
            events(lab, app, "learn", scale.learning_seconds)
            wait_until(lambda: not any(app.pending(w) for w in OBSERVED), 300, "what came meanwhile is delivered")
            app.deliver(False)
            app.fill(20 * scale.bad, (FIRST, FIRST + scale.bad - 1))
            app.sql.lines("ALTER SYSTEM SET featul_integrations.delivery = on")
            app.sql.close()
            lab.stop_cluster()
            lab.start_cluster()
            app.reopen()
            wait_until(lambda: app.sql.value("SELECT sum(in_flight) > 0 FROM featul_integrations.stat_worker") == "t",
                       30, "the worker sends again")
            sent = events(lab, app, "run", scale.starvation_seconds)
            wait_until(lambda: not any(app.pending(w) for w in OBSERVED), 60, "all is delivered")
            in_flight = app.sql.value("SELECT sum(in_flight) FROM featul_integrations.stat_worker")
        app.deliver(False)
    result = []
    for workspace, (_, answers_in, rate, bar) in OBSERVED.items():
        commit, _ = latencies(sent[workspace], sink.times)
        what = "p99 of a fast endpoint" if answers_in == 0 else f"the same of one that answers in {number(answers_in / 1000, 's')}"
        result.append(Row(f"{what}, commit to answer, beside {number(scale.bad)} that hang, are slow or fail, from a restart on",
                          [percentile(commit, 99) + answers_in], "ms", at_most=bar,
                          note=f"p50 {number(percentile(commit, 50) + answers_in, 'ms')}; {len(commit)} events, {rate} a second; "
                               f"{in_flight} requests in flight in the end"))
    return result
