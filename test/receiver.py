#!/usr/bin/env python3
"""A TLS receiver for tests and the demo: records every request, answers as told.

    receiver.py DIR [--port N]

DIR/certs holds the certificates (see test/certificates).  When it listens it
writes DIR/ports.json, a port for each of: server (the good certificate, all
hosts), expired, wrong_host, self_signed, old_tls (TLS 1.1 at most), plain (HTTP
without TLS) and blackhole (never completes a connection).  --port fixes the
port of server.  It ends with its parent process, or on SIGTERM.

DIR/forms.jsonl gets one body of each form, to each host.
DIR/record.jsonl gets one line per request, as soon as it is complete: n, time,
method, path, host, headers (names in lower case), header_list (as received),
body (a string; with invalid_utf8 where it had to be mended), connection (a
number), sni, tls, port, status (what it is answered; null if nothing).

DIR/script.json tells how to answer and is read again when it changes:

    {"PREFIX": [STEP, ...], ...}

PREFIX is "/path" or "host/path"; the longest that matches counts, else the
answer is the kind one (200, or 204 for Discord).  Each request uses one step, the
last one repeats.  The counting starts anew when the list of a prefix changes.
A step's keys, all optional:

    status, headers, body   the answer: 200, {}, "ok"
    times                   this step is for so many requests
    chance                  with this probability only, else the kind answer
    delay                   seconds before answering
    until                   wait until the file DIR/UNTIL exists
    retry_after_date        Retry-After as an HTTP date so many seconds from now
    limit                   {"count": 1, "seconds": 1}: enforces a rate; above it 429 with
                            Retry-After, with "discord": true as Discord says it
    rude                    instead of an answer (see RUDE), or "close_after": answers, then
                            closes the connection

"tls:HOST" is a list of steps for connections to HOST, before any request is
known: {"rude": R} with R one of stall (the handshake never ends), reset, close,
garbage (no TLS), h2_goaway, h2_reset (HTTP/2 that takes no request).
"""

import argparse
import email.utils
import functools
import json
import os
import re
import random
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import warnings
import zlib

HEADERS_END = b"\r\n\r\n"


