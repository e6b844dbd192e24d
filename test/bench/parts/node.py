"""A delivery node: what capture costs its apply worker, how late it is, what its publisher pays.

The lab's cluster is the node; a second one without the extension is the publisher, on the same
two cores. Both are set up by the files in deploy/node.

Apply: so many single-row transactions are committed on the publisher while the subscription is
disabled, then applied; the processor time of the apply worker from its start, with the row
triggers and without, divided by the transactions. Delivery is off meanwhile.

Latency: as in part latency, from the publisher's commit to the request received.

The publisher: how much processor time its walsender takes for a transaction, and the rate of
single-row INSERTs with a node that follows and with none.
"""

import re
from contextlib import closing, contextmanager

from app import App
from lab import TREE, Session, free_port, wait_until
from parts.capture import INSERT
from parts.latency import CONTENT, arrivals, latencies, traffic
from stats import Row, number, percentile, ratios

NAME = "node"
DEPLOY = TREE / "deploy" / "node"

PUBLISHER_CONF = """
listen_addresses = ''
wal_level = logical
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 30min
log_min_messages = warning
"""


class Publisher:
    """A cluster without the extension; for what is run against it, a lab that leads there."""

    name = "postgres"

    def __init__(self, lab):
        self.lab = lab
        self.data = lab.folder / "publisher"
        self.port = free_port()

    def __getattr__(self, name):
        return getattr(self.lab, name)

    def to(self, database):
        return ["-h", str(self.lab.folder), "-p", str(self.port), "-U", self.lab.owner.pw_name, "-d", database]

    def conninfo(self):
        return f"host={self.lab.folder} port={self.port} dbname=postgres user=featul_node"

    def start_cluster(self):
        self.run([self.pg("initdb"), "-D", self.data, "-U", self.owner.pw_name, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"])
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(PUBLISHER_CONF + f"unix_socket_directories = '{self.folder}'\nport = {self.port}\n")
        self.pg_ctl("start", "-l", self.folder / "publisher.log")

    def pg_ctl(self, *what):
        self.run([self.pg("pg_ctl"), "-w", "-t", "60", "-D", self.data, *what])


@contextmanager
def publisher(lab):
    """The publisher with featul's tables, a workspace and a publication."""
    pair = Publisher(lab)
    pair.start_cluster()
    try:
        with closing(Session(pair, "postgres")) as pair.sql:
            pair.sql.lines((TREE / "test" / "featul.sql").read_text())
            pair.sql.lines("""
                INSERT INTO "user" (id, name, email, email_verified) VALUES ('u0', 'User 0', 'u0@example.com', true);
                INSERT INTO workspace (id, name, slug, domain, plan, owner_id) VALUES ('w0', 'W', 'w0', '-', 'professional', 'u0');
                INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES ('b0', 'w0', 'Features', 'features', 'u0')""")
            lab.run([lab.pg("psql"), "-Xq", "-v", "password=bench", *pair.to("postgres"), "-f", DEPLOY / "publisher.sql"])
            yield pair
    finally:
        pair.pg_ctl("-m", "immediate", "stop")


class Node(App):
    """A database of the lab's cluster that subscribes to the publisher."""

    def __init__(self, lab, pair):
        self.lab = lab
        self.name = "node"
        self.pair = pair
        with closing(Session(lab, "postgres")) as admin:
            admin.lines("CREATE DATABASE node")
        connection = dict(zip(("PGHOST", "PGPORT", "PGUSER", "PGDATABASE"), lab.to("node")[1::2]))
        lab.run([DEPLOY / "set-up"], environment={**connection, "FEATUL_PUBLISHER": pair.conninfo()})
        self.sql = Session(lab, "node")
        self.sql.lines("SET featul_integrations.operator = on")
        self.await_state("streaming")
        wait_until(self.worker, 30, "a worker for the node")

    def __exit__(self, *_):
        self.sql.lines("DROP SUBSCRIPTION featul")
        super().__exit__()

    def await_state(self, state):
        wait_until(lambda: self.sql.value("SELECT state FROM featul_integrations.stat_subscription") == state,
                   120, f"the subscription is {state}")

    def enable(self, on):
        self.sql.lines(f"ALTER SUBSCRIPTION featul {'ENABLE' if on else 'DISABLE'}")
        wait_until(lambda: (self.pair.sql.value("SELECT active FROM pg_replication_slots") == "t") == on,
                   60, "the slot is in use, or no more")

    def caught_up(self, position):
        return self.pair.sql.value(f"""SELECT confirmed_flush_lsn >= '{position}'
            FROM pg_replication_slots WHERE slot_name = 'featul'""") == "t"

    def catch_up(self):
        position = self.pair.sql.value("SELECT pg_current_wal_lsn()")
        wait_until(lambda: self.caught_up(position), 300, "the node catches up")

    def apply_worker(self):
        return int(self.sql.value("SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL"))


def processor_seconds(pid):
    """What the scheduler has given to a process, to the nanosecond."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def insert(pair, count):
    """So many single-row transactions, from four clients; the rate of all."""
    script = pair.file("node.sql", INSERT.format(schema="public", board="b0", author="u0", content=CONTENT.replace("'", "''")))
    output = pair.run([pair.pg("pgbench"), "-n", "-M", "prepared", "-c", 4, "-t", count // 4, "-f", script,
                       *pair.to("postgres")[:-2], "postgres"], environment={"PGOPTIONS": "-c synchronous_commit=off"})
    return float(re.search(r"tps = ([\d.]+)", output).group(1))


def apply_time(node, pair, count, triggers):
    """Processor seconds of apply worker and walsender for so many transactions."""
    node.sql.lines(f"ALTER TABLE post {'ENABLE REPLICA' if triggers else 'DISABLE'} TRIGGER featul_integrations_post_row")
    node.enable(False)
    insert(pair, count)
    node.enable(True)
    node.catch_up()
    worker = processor_seconds(node.apply_worker())
    sender = processor_seconds(pair.sql.value("SELECT pid FROM pg_stat_replication"))
    written = int(node.sql.value("SELECT count(*) FROM featul_integrations.event"))
    if written != (count if triggers else 0):
        raise RuntimeError(f"{written} events of {count}")
    forget(node, pair)
    return worker, sender


def forget(node, pair):
    pair.sql.lines("TRUNCATE post CASCADE")
    node.catch_up()
    node.sql.lines("""DELETE FROM featul_integrations.queue;
        TRUNCATE featul_integrations.event, featul_integrations.attempt, featul_integrations.mark;
        VACUUM ANALYZE featul_integrations.queue""")


def rows(lab, scale):
    with publisher(lab) as pair:
        alone = [insert(pair, scale.node_transactions) for _ in range(scale.node_rounds)]
        pair.sql.lines("TRUNCATE post CASCADE")
        with Node(lab, pair) as node:
            node.connect(0, lab.url("arrival"))
            captured, plain, sender, followed = [], [], [], []
            apply_time(node, pair, scale.node_transactions, True)  # warms up
            for _ in range(scale.node_rounds):
                with_triggers = apply_time(node, pair, scale.node_transactions, True)
                without = apply_time(node, pair, scale.node_transactions, False)
                captured.append(with_triggers[0])
                plain.append(without[0])
                sender.append(with_triggers[1])
            node.sql.lines("ALTER TABLE post ENABLE REPLICA TRIGGER featul_integrations_post_row")
            for _ in range(scale.node_rounds):
                followed.append(insert(pair, scale.node_transactions))
                node.catch_up()
            forget(node, pair)
            runs = []
            node.deliver(True)
            with arrivals(lab) as sink:
                traffic(pair, pair, "warm", 1)
                for n in range(scale.latency_rounds):
                    runs.append(traffic(pair, pair, f"r{n}", scale.latency_seconds))
                node.catch_up()
                wait_until(lambda: not node.pending(), 60, "all is delivered")
            node.deliver(False)
    late = [latencies(run, sink.times)[0] for run in runs]
    micro = 1e6 / scale.node_transactions
    return [
        Row("capture on a node: apply worker's processor time for a single-row transaction, more than without triggers",
            [(a - b) * micro for a, b in zip(captured, plain)], "µs", at_most=30,
            note=f"{number(sorted(captured)[len(captured) // 2] * micro, 'µs')} instead of "
                 f"{number(sorted(plain)[len(plain) // 2] * micro, 'µs')}"),
        Row("publisher's commit to request received, 200 events/s: p50", [percentile(r, 50) for r in late], "ms"),
        Row("publisher's commit to request received, 200 events/s: p99", [percentile(r, 99) for r in late], "ms", at_most=50,
            note=f"slowest {number(max(map(max, late)), 'ms')}"),
        Row("what the publisher pays: its walsender's processor time for a transaction", [s * micro for s in sender], "µs"),
        Row("publisher's single-row INSERTs from four clients, a node following on the same two cores", ratios(followed, alone), "×",
            note=f"{number(sorted(followed)[len(followed) // 2])} of {number(sorted(alone)[len(alone) // 2])} inserts/s"),
    ]
