"""What the measurements run on: a throw-away cluster, nginx as TLS sink, a test CA.

Everything lives in one temporary folder and on loopback, runs as an unprivileged user,
and is gone afterwards.
"""

import http.client
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
CONNECTIONS = 8  # featul_integrations.max_in_flight_per_integration, and every peer's

WAL_SEGMENTS = 100
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")  # of Debian's ca-certificates

CONF = """
listen_addresses = ''
max_connections = 100
shared_preload_libraries = 'featul_integrations'
shared_buffers = 512MB
max_wal_size = 8GB
min_wal_size = 2GB
checkpoint_timeout = 30min
max_worker_processes = 32
log_min_messages = warning
logging_collector = off
featul_integrations.delivery = off
featul_integrations.allowed_networks = '127.0.0.0/8'
"""

# The echo module (Debian: libnginx-mod-http-echo) reads a request to its end before it
# answers, as a receiver does; nginx's own `return` resets an HTTP/2 stream instead.
NGINX = """
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    ssl_certificate {folder}/sink.pem;
    ssl_certificate_key {folder}/sink.key;
    ssl_session_cache shared:tls:1m;
    server {{ listen 127.0.0.1:{h1} ssl; location / {{ echo_read_request_body; echo -n ok; }}
        location /after1 {{ echo_read_request_body; echo_sleep 0.6; echo -n ok; }}
        location /after2 {{ echo_read_request_body; echo_sleep 1.8; echo -n ok; }}
        location /after3 {{ echo_read_request_body; echo_sleep 6; echo -n ok; }}
        location /hangs {{ echo_read_request_body; echo_sleep 60; echo -n ok; }}
        location /fails {{ return 500; }} }}
    server {{ listen 127.0.0.1:{h2} ssl http2; location / {{ echo_read_request_body; echo -n ok; }} }}
    server {{ listen 127.0.0.1:{closing} ssl; keepalive_timeout 0;
        location / {{ echo_read_request_body; echo -n ok; }} }}
    server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
"""


class BenchError(Exception):
    """The measurement could not be made; says why."""


