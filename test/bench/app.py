"""The application side: a fresh database with featul's tables, workspaces and a backlog."""

import time

from lab import TREE, BenchError, Session, cpu_seconds, wait_until

CONTENT = (
    "It would help a lot if the dashboard followed the system's colour scheme. At night the white "
    "background is hard on the eyes, and most of the tools we use beside it have had a dark theme for "
    "years. A switch in the profile would do, too; what matters is that charts and code blocks follow."
)


class App:
    """A database of its own with the extension and featul's tables attached.

    `plain` holds the same tables once more, never attached: what the application would
    run at without the extension.
    """

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        with_admin = Session(lab, "postgres")
        with_admin.lines(f"CREATE DATABASE {name}")
        with_admin.close()
        self.sql = Session(lab, name)
        self.sql.lines("CREATE EXTENSION featul_integrations")
        tables = (TREE / "test" / "featul.sql").read_text()
        self.sql.lines(tables)
        self.sql.lines("CREATE SCHEMA plain; SET search_path = plain;" + tables + "; RESET search_path")
        self.sql.lines("SELECT integration_attach()")
        self.sql.lines("SET featul_integrations.operator = on")
        self.workspaces(0, 1)
        self.sql.lines("VACUUM ANALYZE")
        wait_until(self.worker, 30, "a worker for the new database")

    def reopen(self):
        """Connects again after a restart."""
        self.sql = Session(self.lab, self.name)
        self.sql.lines("SET featul_integrations.operator = on")
        wait_until(self.worker, 30, "a worker after the restart")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sql.close()
        admin = Session(self.lab, "postgres")
        admin.lines("ALTER SYSTEM RESET featul_integrations.delivery")
        admin.lines("SELECT pg_reload_conf()")
        admin.lines(f"DROP DATABASE {self.name}")
        admin.close()

    def workspaces(self, first, count):
        """Workspaces w<first>... on a paid plan, each with an owner and a board b<n>."""
        last = first + count - 1
        for schema in ("public", "plain"):
            self.sql.lines(f"""
                SET search_path = {schema}, public;
                INSERT INTO "user" (id, name, email, email_verified)
                    SELECT 'u' || n, 'User ' || n, 'u' || n || '@example.com', true FROM generate_series({first}, {last}) n;
                INSERT INTO workspace (id, name, slug, plan, owner_id, domain)
                    SELECT 'w' || n, 'Workspace ' || n, 'w' || n, 'professional', 'u' || n, 'w' || n || '.example.com' FROM generate_series({first}, {last}) n;
                INSERT INTO board (id, workspace_id, name, slug, created_by)
                    SELECT 'b' || n, 'w' || n, 'Features', 'features', 'u' || n FROM generate_series({first}, {last}) n;
                RESET search_path""")

    def connect(self, workspace, url):
        """One webhook integration for a workspace (a number), or the same for a range."""
        first, last = workspace if isinstance(workspace, tuple) else (workspace, workspace)
        self.sql.lines(f"""SELECT integration_connect('w' || n, 'webhook', '{url}')
            FROM generate_series({first}, {last}) n""")

    def insert_posts(self, count, workspaces=(0, 0), schema="public"):
        """SQL of one statement that inserts so many posts, spread evenly over workspaces."""
        first, last = workspaces
        return f"""INSERT INTO {schema}.post (id, board_id, title, content, slug, author_id)
            SELECT gen_random_uuid(), 'b' || w, 'Dark mode for the dashboard ' || n, $content${CONTENT}$content$, gen_random_uuid(), 'u' || w
            FROM (SELECT n, {first} + n % {last - first + 1} AS w FROM generate_series(1, {count}) n) s"""

    def fill(self, count, workspaces=(0, 0)):
        """Makes a backlog through capture, in statements of at most 20,000 rows."""
        while count > 0:
            self.sql.lines(self.insert_posts(min(count, 20000), workspaces))
            count -= 20000

    def forget(self):
        """Empties posts and log; nothing may be pending or running."""
        self.sql.lines("""TRUNCATE public.post CASCADE; TRUNCATE plain.post CASCADE;
            TRUNCATE featul_integrations.event, featul_integrations.attempt, featul_integrations.mark;
            VACUUM ANALYZE featul_integrations.queue""")

    def pending(self, workspace=None):
        """Whether anything is pending (of one workspace); stops at the first row."""
        of = f"""WHERE integration_id = (SELECT id FROM featul_integrations.integration
            WHERE workspace_id = 'w{workspace}')""" if workspace is not None else ""
        return self.sql.value(f"SELECT EXISTS (SELECT FROM featul_integrations.queue {of})") == "t"

    def worker(self):
        """Process id of this database's worker; None while there is none."""
        pid = self.sql.value("""SELECT pid FROM pg_stat_activity
            WHERE backend_type = 'featul_integrations worker' AND datname = current_database() LIMIT 1""")
        return int(pid) if pid else None

    def settled(self):
        """Whether the workers have nothing under way and nothing to record.

        Asks the workers: looking into the queue would measure how long a scan of dead
        rows takes, which no worker does.
        """
        return self.sql.value("""SELECT bool_and(query = 'waiting for events') FROM pg_stat_activity
            WHERE backend_type = 'featul_integrations worker' AND datname = current_database()""") == "t"

    def workers(self):
        """Process ids of all workers of this database."""
        return [int(pid) for pid in self.sql.lines("""SELECT pid FROM pg_stat_activity
            WHERE backend_type = 'featul_integrations worker' AND datname = current_database()""")]

    def deliver(self, on):
        """Switches delivery; when it is off, returns only once the workers know."""
        since = self.sql.value("SELECT clock_timestamp()")
        self.sql.lines(f"ALTER SYSTEM SET featul_integrations.delivery = {'on' if on else 'off'}")
        self.sql.lines("SELECT pg_reload_conf()")
        if not on:
            wait_until(lambda: self.sql.value(f"""SELECT bool_and(config_loaded_at >= '{since}') AND sum(in_flight) = 0
                FROM featul_integrations.stat_worker WHERE database = current_database()""") == "t",
                30, "the workers stop sending")

    def drain(self, count, workspace=None, seconds=600):
        """Switches delivery on and measures until `count` requests arrived and all is recorded.

        Returns the seconds it took and the CPU seconds that the workers spent.
        """
        pids = self.workers()
        used = sum(map(cpu_seconds, pids))
        target = self.lab.requests() + count
        start = time.monotonic()
        self.deliver(True)
        deadline = start + seconds
        while self.lab.requests() < target:
            if time.monotonic() > deadline:
                raise BenchError(f"{target - self.lab.requests()} of {count} requests missing after {seconds} s")
            time.sleep(0.02)
        wait_until(self.settled, 60, "the deliveries are recorded")
        took = time.monotonic() - start
        used = sum(map(cpu_seconds, pids)) - used
        wait_until(lambda: not self.pending(workspace), 60, "nothing is left in the queue")
        self.deliver(False)
        return took, used
