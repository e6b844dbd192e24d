#!/usr/bin/env python3
"""The demo's story: acts as featul's application and shows what arrives.

    story.py TABLES.sql RECEIVER_DIR SERVER_LOG

Called by test/demo, which has started the cluster (found through the environment) and
the receiver.  Waits for each message before it goes on; exits 1 if one does not come.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

from verify_signature import problem

TABLES, RECEIVER, SERVER_LOG = sys.argv[1:4]
WIDTH = min(shutil.get_terminal_size((80, 24)).columns, 80)
PATIENCE = 30       # seconds until a message counts as lost
URLS = {
    "slack": "https://hooks.slack.com/services/T024BE7LH/B0412SEC/c2VjcmV0LXRva2Vu",
    "discord": "https://discord.com/api/webhooks/1148271649812365/c2VjcmV0LXRva2Vu",
    "webhook": "https://hooks.example.com/featul",
}
TEAMS = "https://prod-1.westeurope.logic.azure.com/workflows/0a/run?sig=c2Vj"
TYPES = {"hooks.slack.com": "slack", "discord.com": "discord", "hooks.example.com": "webhook",
         "prod-1.westeurope.logic.azure.com": "teams"}

# -- the terminal -------------------------------------------------------------

COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def styled(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURED else text


def bold(text):
    return styled(1, text)


def dim(text):
    return styled(2, text)


LABELS = {"slack": ("Slack", 35), "discord": ("Discord", 34), "teams": ("Teams", 36), "webhook": ("Webhook", 32)}


def title(text):
    print(f"{bold('── ' + text + ' ')}{dim('─' * max(3, WIDTH - len(text) - 4))}\n")


def say(text):
    print(textwrap.fill(text, WIDTH) + "\n")


def show_sql(statement):
    print_sql(statement)
    print()


def print_sql(statement):
    for line in statement.strip().splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        for part in textwrap.wrap(line.lstrip(), WIDTH, initial_indent=indent, subsequent_indent=indent + "    ",
                                  break_long_words=False, break_on_hyphens=False):
            print(dim(part))


def show_message(kind, lines):
    """Lines beside a rule, the channel's name before the first."""
    name, colour = LABELS[kind]
    label = f"{name:<8}"
    for line in lines:
        for part in textwrap.wrap(line, WIDTH - 11, subsequent_indent="  ", break_on_hyphens=False) or [""]:
            print(styled(colour, f"{label} │ ") + part)
            label = " " * 8
    print()


# -- the database -------------------------------------------------------------

def psql(sql, user=None, *options):
    """What psql prints; with a user as the application, acting for that user of featul."""
    before = ["-c", f"SET ROLE app; SET featul_integrations.user_id = '{user}'"] if user else []
    run = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *options, *before, "-c", sql],
                         capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{sql}\n{run.stderr}")
    return run.stdout.rstrip("\n")


def application(*statements):
    """The application's way: each statement is its own transaction."""
    show_sql("\n".join(statement + ";" for statement in statements))
    psql(statements[-1], None, "-c", "SET ROLE app",
         *(option for statement in statements[:-1] for option in ("-c", statement)))


# -- the receiver -------------------------------------------------------------

seen = 0            # requests shown or skipped so far


def arrived():
    """All that the receiver got so far."""
    with open(os.path.join(RECEIVER, "record.jsonl"), encoding="utf-8") as file:
        requests = [json.loads(line) for line in file if line.endswith("\n")]
    for request in requests:
        request["kind"] = TYPES[request["host"]]
        request["json"] = json.loads(request["body"])
    return requests


def await_messages(count, what):
    """The next messages, once there are so many."""
    global seen
    end = time.monotonic() + PATIENCE
    while len(new := arrived()[seen:]) < count:
        if time.monotonic() > end:
            with open(SERVER_LOG, encoding="utf-8", errors="replace") as log:
                print("".join(log.readlines()[-20:]), file=sys.stderr)
            sys.exit(f"{what}: {len(new)} of {count} messages came within {PATIENCE} s.")
        time.sleep(0.02)
    seen += len(new)
    return new


