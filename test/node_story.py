"""The story of test/demo node: an application whose database loads no extension, and a delivery
node beside it.

    node_story.py TABLES RECEIVER SERVER_LOG    (as story.py; NODE_DATA: the node's directory)

PGHOST is the application's database; test/setup has put the node's sockets beside its directory.
"""

import os
import signal
import subprocess
import sys
import time

import story
from story import PATIENCE, TABLES, await_messages, dim, print_sql, psql, say, show_all, show_sql, title

NODE, APPLICATION = os.environ["NODE_DATA"] + ".sockets", os.environ["PGHOST"]
DEPLOY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "deploy", "node")
PUBLISHER = f"host={APPLICATION} dbname=postgres user=featul_node"


def on(host, sql, *options):
    """What psql prints, on one of the two."""
    os.environ["PGHOST"] = host
    return psql(sql, None, *options)


def application(*statements):
    """Statements of the application in its own database, each its own transaction."""
    show_sql("\n".join(statement + ";" for statement in statements))
    for statement in statements:
        on(APPLICATION, statement)


def wait_for(sql, what):
    end = time.monotonic() + PATIENCE
    while True:
        os.environ["PGHOST"] = NODE
        run = subprocess.run(["psql", "-XqAt", "-c", sql], capture_output=True, text=True)
        if run.stdout.strip() == "t":
            return
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {PATIENCE} s.\n{run.stderr}")
        time.sleep(0.1)


def show_subscription():
    query = "SELECT subscription, state, lag_seconds, errors\nFROM featul_integrations.stat_subscription"
    show_sql(query + ";")
    print(on(NODE, query, "-P", "format=aligned", "-P", "tuples_only=off", "-P", "footer=off"))
    print()


def set_up():
    print()
    title("A managed database: featul's tables, and no extension")
    on(APPLICATION, "", "-f", TABLES)
    on(APPLICATION, """
        INSERT INTO "user" (id, name, email, email_verified)
            SELECT lower(n), n || ' ' || l, lower(n) || '@example.com', true
            FROM (VALUES ('Olivia', 'Bauer'), ('Mina', 'Okafor'), ('Jonas', 'Lindqvist')) v (n, l);
        INSERT INTO workspace (id, name, slug, plan, owner_id, domain)
            VALUES ('w1', 'Acme', 'acme', 'starter', 'olivia', 'https://acme.example.com');
        INSERT INTO board (id, workspace_id, name, slug, created_by)
            VALUES ('b1', 'w1', 'Feature requests', 'features', 'olivia');
        INSERT INTO post (id, board_id, title, content, slug, author_id)
            VALUES ('p0', 'b1', 'Older than all of this', '-', 'older', 'mina');
        """)
    say("On the application's side that is all: a role that may replicate, and a publication of its "
        "tables (deploy/node/publisher.sql). Nothing of ours is installed there.")
    on(APPLICATION, "", "-v", "password=secret", "-f", os.path.join(DEPLOY, "publisher.sql"))

    title("Its own settings page: workspace_integration")
    application("INSERT INTO workspace_integration (id, workspace_id, type, webhook_url)\n"
                f"    VALUES ('wi1', 'w1', 'slack',\n  '{story.URLS['slack']}')",
                "INSERT INTO workspace_integration (id, workspace_id, type, webhook_url)\n"
                f"    VALUES ('wi2', 'w1', 'discord',\n  '{story.URLS['discord']}')")

    title("The delivery node: a small PostgreSQL that subscribes")
    show_sql(f"FEATUL_PUBLISHER='{PUBLISHER}' deploy/node/set-up")
    os.environ["PGHOST"] = NODE
    run = subprocess.run([os.path.join(DEPLOY, "set-up")], capture_output=True, text=True,
                         env={**os.environ, "FEATUL_PUBLISHER": PUBLISHER})
    if run.returncode != 0:
        sys.exit(run.stdout + run.stderr)
    wait_for("SELECT bool_and(state = 'streaming') FROM featul_integrations.stat_subscription", "the first copy")
    show_subscription()
    follows = on(NODE, "SELECT bool_or('follow' = ANY (proargnames)) FROM pg_proc WHERE proname = 'integration_import'") == "t"
    call = ("SELECT workspace_id, type, imported\nFROM integration_import('public', events => NULL, follow => true)" if follows
            else "SELECT workspace_id, type, imported\nFROM integration_import('public')")
    show_sql(call + ";")
    print(on(NODE, call, "-P", "format=aligned", "-P", "tuples_only=off", "-P", "footer=off") + "\n")
    say("And an endpoint of Olivia's own, by the function, on the node:")
    call = ("SELECT message FROM integration_connect('acme', 'webhook',\n"
            f"    '{story.URLS['webhook']}')")
    print_sql(call + ";")
    as_olivia = "SET featul_integrations.user_id = 'olivia'; "
    print("    " + on(NODE, as_olivia + call) + "\n")
    story.SECRET = on(NODE, as_olivia + "SELECT integration_secret('acme')")


