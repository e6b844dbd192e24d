"""How fast a backlog drains to one fast endpoint, against libcurl alone.

The worker's time is from switching delivery on until every delivery is recorded; the bare
loop (bare.c) sends the same bodies over as many connections to the same nginx.
"""

from statistics import median

from app import App
from lab import CONNECTIONS
from stats import Row, number, ratios

NAME = "delivery"


def dump_bodies(lab, app):
    """The bodies that are pending, one a line, as a file."""
    return lab.file("bodies", "\n".join(app.sql.lines("SELECT payload FROM featul_integrations.event ORDER BY id")) + "\n")


def bare(lab, sink, bodies):
    """Seconds and processor seconds that the bare loop takes for all bodies."""
    output = lab.run([lab.folder / "bare", lab.url(sink), lab.folder / "ca.pem",
                      f"{sink}.sink.test:443:127.0.0.1:{lab.ports[sink]}", CONNECTIONS, sink, bodies])
    _, took, _, used = output.split()
    return float(took), float(used)


def rows(lab, scale):
    count = scale.deliveries
    rates = {}
    cpu = {}
    with App(lab, "delivery") as app:
        bodies = None
        for n in range(scale.delivery_rounds + 1):
            for sink in ("h1", "h2"):
                app.connect(0, lab.url(sink))
                app.fill(count)
                bodies = bodies or dump_bodies(lab, app)
                took, used = app.drain(count)
                alone, used_alone = bare(lab, sink, bodies)
                app.forget()
                if n > 0:  # the first round warms up
                    rates.setdefault(sink, []).append(count / took)
                    rates.setdefault(f"bare {sink}", []).append(count / alone)
                    cpu.setdefault(sink, []).append(used / count * 1e6)
                    cpu.setdefault(f"bare {sink}", []).append(used_alone / count * 1e6)

    def row(sink, name):
        ours, limit = rates[sink], rates[f"bare {sink}"]
        return Row(f"drain to one endpoint, {name}", ratios(ours, limit), "×", at_least=0.6,
                   note=f"{number(median(ours))} of {number(median(limit))} deliveries/s")

    def cpu_row(sink, name):
        return Row(f"processor time for a delivery, {name}", cpu[sink], "µs",
                   note=f"bare loop {number(median(cpu[f'bare {sink}']), 'µs')}")

    return [
        row("h1", "HTTP/1.1"),
        row("h2", "HTTP/2"),
        cpu_row("h1", "HTTP/1.1"),
        cpu_row("h2", "HTTP/2"),
    ]