def script(lists):
    path = os.path.join(RECEIVER, "script.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(lists, file)
    os.rename(path + ".new", path)


# -- messages as people see them ----------------------------------------------

def slack_text(text):
    """A text object as Slack shows it: links and bold of mrkdwn, its escapes undone."""
    shown = text["text"]
    if text["type"] == "mrkdwn":
        shown = re.sub(r"<([^|>]+)\|([^>]+)>", lambda link: f"{link[2]}  {link[1]}", shown)
        shown = re.sub(r"^\*(.+?)(  \S+)?\*$", lambda part: bold(part[1]) + (part[2] or ""), shown)
        shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return shown


def slack_lines(message):
    lines = []
    for block in message.get("blocks", []):
        kind = block["type"]
        if kind == "header":
            lines.append(bold(block["text"]["text"]))
        elif kind == "section":
            texts = [block["text"]] if "text" in block else []
            lines += [line for text in texts + block.get("fields", [])
                      for line in slack_text(text).splitlines()]
        elif kind == "context":
            lines.append(dim(" · ".join(slack_text(element) for element in block["elements"]
                                        if "text" in element)))
        elif kind == "image":
            lines.append(f"[image: {block['image_url']}]")
        elif kind == "rich_text":
            for item in block["elements"][0]["elements"]:
                lines.append("• " + "".join(part["text"] for part in item["elements"]))
    return lines


def linked(markdown):
    """Links as what is seen of them."""
    return re.sub(r"\[(.+?)\]\((\S+?)\)", r"\1", markdown)


def teams_lines(message):
    blocks = message["attachments"][0]["content"]["body"]
    lines = [f"[image: {block['url']}]" if block["type"] == "Image" else
             dim(linked(block["text"])) if block.get("isSubtle") else linked(block["text"]) for block in blocks]
    return [re.sub(r"\\([^\w\s])", r"\1", line) for line in [bold(lines[0]), *lines[1:]]]


def discord_lines(message):
    lines = []
    for embed in message.get("embeds", []):
        if "author" in embed:
            lines.append(dim(embed["author"]["name"]))
        if "title" in embed:
            lines.append(bold(embed["title"]) + ("  " + embed["url"] if "url" in embed else ""))
        lines += linked(embed.get("description", "")).splitlines()
        if "thumbnail" in embed:
            lines.append(f"[image: {embed['thumbnail']['url']}]")
        if embed.get("fields"):
            lines.append("   ".join(f"{field['name']}: {field['value']}" for field in embed["fields"]))
        footer = embed.get("footer", {}).get("text", "")
        colour = f"#{embed['color']:06x}" if "color" in embed else ""
        lines.append(dim(" · ".join(part for part in (footer, colour, embed.get("timestamp", "")) if part)))
    return [re.sub(r"\\([^\w\s])", r"\1", line) for line in lines]


known = {}          # by key, what was shown of an object last


def webhook_lines(message):
    """A key a line; of an object that was shown before, its id and what is new."""
    lines = []
    for key, value in message.items():
        shown = json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict) and "id" in value:
            before = known.get((key, value["id"]), {})
            new = {name: value[name] for name in value if name == "id" or value[name] != before.get(name)}
            if before:
                shown = json.dumps(new, ensure_ascii=False)[:-1] + ", …}"
            known[(key, value["id"])] = value
        lines.append(f"{dim(json.dumps(key) + ':')} {shown}")
    return lines


SECRET = None       # the webhook's, asked for after connecting


def show(request):
    kind = request["kind"]
    if kind == "slack":
        show_message(kind, slack_lines(request["json"]))
    elif kind == "discord":
        show_message(kind, discord_lines(request["json"]))
    elif kind == "teams":
        show_message(kind, teams_lines(request["json"]))
    else:
        wrong = problem(request, SECRET)
        verdict = styled(31, "signature wrong: " + wrong) if wrong else styled(32, "signature verified")
        show_message(kind, webhook_lines(request["json"])
                     + [f"{request['headers']['webhook-id']}  {verdict}"])
        if wrong:
            sys.exit("A signature does not verify.")


def show_all(requests):
    for kind in LABELS:
        for request in requests:
            if request["kind"] == kind:
                show(request)


# -- the story ----------------------------------------------------------------

