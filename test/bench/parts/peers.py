"""The same backlog through what an application would use instead.

graphile-worker and pg-boss (Node.js) with undici, in batches, over as many connections to
the same nginx, each payload signed; neither keeps the order per post. Interleaved with the
worker and the bare loop, HTTP/1.1.
"""

import shutil
from statistics import median

from app import App
from lab import CONNECTIONS, HERE, BenchError
from parts.delivery import bare, dump_bodies
from stats import Row, number, ratios

NAME = "peers"
PEERS = ("graphile-worker", "pg-boss")


def install(lab):
    """Installs the peers into the lab; None, or why it cannot be done."""
    if not shutil.which("npm"):
        return "npm is not installed"
    folder = lab.folder / "peers"
    shutil.copytree(HERE / "peers", folder, ignore=shutil.ignore_patterns("node_modules"))
    shutil.chown(folder, lab.owner.pw_uid, lab.owner.pw_gid)
    try:
        lab.run(["env", "-C", folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"])
    except BenchError:
        return "npm could not install it"
    return None


def fresh_database(lab, app, bodies):
    """An empty database `peer` with the bodies in bench_body."""
    app.sql.lines("DROP DATABASE IF EXISTS peer")
    app.sql.lines("CREATE DATABASE peer")
    lab.run([lab.pg("psql"), "-XAtq", *lab.to("peer"), "-c", "CREATE TABLE bench_body (body json)",
             "-c", f"\\copy bench_body FROM '{bodies}' CSV QUOTE E'\\x01' DELIMITER E'\\x02'"])


def peer_rate(lab, app, peer, bodies, count):
    """Deliveries a second of one peer."""
    fresh_database(lab, app, bodies)
    output = lab.run(["node", lab.folder / "peers" / "peer.mjs", peer, lab.folder, lab.ports["pg"], "peer",
                      lab.ports["h1"], lab.folder / "ca.pem", CONNECTIONS],
                     environment={"PGUSER": lab.owner.pw_name})
    return count / float(output.split()[1])


def pg_net_row(app):
    present = app.sql.value("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_net')") == "t"
    return Row("pg_net", note="not measured: it cannot be told to trust the test CA" if present
               else "not measured: the extension is not installed here")


def rows(lab, scale):
    missing = install(lab)
    count = scale.peer_deliveries
    rates = {name: [] for name in ("ours", "bare", *PEERS)}
    with App(lab, "peers") as app:
        app.connect(0, lab.url("h1"))
        bodies = None
        for _ in range(scale.peer_rounds):
            app.fill(count)
            bodies = bodies or dump_bodies(lab, app)
            took, _ = app.drain(count)
            app.forget()
            rates["ours"].append(count / took)
            rates["bare"].append(count / bare(lab, "h1", bodies)[0])
            for peer in PEERS if not missing else ():
                rates[peer].append(peer_rate(lab, app, peer, bodies, count))
        app.sql.lines("DROP DATABASE IF EXISTS peer")
        net = pg_net_row(app)

    def row(what, name):
        if not rates[name]:
            return Row(what, note=f"not measured: {missing}")
        return Row(what, ratios(rates[name], rates["bare"]), "×",
                   note=f"{number(median(rates[name]))} deliveries/s")

    return [
        row("featul_integrations, of the bare loop", "ours"),
        *(row(f"{peer} with undici, of the bare loop", peer) for peer in PEERS),
        net,
    ]
