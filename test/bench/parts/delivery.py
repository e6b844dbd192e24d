"""How fast a backlog drains to one fast endpoint, against libcurl alone.

The worker's time is from switching delivery on until every delivery is recorded; the bare
loop (bare.c) sends the same bodies over as many connections to the same nginx.
"""

from statistics import median

from app import App
from lab import CONNECTIONS, memory
from stats import Row, number, ratios

NAME = "delivery"
FIRST, HOSTS = 100, 250  # workspaces with a host each


def dump_bodies(lab, app):
    """The bodies that are pending, one a line, as a file."""
    return lab.file("bodies", "\n".join(app.sql.lines("SELECT payload FROM featul_integrations.event ORDER BY id")) + "\n")


def bare(lab, sink, bodies):
    """Seconds and processor seconds that the bare loop takes for all bodies."""
    output = lab.run([lab.folder / "bare", lab.url(sink), lab.folder / "bundle.pem",
                      f"{sink}.sink.test:443:127.0.0.1:{lab.ports[sink]}", CONNECTIONS, "h1", bodies])
    _, took, _, used = output.split()
    return float(took), float(used)


class Measured:
    """Rates and processor times of one sink, ours and the bare loop's."""

    def __init__(self):
        self.rates, self.limits, self.cpu, self.cpu_bare = [], [], [], []

    def add(self, count, ours, alone):
        self.rates.append(count / ours[0])
        self.cpu.append(ours[1] / count * 1e6)
        self.limits.append(count / alone[0])
        self.cpu_bare.append(alone[1] / count * 1e6)

    def row(self, what, at_least=None):
        return Row(what, ratios(self.rates, self.limits), "×", at_least=at_least,
                   note=f"{number(median(self.rates))} of {number(median(self.limits))} deliveries/s")

    def cpu_row(self, what):
        return Row(what, self.cpu, "µs", note=f"bare loop {number(median(self.cpu_bare), 'µs')}")


def many_hosts(lab):
    """Memory and processor time of connections to many hosts, one after the other and all kept open."""
    with App(lab, "hosts") as app:
        app.workspaces(FIRST, HOSTS)
        app.sql.lines(f"""SELECT integration_connect('w' || n, 'webhook', 'https://n' || n || '.sink.test/')
            FROM generate_series({FIRST}, {FIRST + HOSTS - 1}) n""")
        app.connect(0, lab.url("h1"))
        app.fill(100)
        app.drain(100)
        idle = memory(app.worker())
        app.fill(HOSTS, (FIRST, FIRST + HOSTS - 1))
        _, used = app.drain(HOSTS)
        open_now = memory(app.worker())
    return [
        Row(f"worker's memory for connections to {HOSTS} hosts", [(open_now - idle) / 2**20], "MB",
            note=f"idle {number(idle / 2**20, 'MB')}; the system's CA bundle is trusted"),
        Row("processor time for the first delivery to a host", [used / HOSTS * 1e3], "ms"),
    ]


def rows(lab, scale):
    # a new connection for each request takes some thirty times as long
    counts = {"h1": scale.deliveries, "h2": scale.deliveries, "closing": scale.deliveries // 20}
    measured = {sink: Measured() for sink in counts}
    with App(lab, "delivery") as app:
        for n in range(scale.delivery_rounds + 1):
            for sink, count in counts.items():
                app.connect(0, lab.url(sink))
                app.fill(count)
                bodies = dump_bodies(lab, app)
                ours = app.drain(count)
                alone = bare(lab, sink, bodies)
                app.forget()
                if n > 0:  # the first round warms up
                    measured[sink].add(count, ours, alone)

    return [
        measured["h1"].row("drain to one endpoint", 0.7),
        measured["h2"].row("the same, the endpoint offers HTTP/2 as well"),
        measured["closing"].row("the same, the endpoint closes each connection", 0.7),
        measured["h1"].cpu_row("processor time for a delivery"),
        measured["closing"].cpu_row("the same on a new connection"),
        *many_hosts(lab),
    ]
