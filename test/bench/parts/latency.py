"""How long after the commit a request arrives, at 200 events a second.

pgbench inserts posts at that rate; its log says when the application had its COMMIT back.
The sink (arrival.c) notes when each request was complete, on the same clock. Counting from
the moment the INSERT was sent is shown too: it contains the statement and its commit.
"""

import subprocess
from contextlib import contextmanager

from app import CONTENT, App
from lab import BenchError, wait_until
from stats import Row, number, percentile

NAME = "latency"
RATE = 200
CLIENTS = 4

INSERT = """\\set n :n + 1
INSERT INTO public.post (id, board_id, title, content, slug, author_id)
VALUES (gen_random_uuid(), '{board}', 'bench:{run}.:client_id.:n', '{content}', gen_random_uuid(), '{author}');
"""


class Arrivals:
    """The sink that notes arrivals."""

    def __init__(self, lab):
        self.lab = lab
        self.output = open(lab.folder / "arrivals", "w")
        self.process = lab.start([lab.folder / "arrival", lab.ports["arrival"], lab.folder / "sink.pem",
                                  lab.folder / "sink.key"], stdin=subprocess.PIPE, stdout=self.output)
        wait_until(lambda: lab.listening("arrival"), 10, "the sink that notes arrivals")

    def stop(self):
        """Ends it; {mark: microseconds} of all that arrived, the first arrival of each."""
        self.process.stdin.close()
        self.process.wait()
        self.output.close()
        times = {}
        for line in open(self.lab.folder / "arrivals"):
            time, mark = line.split()
            times.setdefault(mark, int(time))
        return times


@contextmanager
def arrivals(lab):
    """The sink for the time of the block; its times are then in .times."""
    sink = Arrivals(lab)
    try:
        yield sink
    finally:
        sink.times = sink.stop()


def traffic(lab, app, run, seconds, workspace=0, rate=RATE, clients=CLIENTS):
    """Inserts posts at a steady rate; {mark: (sent, committed)} in microseconds."""
    script = lab.file(f"{run}.sql", INSERT.format(
        board=f"b{workspace}", author=f"u{workspace}", run=run, content=CONTENT.replace("'", "''")))
    prefix = f"pgbench_{run}"
    lab.run([lab.pg("pgbench"), "-n", "-c", clients, "-R", rate, "-T", seconds, "-D", "n=0", "-f", script,
             "-l", "--log-prefix", prefix, *lab.to(app.name)[:-2], app.name])
    times = {}
    counts = {}
    for path in lab.folder.glob(f"{prefix}*"):
        for line in open(path):
            client, _, took, _, second, micros, *_ = line.split()
            counts[client] = counts.get(client, 0) + 1
            committed = int(second) * 1000000 + int(micros)
            times[f"{run}.{client}.{counts[client]}"] = (committed - float(took), committed)
        path.unlink()
    return times


def latencies(sent, arrived):
    """Milliseconds from commit to arrival and from the statement to arrival, sorted by nothing."""
    missing = [mark for mark in sent if mark not in arrived]
    if missing:
        raise BenchError(f"{len(missing)} of {len(sent)} deliveries did not arrive")
    return ([(arrived[mark] - committed) / 1e3 for mark, (_, committed) in sent.items()],
            [(arrived[mark] - start) / 1e3 for mark, (start, _) in sent.items()])


def rows(lab, scale):
    runs = []
    with App(lab, "latency") as app:
        app.connect(0, lab.url("arrival"))
        app.deliver(True)
        with arrivals(lab) as sink:
            traffic(lab, app, "warm", 1)
            for n in range(scale.latency_rounds):
                runs.append(traffic(lab, app, f"r{n}", scale.latency_seconds))
            wait_until(lambda: not app.pending(), 60, "all is delivered")
    commit = []
    statement = []
    for run in runs:
        from_commit, from_statement = latencies(run, sink.times)
        commit.append(from_commit)
        statement.append(from_statement)
    n = number(sum(map(len, runs)))
    return [
        Row("commit to request received, 200 events/s: p50", [percentile(r, 50) for r in commit], "ms", at_most=3, note=f"{n} events"),
        Row("commit to request received, 200 events/s: p99", [percentile(r, 99) for r in commit], "ms", at_most=20,
            note=f"slowest {number(max(map(max, commit)), 'ms')}"),
        Row("INSERT sent to request received: p50", [percentile(r, 50) for r in statement], "ms"),
        Row("INSERT sent to request received: p99", [percentile(r, 99) for r in statement], "ms"),
    ]