class Script:
    """What DIR/script.json says, and how far each of its lists has been used."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "script.json")
        self.lock = threading.Lock()
        self.version = None
        self.lists = {}     # prefix -> steps
        self.used = {}      # prefix -> requests so far
        self.windows = {}   # prefix -> times of the requests a limit let through

    def _refresh(self):
        try:
            status = os.stat(self.path)
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
            if version == self.version:
                return
            with open(self.path, encoding="utf-8") as file:
                lists = json.load(file)
        except FileNotFoundError:
            version, lists = None, {}
        self.version = version
        for prefix in set(self.lists) | set(lists):
            if self.lists.get(prefix) != lists.get(prefix):
                self.used.pop(prefix, None)
                self.windows.pop(prefix, None)
        self.lists = lists

    def _take(self, prefix):
        steps = self.lists[prefix]
        used = self.used.get(prefix, 0)
        self.used[prefix] = used + 1
        for step in steps:
            used -= step.get("times", 1)
            if used < 0:
                return step
        return steps[-1] if steps else {}

    def for_connection(self, host):
        with self.lock:
            self._refresh()
            key = f"tls:{host}"
            return self._take(key) if key in self.lists else {}

    def for_request(self, host, path):
        """The step for this request, with the answer of a limit worked in."""
        with self.lock:
            self._refresh()
            matches = [prefix for prefix in self.lists
                       if path.startswith(prefix) or (host + path).startswith(prefix)]
            if not matches:
                return {}
            prefix = max(matches, key=len)
            step = self._take(prefix)
            if random.random() >= step.get("chance", 1):
                return {}
            if "limit" in step:
                return self._limited(prefix, step)
            return step

    def _limited(self, prefix, step):
        limit = step["limit"]
        count, seconds = limit.get("count", 1), limit.get("seconds", 1)
        now = time.monotonic()
        window = [at for at in self.windows.get(prefix, []) if at > now - seconds]
        self.windows[prefix] = window
        refused = len(window) >= count
        if not refused:
            window.append(now)
        wait = window[0] + seconds - now
        answer = dict(step)
        headers = answer["headers"] = dict(step.get("headers", {}))
        if limit.get("discord"):
            headers["X-RateLimit-Limit"] = str(count)
            headers["X-RateLimit-Remaining"] = str(count - len(window))
            headers["X-RateLimit-Reset-After"] = f"{wait:.3f}"
        if refused:
            answer["status"] = 429
            if limit.get("discord"):
                headers["Retry-After"] = str(int(wait) + 1)
                headers["Content-Type"] = "application/json"
                answer["body"] = json.dumps({"message": "You are being rate limited.",
                                             "retry_after": round(wait, 3), "global": False})
            else:
                headers["Retry-After"] = str(int(wait) + 1)
                answer["body"] = "rate_limited"
        return answer


# What two bodies may differ in and still be of one form: values of keys.
VALUE = re.compile(r':\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9.]+)')


class Receiver:
    def __init__(self, directory):
        self.directory = directory
        self.script = Script(directory)
        self.record_fd = os.open(os.path.join(directory, "record.jsonl"),
                                 os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.forms = set()
        self.forms_fd = os.open(os.path.join(directory, "forms.jsonl"),
                                os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.lock = threading.Lock()
        self.requests = 0
        self.connections = 0

    # -- connections --------------------------------------------------------

    def context(self, certificate, alpn=None, old=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        base = os.path.join(self.directory, "certs", certificate)
        context.load_cert_chain(base + ".pem", base + ".key")
        if old:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
        if alpn:
            context.set_alpn_protocols([alpn])
        return context

    def listen(self, port, context):
        """Accepts connections in a thread of their own; returns the port."""
        listener = socket.create_server(("127.0.0.1", port), backlog=4096, reuse_port=False)
        threading.Thread(target=self.accept, args=(listener, context), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener, context):
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection, context), daemon=True).start()

    def serve(self, raw, context):
        with self.lock:
            self.connections += 1
            number = self.connections
        connection = Connection(self, raw, number)
        try:
            if context is None or connection.handshake(context):
                connection.serve()
        except OSError:
            pass                # the client went away (TLS errors are OSErrors too)
        finally:
            connection.close()

    def record(self, entry):
        with self.lock:
            self.requests += 1
            line = json.dumps({"n": self.requests, "time": time.time(), **entry}) + "\n"
            os.write(self.record_fd, line.encode())
            self.record_form(entry)

    def record_form(self, entry):
        """One body of each form, by host, for the test that holds them against their schemas."""
        form = (entry["host"], VALUE.sub(":", entry["body"]))
        if form in self.forms:
            return
        self.forms.add(form)
        line = json.dumps({"host": entry["host"], "body": entry["body"]}) + "\n"
        os.write(self.forms_fd, line.encode())


class Connection:
    def __init__(self, receiver, raw, number):
        self.receiver = receiver
        self.socket = raw       # the TLS socket, once there is one
        self.number = number
        self.port = raw.getsockname()[1]
        self.sni = None
        self.buffer = b""

    # -- TLS ----------------------------------------------------------------

    def handshake(self, context):
        """True when requests may come; plays the rude connections."""
        hello = self.socket.recv(16384, socket.MSG_PEEK)
        self.sni = server_name(hello)
        rude = self.receiver.script.for_connection(self.sni).get("rude")
        if rude == "stall":
            self.until_closed()
            return False
        if rude in ("reset", "close"):
            RUDE[rude](self)
            return False
        if rude == "garbage":
            self.send(b"SSH-2.0-OpenSSH_9.2p1\r\n" * 10)
            return False
        if rude in ("h2_goaway", "h2_reset"):
            context = self.receiver.context("server", alpn="h2")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        if rude:
            self.http2(rude)
        return not rude

    def http2(self, rude):
        """Frame by frame (RFC 9113), only as far as refusing every request needs."""
        self.read_exactly(24)   # the preface
        self.send(frame(4, 0, 0))
        while True:
            head = self.read_exactly(9)
            self.read_exactly(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            if kind == 4 and not flags & 1:
                self.send(frame(4, 1, 0))
            elif kind == 1 and rude == "h2_reset":
                self.send(frame(3, 0, stream, struct.pack(">I", 2)))     # INTERNAL_ERROR
            elif kind == 1:
                self.send(frame(7, 0, 0, struct.pack(">II", 0, 11)))     # ENHANCE_YOUR_CALM
                return

    # -- reading ------------------------------------------------------------

    def fill(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def read_exactly(self, length):
        while len(self.buffer) < length:
            if not self.fill():
                raise OSError("closed")
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def read_request(self):
        """The next request as a dict, None at the end of the connection."""
        while HEADERS_END not in self.buffer:
            if not self.fill():
                return None
        head, self.buffer = self.buffer.split(HEADERS_END, 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        header_list = [[name, value.strip()]
                       for name, value in (line.split(":", 1) for line in lines)]
        headers = {name.lower(): value for name, value in header_list}
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.read_exactly(int(headers.get("content-length", 0)))
        request = {"method": method, "path": path, "host": headers.get("host", ""),
                   "headers": headers, "header_list": header_list,
                   "body": body.decode("utf-8", "replace")}
        if request["body"].encode() != body:
            request["invalid_utf8"] = True
        return request

    def until_closed(self):
        """Says nothing until the client gives up."""
        while self.socket.recv(65536):
            pass

    # -- answering ----------------------------------------------------------

    def send(self, data):
        self.socket.sendall(data)

    def serve(self):
        while True:
            request = self.read_request()
            if request is None:
                return
            step = self.receiver.script.for_request(request["host"].split(":")[0],
                                                    request["path"])
            rude = step.get("rude")
            answer = answer_of(step, request)
            secured = isinstance(self.socket, ssl.SSLSocket)
            self.receiver.record({
                **request, "connection": self.number, "sni": self.sni,
                "tls": self.socket.version() if secured else None,
                "port": self.port,
                "status": None if rude in RUDE else answer[0]})
            if "until" in step:
                wait_for_file(os.path.join(self.receiver.directory, step["until"]))
            if "delay" in step:
                time.sleep(step["delay"])
            if rude in RUDE:
                RUDE[rude](self)
                return
            self.send(render(*answer))
            if rude == "close_after":
                return

    def reset(self):
        """A TCP RST instead of an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.socket.detach())

    def drip(self, data):
        for byte in data:
            self.send(bytes([byte]))
            time.sleep(0.1)

    def endless(self, start, more):
        self.send(start)
        while True:
            self.send(more)

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


