"""What capture costs the application: single-row and bulk INSERT, with and without.

Single rows: one pgbench client inserts posts as the application does, one a transaction,
with fsync and synchronous_commit as a cluster has them by default, into the attached table
(the workspace has one integration, or none) and into the same table without triggers; client
and server have a core each. Two more ways to look at it are shown: with synchronous_commit =
off, where the disk hides nothing of what capture costs, and with both left to the scheduler.
Delivery is off, so that the worker takes no processor time.

Bulk: one statement inserts 20,000 posts.

What the same would cost without C is shown beside it: a statement trigger in PL/pgSQL that
writes as much (payload, event, queue entry, with the same indexes) and checks nothing else.
"""

import re
from statistics import median

from app import CONTENT, App
from lab import TREE
from stats import Row, number, ratios

NAME = "capture"

INSERT = """INSERT INTO {schema}.post (id, board_id, title, content, slug, author_id)
VALUES (gen_random_uuid(), '{board}', 'Dark mode for the dashboard', '{content}', gen_random_uuid(), '{author}');
"""


PLPGSQL = """
CREATE SCHEMA plpgsql; SET search_path = plpgsql; {tables}
INSERT INTO "user" SELECT * FROM public."user"; INSERT INTO workspace SELECT * FROM public.workspace;
INSERT INTO board SELECT * FROM public.board;
CREATE TABLE event (LIKE featul_integrations.event INCLUDING DEFAULTS);
CREATE SEQUENCE event_id_seq;
CREATE INDEX ON event (id);
CREATE TABLE queue (LIKE featul_integrations.queue INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE FUNCTION capture() RETURNS trigger LANGUAGE plpgsql SET search_path = plpgsql, pg_catalog, pg_temp AS $$
BEGIN
    WITH captured AS (
        INSERT INTO event (partition, id, name, workspace_id, post_id, payload)
        SELECT 0, nextval('event_id_seq'), 'post.created', w.id, n.id, json_build_object(
            'event', 'post.created',
            'workspace', json_build_object('id', w.id, 'name', w.name, 'slug', w.slug),
            'post', json_build_object('id', n.id, 'title', n.title, 'content', n.content,
                'url', 'https://' || w.slug || '.featul.com/board/p/' || n.slug, 'upvotes', n.upvotes,
                'board', b.name, 'status', n.roadmap_status,
                'author', json_build_object('name', u.name, 'email', u.email),
                'createdAt', to_char(n.created_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
        FROM new_rows n JOIN board b ON b.id = n.board_id JOIN workspace w ON w.id = b.workspace_id
            LEFT JOIN "user" u ON u.id = n.author_id
        WHERE n.status = 'published' AND NOT b.is_system AND w.plan <> 'free'
        RETURNING partition, id, workspace_id, post_id)
    INSERT INTO queue (integration_id, event_partition, event_id, post_id)
    SELECT i.id, c.partition, c.id, c.post_id
    FROM captured c JOIN featul_integrations.integration i USING (workspace_id) WHERE i.is_active;
    RETURN NULL;
END
$$;
CREATE TRIGGER capture AFTER INSERT ON post REFERENCING NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION capture();
RESET search_path; ANALYZE
"""


def rate(lab, app, schema, number, seconds, commit="on", placed=()):
    """Statements a second of one pgbench client that inserts posts, where it is placed."""
    script = lab.file("insert.sql", INSERT.format(
        schema=schema, board=f"b{number}", author=f"u{number}", content=CONTENT.replace("'", "''")))
    output = lab.run([*placed, lab.pg("pgbench"), "-n", "-M", "prepared", "-c", "1", "-T", str(seconds),
                      "-f", script, *lab.to(app.name)[:-2], app.name],
                     environment={"PGOPTIONS": f"-c synchronous_commit={commit}"})
    return float(re.search(r"tps = ([\d.]+)", output).group(1))


def forget(app):
    """Empties posts, events and queues; nothing may be running."""
    app.sql.lines("DELETE FROM featul_integrations.queue; TRUNCATE plpgsql.event, plpgsql.queue, plpgsql.post CASCADE")
    app.forget()


def single(lab, app, scale, rounds, **options):
    """Rates without triggers, with no integration, with one and with PL/pgSQL, round by round."""
    kinds = {"plain": ("plain", 0), "none": ("public", 1), "one": ("public", 0), "plpgsql": ("plpgsql", 0)}
    rates = {kind: [] for kind in kinds}
    for n in range(rounds):
        order = list(kinds) if n % 2 == 0 else list(reversed(kinds))
        for kind in order:
            rates[kind].append(rate(lab, app, *kinds[kind], scale.capture_seconds, **options))
        forget(app)
    return rates


def bulk(app, scale):
    """Seconds of an INSERT of 20,000 posts into each schema, round by round."""
    times = {"plain": [], "public": [], "plpgsql": []}
    for n in range(scale.bulk_rounds + 1):
        for schema in list(times) if n % 2 else list(reversed(times)):
            seconds = app.sql.seconds(app.insert_posts(20000, schema=schema))
            if n > 0:  # the first round warms up
                times[schema].append(seconds)
        forget(app)
    return times


def rows(lab, scale):
    with App(lab, "capture") as app:
        app.workspaces(1, 1)
        app.connect(0, lab.url("h1"))
        app.sql.lines(PLPGSQL.format(tables=(TREE / "test" / "featul.sql").read_text()))
        with lab.server_apart() as placed:
            synced = single(lab, app, scale, scale.capture_rounds, placed=placed)
            unsynced = single(lab, app, scale, scale.compared_rounds, placed=placed, commit="off")
        scheduled = single(lab, app, scale, scale.compared_rounds)
        times = bulk(app, scale)

    def row(what, rates, kind, bar=None):
        return Row(what, ratios(rates[kind], rates["plain"]), "×", at_least=bar,
                   note=f"{number(median(rates[kind]))} of {number(median(rates['plain']))} inserts/s")

    def bulk_row(what, schema, bar=None):
        return Row(what, ratios(times[schema], times["plain"]), "×", at_most=bar,
                   note=f"{number(median(times[schema]) * 1e3, 'ms')} instead of "
                        f"{number(median(times['plain']) * 1e3, 'ms')}")

    return [
        row("single-row INSERT, workspace has one integration", synced, "one", 0.85),
        row("single-row INSERT, workspace has none", synced, "none", 0.97),
        row("for comparison: one integration, captured in PL/pgSQL", synced, "plpgsql"),
        row("the same with synchronous_commit = off: one integration", unsynced, "one"),
        row("the same with synchronous_commit = off: none", unsynced, "none"),
        row("the same with synchronous_commit = off: PL/pgSQL", unsynced, "plpgsql"),
        row("the same left to the scheduler: one integration", scheduled, "one"),
        row("the same left to the scheduler: none", scheduled, "none"),
        row("the same left to the scheduler: PL/pgSQL", scheduled, "plpgsql"),
        bulk_row("INSERT of 20,000 posts in one statement: time", "public", 1.8),
        bulk_row("for comparison: captured in PL/pgSQL", "plpgsql"),
    ]