def set_up():
    global SECRET
    print()
    title("featul's database")
    psql("", None, "-f", TABLES)
    psql("""
        INSERT INTO "user" (id, name, email, email_verified)
            SELECT lower(n), n || ' ' || l, lower(n) || '@example.com', true
            FROM (VALUES ('Olivia', 'Bauer'), ('Mina', 'Okafor'), ('Jonas', 'Lindqvist')) v (n, l);
        INSERT INTO "user" (id, name, email, email_verified)
            SELECT 'voter' || i, 'Voter ' || i, 'voter' || i || '@example.com', true FROM generate_series(1, 9) i;
        INSERT INTO workspace (id, name, slug, plan, owner_id, domain)
            VALUES ('w1', 'Acme', 'acme', 'starter', 'olivia', 'https://acme.example.com');
        INSERT INTO workspace_member (id, workspace_id, user_id, role)
            VALUES ('m1', 'w1', 'jonas', 'member');
        INSERT INTO board (id, workspace_id, name, slug, created_by)
            VALUES ('b1', 'w1', 'Feature requests', 'features', 'olivia');
        CREATE ROLE app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
        """)
    say("The application's tables are there: users, the workspace Acme, a board. "
        "Its DBA adds the extension, binds the tables, and opens the API to the application's role:")
    statements = ("CREATE EXTENSION featul_integrations",
                  "SELECT source, relation, events FROM integration_attach()",
                  "GRANT EXECUTE ON FUNCTION integration_connect, integration_list,\n"
                  "    integration_test, integration_secret, integration_deliveries TO app")
    show_sql("\n".join(statement + ";" for statement in statements))
    psql(statements[0])
    for row in psql(statements[1], None, "-F", "\t").splitlines():
        source, relation, events = row.split("\t")
        events = events.strip("{}").replace(",", ", ")
        print(textwrap.fill(f"    {source:<10} {relation:<17} {events}", WIDTH, subsequent_indent=" " * 33))
    print()
    psql(statements[2])
    say("Looking changes nothing; this is where some of it comes from:")
    query = ("SELECT canonical, expression, state FROM featul_integrations.bindings\n"
             "WHERE source = 'post' AND canonical IN ('title', 'visible', 'status', 'image')")
    show_sql(query + ";")
    print_table(query)

    title("Olivia, who owns Acme, connects Slack, Discord and an endpoint of her own")
    for kind, url in URLS.items():
        call = f"SELECT message FROM integration_connect('acme', '{kind}', '{url}')"
        print_sql(call + ";")
        print("    " + psql(call, "olivia"))
    SECRET = psql("SELECT integration_secret('acme')", "olivia")
    print()
    call = "SELECT message FROM integration_test('acme', 'slack')"
    print_sql(call + ";")
    print("    " + psql(call, "olivia") + "\n")
    show_all(await_messages(1, "the test notification"))


def a_post():
    title("Mina posts an idea, and the application adds her own vote")
    application(
        "INSERT INTO post (id, board_id, title, content, slug, author_id, image)\n"
        "    VALUES ('p1', 'b1', 'Dark mode <for night owls>',\n"
        "            'My eyes hurt at 2 a.m. A *dark* theme would help, @everyone!',\n"
        "            'dark-mode', 'mina', 'https://cdn.example.com/dark.png')",
        "INSERT INTO vote (id, post_id, user_id, type)\n    VALUES ('v1', 'p1', 'mina', 'upvote')",
        "UPDATE post SET upvotes = 1 WHERE id = 'p1'")
    show_all(await_messages(3, "post.created"))
    say("One's own vote is no news, so that was all. (From here on the JSON is shown without what "
        "was shown before.)")


def a_rollback():
    title("A transaction that rolls back was never there")
    show_sql("BEGIN; INSERT INTO post ... 'Never mind' ...; ROLLBACK;")
    psql("""BEGIN; SET ROLE app; INSERT INTO post (id, board_id, title, content, slug, author_id)
            VALUES ('p0', 'b1', 'Never mind', '-', 'never-mind', 'mina'); ROLLBACK""")
    say("Nothing will arrive about it (checked at the end).")


def a_status_and_a_pin():
    title("The team plans it, and pins it")
    application("UPDATE post SET roadmap_status = 'planned' WHERE id = 'p1'")
    show_all(await_messages(3, "post.status_changed"))
    application("UPDATE post SET is_pinned = true WHERE id = 'p1'")
    show_all(await_messages(3, "post.pinned"))