@functools.cache
def gzip_bomb():
    """64 MiB of zeros in 64 KiB; made once, as it takes longer than some tests wait."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()


def send_gzip_bomb(connection):
    bomb = gzip_bomb()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
                    % len(bomb) + bomb)


# What a request may get instead of an answer.
RUDE = {
    "reset": lambda c: c.reset(),
    "close": lambda c: None,
    "silence": lambda c: c.until_closed(),
    "garbage": lambda c: c.send(b"\x00\x01 this is no HTTP\r\n\r\n"),
    "bad_status": lambda c: c.send(b"HTTP/1.1 OK fine\r\n\r\n"),
    "drip_headers": lambda c: c.drip(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1000 + b"\r\n"),
    "drip_body": lambda c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
                            c.drip(b"x" * 5000)),
    "endless_headers": lambda c: c.endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
    "endless_body": lambda c: c.endless(b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 65536),
    "endless_chunks": lambda c: c.endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                          b"4000\r\n" + b"z" * 0x4000 + b"\r\n"),
    "bad_chunks": lambda c: c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"),
    "gzip_bomb": send_gzip_bomb,
    "bad_gzip": lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                                 b"Content-Length: 9\r\n\r\nnot gzip!"),
    "truncated": lambda c: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
    "reset_in_headers": lambda c: (c.send(b"HTTP/1.1 200 OK\r\nX-A"), c.reset()),
    "reset_in_body": lambda c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly"),
                                c.reset()),
}


def answer_of(step, request):
    """Status, headers and body that a step gives to a request."""
    kind_status, kind_body = (204, "") if request["path"].startswith("/api/") else (200, "ok")
    status = step.get("status", kind_status)
    headers = dict(step.get("headers", {}))
    if "retry_after_date" in step:
        headers["Retry-After"] = email.utils.formatdate(time.time() + step["retry_after_date"],
                                                        usegmt=True)
    return status, headers, step.get("body", kind_body if status < 300 else "")


def render(status, headers, body):
    data = body.encode("utf-8", "surrogateescape")
    lines = [f"HTTP/1.1 {status} Scripted"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != 204:
        lines.append(f"Content-Length: {len(data)}")
    else:
        data = b""
    return "\r\n".join(lines).encode("latin-1") + HEADERS_END + data


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def server_name(hello):
    """The host name in a ClientHello (RFC 6066), None without."""
    try:
        at = 43 + 1 + hello[43]                                     # session id
        at += 2 + int.from_bytes(hello[at:at + 2], "big")           # ciphers
        at += 1 + hello[at]                                         # compression
        end = at + 2 + int.from_bytes(hello[at:at + 2], "big")
        at += 2
        while at < end:
            kind, length = struct.unpack(">HH", hello[at:at + 4])
            if kind == 0:
                return hello[at + 9:at + 4 + length].decode("ascii")
            at += 4 + length
    except (IndexError, struct.error, UnicodeDecodeError):
        pass
    return None


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def blackhole():
    """A port whose queue of connections is full: further ones are never answered."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [listener]
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener.getsockname()[1], fillers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("directory")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # who started it ends it

    receiver = Receiver(arguments.directory)
    ports = {"server": receiver.listen(arguments.port, receiver.context("server"))}
    for name in ("expired", "wrong_host", "self_signed"):
        ports[name] = receiver.listen(0, receiver.context(name))
    ports["old_tls"] = receiver.listen(0, receiver.context("server", old=True))
    ports["plain"] = receiver.listen(0, None)
    ports["blackhole"], fillers = blackhole()

    path = os.path.join(arguments.directory, "ports.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(ports, file)
    os.rename(path + ".new", path)

    while os.getppid() == parent:
        time.sleep(0.2)
    del fillers


if __name__ == "__main__":
    sys.exit(main())