def free_port():
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, seconds, what):
    """Polls until the condition holds and returns what it gave; an error after so long."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise BenchError(f"waited {seconds} s in vain: {what}")
        time.sleep(0.005)


class Session:
    """One psql that stays open: cheap to ask, and its transactions can be left open."""

    END = "--bench--"

    def __init__(self, lab, database):
        environment = {"PGOPTIONS": "-c client_min_messages=error"}
        self.process = lab.start(
            [lab.pg("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", "\t", *lab.to(database)],
            environment=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def lines(self, sql):
        """Runs one or more statements; the rows of all of them, as lines."""
        self.process.stdin.write(f"{sql.rstrip().rstrip(';')};\n\\echo {self.END}\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.rstrip("\n") == self.END:
                return lines
            lines.append(line.rstrip("\n"))
        raise BenchError("psql: " + " / ".join(lines))

    def value(self, sql):
        """The first column of the first row, as text; None without a row."""
        lines = self.lines(sql)
        return lines[0].split("\t")[0] if lines else None

    def seconds(self, sql):
        """How long the statements took, as the client sees it."""
        start = time.monotonic()
        self.lines(sql)
        return time.monotonic() - start

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Lab:
    """The cluster, the sinks and the tools; a context manager."""

    def __init__(self):
        self.processes = []
        self.owner = pwd.getpwuid(os.geteuid())
        if self.owner.pw_uid == 0:
            self.owner = pwd.getpwnam("postgres")
        self.folder = Path(tempfile.mkdtemp(prefix="featul_bench."))
        os.chown(self.folder, self.owner.pw_uid, self.owner.pw_gid)
        self.bindir = subprocess.check_output(
            [os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], text=True
        ).strip()
        self.ports = {name: free_port() for name in ("pg", "h1", "h2", "closing", "status", "arrival", "dead")}
        self.plots = {}  # file name in docs/: SVG
        self.polls = 0
        self.status = None

    def __enter__(self):
        try:
            self.make_tools()
            self.make_ca()
            self.start_nginx()
            self.make_cluster()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                process.wait()
        if (self.folder / "data" / "postmaster.pid").exists():
            self.run([self.pg("pg_ctl"), "-D", self.folder / "data", "-m", "immediate", "stop"])
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- running things as the unprivileged owner ----------------------------------------

    def as_owner(self, command):
        command = [str(word) for word in command]
        if os.geteuid() == 0:
            # setpriv execs: the process started is the process itself
            return ["setpriv", f"--reuid={self.owner.pw_uid}", f"--regid={self.owner.pw_gid}",
                    "--init-groups", *command]
        return command

    def environment(self, more=None):
        return {**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC", **(more or {})}

    def run(self, command, environment=None, **options):
        """Runs to the end and returns its output; an error with its words if it fails."""
        done = subprocess.run(
            self.as_owner(command), env=self.environment(environment), cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )
        if done.returncode != 0:
            raise BenchError(f"{shlex.join(map(str, command))}: {done.stderr or done.stdout}")
        return done.stdout

    def start(self, command, environment=None, **options):
        """Starts a process that ends with the lab at the latest."""
        process = subprocess.Popen(
            self.as_owner(command), env=self.environment(environment), cwd=self.folder, **options
        )
        self.processes.append(process)
        return process

    def pg(self, program):
        return f"{self.bindir}/{program}"

    def to(self, database):
        """Arguments that connect a client program to a database."""
        return ["-h", str(self.folder), "-p", str(self.ports["pg"]), "-U", self.owner.pw_name, "-d", database]

    def file(self, name, text):
        """A file in the lab's folder; its path."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    # -- the sinks -----------------------------------------------------------------------

    def make_tools(self):
        for name, libraries in (("bare", ["-lcurl"]), ("arrival", ["-lssl", "-lcrypto"])):
            self.run(["cc", "-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-x", "c", "-",
                      "-o", self.folder / name, *libraries], input=(HERE / f"{name}.c").read_text())

    def make_ca(self):
        """A CA of our own and a certificate of it for *.sink.test."""
        extension = self.file("sink.ext", "subjectAltName = DNS:*.sink.test, IP:127.0.0.1\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.run(["openssl", "req", "-x509", *key, "-days", "30", "-subj", "/CN=bench CA",
                  "-keyout", "ca.key", "-out", "ca.pem"])
        self.run(["openssl", "req", *key, "-subj", "/CN=sink", "-keyout", "sink.key", "-out", "sink.csr"])
        self.run(["openssl", "x509", "-req", "-days", "30", "-in", "sink.csr", "-CA", "ca.pem", "-CAkey",
                  "ca.key", "-CAcreateserial", "-extfile", extension, "-out", "sink.pem"])

        # what is trusted by default, and the CA above: a connection costs what it costs users
        bundle = SYSTEM_BUNDLE.read_text() if SYSTEM_BUNDLE.exists() else ""
        self.file("bundle.pem", bundle + (self.folder / "ca.pem").read_text())

    def start_nginx(self):
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"
        conf = self.file("nginx.conf", NGINX.format(folder=self.folder, **self.ports))
        self.start([nginx, "-p", self.folder, "-e", self.folder / "nginx.log", "-c", conf])
        wait_until(lambda: self.listening("status"), 10, "nginx")
        self.status = http.client.HTTPConnection("127.0.0.1", self.ports["status"])

    def listening(self, name):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.ports[name])) == 0

    def requests(self):
        """How many requests the sinks of nginx have received (those for this figure left out)."""
        self.status.request("GET", "/")
        text = self.status.getresponse().read().decode()
        self.polls += 1
        return int(re.search(r"requests\s+\d+ \d+ (\d+)", text).group(1)) - self.polls

    def url(self, sink, path="/hook"):
        """A URL that connect_to leads to a sink: h1, h2, closing, arrival or dead."""
        return f"https://{sink}.sink.test{path}"

    # -- the cluster ---------------------------------------------------------------------

    def make_cluster(self):
        data = self.folder / "data"
        self.run([self.pg("initdb"), "-D", data, "-U", self.owner.pw_name, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"])
        routes = ", ".join(f"{n}.sink.test:443:127.0.0.1:{self.ports[n]}" for n in ("h1", "h2", "closing", "arrival", "dead"))
        routes += f", ::127.0.0.1:{self.ports['h1']}"  # any other host
        with open(data / "postgresql.conf", "a") as conf:
            conf.write(CONF)
            conf.write(f"unix_socket_directories = '{self.folder}'\nport = {self.ports['pg']}\n")
            conf.write(f"featul_integrations.ca_file = '{self.folder}/bundle.pem'\n")
            conf.write(f"featul_integrations.connect_to = '{routes}'\n")
        self.start_cluster()
        self.recycle_wal()

    def recycle_wal(self):
        """Makes WAL segments to be used again, as a cluster that has run for long has them.

        A new one is filled with zeros first, within some application's transaction.
        """
        with closing(Session(self, "postgres")) as admin:
            for _ in range(WAL_SEGMENTS):
                admin.lines("SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()")
            admin.lines("CHECKPOINT")

    def start_cluster(self):
        self.run([self.pg("pg_ctl"), "-w", "-t", "60", "-D", self.folder / "data", "-l", self.folder / "server.log", "start"])

    @contextmanager
    def server_apart(self):
        """While it lasts, new backends run on one core; yields what keeps a client on another.

        Left to the scheduler, a client that waits for its backend shares the backend's core or
        not, depending on how long the transaction computes; that alone makes a difference of
        15 us a transaction. With cores of their own they are as a client and a server are.
        """
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        cores = os.sched_getaffinity(postmaster)
        os.sched_setaffinity(postmaster, {max(cores)})
        try:
            yield ["taskset", "--cpu-list", str(min(cores))]
        finally:
            os.sched_setaffinity(postmaster, cores)

    def stop_cluster(self):
        self.run([self.pg("pg_ctl"), "-w", "-t", "60", "-m", "fast", "-D", self.folder / "data", "stop"])

    def restart_with(self, **settings):
        """Restarts the cluster with these settings of the extension."""
        with closing(Session(self, "postgres")) as admin:
            for name, value in settings.items():
                admin.lines(f"ALTER SYSTEM SET featul_integrations.{name} = '{value}'")
        self.stop_cluster()
        self.start_cluster()

    def server_log(self):
        return (self.folder / "server.log").read_text()

    def worker_processes(self, kind="worker"):
        """Process ids of our workers (or launcher), by their titles."""
        postmaster = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        pids = []
        for pid in children:
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
            except FileNotFoundError:
                continue
            if b"featul_integrations " + kind.encode() in title:
                pids.append(int(pid))
        return pids


def memory(pid):
    """Anonymous resident memory of a process, bytes: shared buffers do not count."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid):
    """CPU time a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def switches(pid):
    """How often a process has given up or lost the processor: no wake-up, no change."""
    total = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if "ctxt_switches" in line:
            total += int(line.split()[1])
    return total