def a_comment():
    title("Jonas comments and mentions Mina; the endpoint answers 500 at first")
    script({"hooks.example.com/": [{"status": 500, "body": "out of order"}, {}]})
    application(
        "INSERT INTO comment (id, post_id, content, author_id)\n"
        "    VALUES ('c1', 'p1', 'We have started on it, @Mina.', 'jonas')",
        "INSERT INTO comment_mention (id, comment_id, mentioned_user_id,\n"
        "        mentioned_by)\n"
        "    VALUES ('n1', 'c1', 'mina', 'jonas')",
        "INSERT INTO comment_reaction (id, comment_id, user_id, type)\n"
        "    VALUES ('r1', 'c1', 'jonas', 'upvote')",
        "UPDATE comment SET upvotes = 1 WHERE id = 'c1'",
        "UPDATE post SET comment_count = 1 WHERE id = 'p1'")
    requests = await_messages(5, "comment.created, one of them again, and comment.mention")
    tries = [request for request in requests if request["json"].get("event") == "comment.created"]
    show_all([request for request in requests if request is not tries[0]])
    for number, request in enumerate(tries):
        pause = f", {request['time'] - tries[0]['time']:.1f} s later" if number else ""
        print(f"    attempt {number + 1}{pause}: {request['headers']['webhook-id']} got {request['status']}")
    first, second = tries
    same = first["headers"]["webhook-id"] == second["headers"]["webhook-id"] and first["body"] == second["body"]
    print("    the same webhook-id and the same bytes" if same else "    NOT the same delivery")
    if not same:
        sys.exit("The retry differs from the first attempt.")
    print()
    say("In chat a comment and its mentions are one message; the endpoint gets each event. Jonas's own "
        "reaction, which the application adds to each comment, is no news. Mina's is:")
    application("INSERT INTO comment_reaction (id, comment_id, user_id, type)\n"
                "    VALUES ('r2', 'c1', 'mina', 'upvote')")
    show_all(await_messages(3, "comment.reaction"))
    say("Nor is a guest's own, who has no account, but a fingerprint; so this is told once:")
    application("INSERT INTO comment (id, post_id, content, author_name, metadata)\n"
                "    VALUES ('c2', 'p1', 'Please!', 'Gus', '{\"fingerprint\": \"f1\"}')",
                "INSERT INTO comment_reaction (id, comment_id, fingerprint, type)\n"
                "    VALUES ('r3', 'c2', 'f1', 'upvote')")
    show(next(request for request in await_messages(3, "a guest's comment") if request["kind"] == "slack"))


def a_milestone():
    title("Nine more people vote: that makes ten")
    show_sql("INSERT INTO vote (id, post_id, user_id, type)\n"
             "    VALUES ('v2', 'p1', 'voter1', 'upvote');            -- up to voter9\n"
             "UPDATE post SET upvotes = upvotes + 1 WHERE id = 'p1';  -- after each")
    for number in range(1, 10):
        psql(f"SET ROLE app; INSERT INTO vote (id, post_id, user_id, type) "
             f"VALUES ('v{number + 1}', 'p1', 'voter{number}', 'upvote')")
        psql("SET ROLE app; UPDATE post SET upvotes = upvotes + 1 WHERE id = 'p1'")
    say("Slack takes one message a second from a sender, and the worker keeps to that ...")
    requests = await_messages(30, "nine votes and a milestone")
    webhooks = [request for request in requests if request["kind"] == "webhook"]
    events = [request["json"]["event"] for request in webhooks]
    say(f"{events.count('post.upvoted')} times post.upvoted arrived everywhere, then the milestone:")
    show_all([requests_of[-1] for requests_of in
              ([request for request in requests if request["kind"] == kind] for kind in URLS)])
    if events != ["post.upvoted"] * 9 + ["post.milestone"]:
        sys.exit(f"Not the events expected, or not in order: {events}")


def a_burst():
    title("Olivia connects Teams too, and imports what was asked for elsewhere")
    call = f"SELECT message FROM integration_connect('acme', 'teams', '{TEAMS}')"
    print_sql(call + ";")
    print("    " + psql(call, "olivia") + "\n")
    application("INSERT INTO post (id, board_id, title, content, slug)\n"
                "    SELECT 'i' || n, 'b1', 'Imported wish ' || n, '-', 'wish-' || n\n"
                "    FROM generate_series(1, 37) AS n")
    say("Thirty-seven messages would drown a channel; it gets one. The endpoint gets each event.")
    requests = await_messages(40, "37 posts")
    show_all([request for request in requests if request["kind"] != "webhook"])


