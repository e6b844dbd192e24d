"""What capture costs the application: single-row and bulk INSERT, with and without.

Single rows: one pgbench client inserts posts as the application does, one a transaction,
with fsync and synchronous_commit as a cluster has them by default, into the attached table
(the workspace has one integration, or none) and into the same table without triggers. The
rate with synchronous_commit = off is shown as well: there the disk hides nothing of what
capture costs. Delivery is off, so that the worker takes no processor time.

Bulk: one statement inserts 20,000 posts.
"""

import re
from statistics import median

from app import CONTENT, App
from stats import Row, number, ratios

NAME = "capture"

INSERT = """INSERT INTO {schema}.post (board_id, title, content, slug, author_id)
VALUES ('{board}', 'Dark mode for the dashboard', '{content}', 'dark-mode', '{author}');
"""


def rate(lab, app, schema, number, seconds, commit):
    """Statements a second of one pgbench client that inserts posts."""
    script = lab.file("insert.sql", INSERT.format(
        schema=schema, board=f"b{number}", author=f"u{number}", content=CONTENT.replace("'", "''")))
    output = lab.run([lab.pg("pgbench"), "-n", "-M", "prepared", "-c", "1", "-T", str(seconds),
                      "-f", script, *lab.to(app.name)[:-2], app.name],
                     environment={"PGOPTIONS": f"-c synchronous_commit={commit}"})
    return float(re.search(r"tps = ([\d.]+)", output).group(1))


def single(lab, app, scale, commit):
    """Rates without triggers, with no integration and with one, round by round."""
    kinds = {"plain": ("plain", 0), "none": ("public", 1), "one": ("public", 0)}
    rates = {kind: [] for kind in kinds}
    for n in range(scale.capture_rounds):
        order = list(kinds) if n % 2 == 0 else list(reversed(kinds))
        for kind in order:
            rates[kind].append(rate(lab, app, *kinds[kind], scale.capture_seconds, commit))
        app.sql.lines("DELETE FROM featul_integrations.queue")
        app.forget()
    return rates


def bulk(app, scale):
    """Seconds of an INSERT of 20,000 posts without and with triggers, round by round."""
    times = {"plain": [], "public": []}
    for n in range(scale.bulk_rounds + 1):
        for schema in ("plain", "public") if n % 2 else ("public", "plain"):
            seconds = app.sql.seconds(app.insert_posts(20000, schema=schema))
            if n > 0:  # the first round warms up
                times[schema].append(seconds)
        app.sql.lines("DELETE FROM featul_integrations.queue")
        app.forget()
    return times


def rows(lab, scale):
    with App(lab, "capture") as app:
        app.workspaces(1, 1)
        app.connect(0, lab.url("h1"))
        synced = single(lab, app, scale, "on")
        unsynced = single(lab, app, scale, "off")
        times = bulk(app, scale)

    def row(what, rates, kind, bar=None):
        return Row(what, ratios(rates[kind], rates["plain"]), "×", at_least=bar,
                   note=f"{number(median(rates[kind]))} of {number(median(rates['plain']))} inserts/s")

    return [
        row("single-row INSERT, workspace has one integration", synced, "one", 0.85),
        row("single-row INSERT, workspace has none", synced, "none", 0.97),
        row("the same with synchronous_commit = off: one integration", unsynced, "one"),
        row("the same with synchronous_commit = off: none", unsynced, "none"),
        Row("INSERT of 20,000 posts in one statement: time", ratios(times["public"], times["plain"]), "×",
            at_most=1.8, note=f"{number(median(times['public']) * 1e3, 'ms')} instead of "
                              f"{number(median(times['plain']) * 1e3, 'ms')}"),
    ]