def a_post():
    title("Mina posts an idea, in the application's database")
    application("INSERT INTO post (id, board_id, title, content, slug, author_id)\n"
                "    VALUES ('p1', 'b1', 'Dark mode', 'My eyes hurt at 2 a.m.', 'dark-mode', 'mina')")
    show_all(await_messages(3, "post.created"))
    say("The post that was there before the node was copied in silence.")


def a_rollback():
    title("Rolled back, there: never told")
    show_sql("BEGIN; INSERT INTO post ... 'Never mind' ...; ROLLBACK;")
    on(APPLICATION, """BEGIN; INSERT INTO post (id, board_id, title, content, slug)
        VALUES ('p2', 'b1', 'Never mind', '-', 'never-mind'); ROLLBACK""")


def the_rest():
    title("The other nine")
    application(
        "UPDATE post SET roadmap_status = 'planned' WHERE id = 'p1'",
        "UPDATE post SET is_pinned = true, is_featured = true, is_locked = true WHERE id = 'p1'",
        "INSERT INTO vote (id, post_id, user_id, type) VALUES ('v1', 'p1', 'jonas', 'upvote')",
        "UPDATE post SET upvotes = 10 WHERE id = 'p1'",
        "INSERT INTO comment (id, post_id, content, author_id)\n    VALUES ('c1', 'p1', 'We have started on it.', 'jonas')",
        "INSERT INTO comment_mention (id, comment_id, mentioned_user_id, mentioned_by)\n    VALUES ('n1', 'c1', 'mina', 'jonas')",
        "INSERT INTO comment_reaction (id, comment_id, user_id, type)\n    VALUES ('r1', 'c1', 'mina', 'upvote')")
    wait_for("SELECT count(*) >= 9 FROM featul_integrations.deliveries WHERE type = 'webhook' AND event <> 'post.created'"
             " AND state = 'delivered'", "nine events")
    with_webhooks = [request for request in story.arrived()[story.seen:] if request["kind"] == "webhook"]
    show_all(with_webhooks)
    story.seen = len(story.arrived())


def a_fault():
    title("A fault: the node is killed while Mina goes on")
    with open(os.path.join(os.environ["NODE_DATA"], "postmaster.pid"), encoding="utf-8") as file:
        postmaster = int(file.readline())
    print(dim(f"    kill -9 {postmaster}    # the node's postmaster") + "\n")
    os.kill(postmaster, signal.SIGKILL)
    application("INSERT INTO post (id, board_id, title, content, slug, author_id)\n"
                "    VALUES ('p3', 'b1', 'While nobody listened', '-', 'while', 'mina')")
    say("The application notices nothing: what it commits waits in the slot. The node comes back:")
    start = ["pg_ctl", "-D", os.environ["NODE_DATA"], "-l", story.SERVER_LOG, "-s", "-w", "start"]
    end = time.monotonic() + PATIENCE
    while subprocess.run(start, capture_output=True, check=False).returncode != 0:
        if time.monotonic() > end:
            sys.exit("The node does not come back.")
        time.sleep(0.2)
    wait_for("SELECT count(*) > 0 FROM featul_integrations.deliveries WHERE type = 'webhook' AND event = 'post.created'"
             " AND payload -> 'post' ->> 'id' = 'p3' AND state = 'delivered'", "what was committed meanwhile")
    show_all([request for request in story.arrived()[story.seen:]
              if request["kind"] == "webhook" and "While nobody" in request["body"]][:1])
    show_subscription()


def the_end():
    requests = story.arrived()
    if any("Never mind" in request["body"] or "Older than" in request["body"] for request in requests):
        sys.exit("Something was told that was not to be.")
    ids = {request["headers"]["webhook-id"] for request in requests if request["kind"] == "webhook"}
    say(f"{len(ids)} events, each under one webhook-id; nothing of what rolled back, nothing of what was there before.")
    if len(ids) != 11:
        sys.exit(f"11 events were expected, not {len(ids)}.")
    title("What next")
    say("docs/node.md has the way for each managed service, and what to watch. test/demo shows the extension "
        "in the application's database, test/demo http the page for workspace admins.")


set_up()
a_post()
a_rollback()
the_rest()
a_fault()
the_end()