def older_integrations():
    title("Initech had its channel connected in the application, before all this")
    psql("""
        INSERT INTO workspace (id, name, slug, plan, owner_id, domain)
            VALUES ('w2', 'Initech', 'initech', 'starter', 'olivia', 'https://initech.example.com');
        INSERT INTO workspace_integration (id, workspace_id, type, webhook_url)
            VALUES ('o1', 'w2', 'slack', 'https://hooks.slack.com/services/T1/B1/b2xk')""")
    query = "SELECT workspace_id, type, imported FROM integration_import(follow => true)"
    show_sql(query + ";")
    print_table(query)
    say("What the application's own page writes there holds here too; and a plan that lapses shows. After each:")
    query = "SELECT type, events, status, status_reason\nFROM integration_list('initech')"
    show_sql(query + ";")
    for statement in ("UPDATE workspace_integration SET is_active = false WHERE id = 'o1'",
                      "UPDATE workspace_integration SET is_active = true WHERE id = 'o1'",
                      "UPDATE workspace SET plan = 'free' WHERE id = 'w2'"):
        application(statement)
        print(textwrap.fill(psql(query, "olivia", "-F", "  "), WIDTH, initial_indent="    ",
                            subsequent_indent="        ") + "\n")


def print_table(query, user=None, *options):
    print(psql(query, user, "-P", "format=aligned", "-P", "tuples_only=off", "-P", "footer=off",
               "-P", "null=·", *options) + "\n")


def the_log():
    title("The delivery log, as the application's settings page gets it")
    query = ("SELECT id, event, type, state, attempts AS tries, http_status AS http, error\n"
             "FROM integration_deliveries('acme', max_rows => 100)\n"
             "WHERE event <> 'post.upvoted' ORDER BY id")
    show_sql(query + ";")
    end = time.monotonic() + PATIENCE
    pending = "SELECT count(*) FROM integration_deliveries('acme', state => 'pending')"
    while psql(pending, "olivia") != "0" and time.monotonic() < end:
        time.sleep(0.05)
    print_table(query, "olivia")
    lost = [request for request in arrived() if "Never mind" in request["body"]]
    if lost:
        sys.exit("A rolled-back post was announced.")
    say("An id is missing here and there: those of the nine votes are left out, and a number that "
        "a rolled-back transaction has drawn is not used again.")
    say(f"{seen} messages, {len({r['headers'].get('webhook-id') for r in arrived() if r['kind'] == 'webhook'})} "
        "signed deliveries to the endpoint; nothing about the rolled-back post.")


def a_crash():
    title("The worker is killed while a delivery is under way")
    script({"hooks.example.com/": [{"until": "never", "times": 1}, {}]})
    application("INSERT INTO post (id, board_id, title, content, slug, author_id)\n"
                "    VALUES ('p2', 'b1', 'Sync with my calendar', 'Every day.', 'calendar', 'mina')")
    before = await_messages(3, "post.created")
    pid = psql("SELECT pid FROM featul_integrations.stat_worker")
    print(dim(f"    kill -9 {pid}") + "\n")
    os.kill(int(pid), signal.SIGKILL)
    again, = [request for request in await_messages(1, "the delivery, again") if request["kind"] == "webhook"]
    first, = [request for request in before if request["kind"] == "webhook"]
    if again["headers"]["webhook-id"] != first["headers"]["webhook-id"] or again["body"] != first["body"]:
        sys.exit("What is sent after the crash is another delivery.")
    say("The server has restarted itself. Slack and Discord had theirs; what nobody had answered "
        "yet went out again, with the same webhook-id, so that the receiver can tell:")
    show(again)


REPORT = ("SELECT workspace, type, last_24_hours, success, worst_error\n"
          "FROM featul_integrations.report()")


def the_report():
    title("How they fare, as a DBA sees it")
    show_sql(REPORT + ";")
    print_table(REPORT)


def what_next():
    title("What next")
    say("README.md's quick start puts it into a database of yours. test/demo http shows the page "
        "for workspace admins, test/demo node the way for a managed database; test/run runs every test.")


if __name__ == "__main__":
    set_up()
    a_post()
    a_rollback()
    a_status_and_a_pin()
    a_comment()
    a_milestone()
    a_crash()
    the_log()
    a_burst()
    older_integrations()
    the_report()
    what_next()
