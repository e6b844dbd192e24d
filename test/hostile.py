#!/usr/bin/env python3
"""A TLS peer that misbehaves: point anything at it that sends HTTPS requests.

    hostile.py DIRECTORY

DIRECTORY/certs has the certificates that test/certificates makes.  Each behaviour (see
HTTP1, HTTP2 and TLS below) listens on a port of its own on 127.0.0.1; once all of them do,
DIRECTORY/hostile.json has {"NAME": PORT}.  For the worker one leads a host there:

    featul_integrations.connect_to = 'bad.example.com:443:127.0.0.1:PORT'

What arrives is appended to DIRECTORY/hostile.jsonl, one object a line: behaviour,
connection (numbers of that behaviour, from 1), and event: "open", "request" or "closed".

Those in NO_TLS send something else than a handshake.  Names in HTTP2 speak HTTP/2 alone, and want a client that offers it; those in PROXY are HTTP
proxies.
Needs the Python standard library and the openssl program.  It ends with its parent.
"""

import argparse
import ctypes
import functools
import gzip
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import zlib

PR_SET_PDEATHSIG = 1            # prctl(2)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Frames of RFC 9113, section 6
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 7, 8, 9)
ACK = END_STREAM = 1
END_HEADERS = 4
STATUS_200 = b"\x88"            # RFC 7541, appendix A: index 8
REFUSED = 7                     # RFC 9113, section 7: REFUSED_STREAM


class Closed(Exception):
    """The client has gone."""


class Connection:
    """One accepted socket, after the handshake."""

    def __init__(self, peer, behaviour, number, sock):
        self.peer = peer
        self.behaviour = behaviour
        self.number = number
        self.socket = sock
        self.buffer = b""
        self.requests = 0

    def note(self, event):
        self.peer.note(self.behaviour, self.number, event)

    def send(self, data):
        self.socket.sendall(data)

    def flood(self, data):
        """The same for ever."""
        while True:
            self.socket.sendall(data)

    def read(self, length):
        while len(self.buffer) < length:
            data = self.socket.recv(65536)
            if not data:
                raise Closed
            self.buffer += data
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def read_to(self, end):
        while end not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise Closed
            self.buffer += data
        return self.read(self.buffer.index(end) + len(end))

    def silence(self):
        """Says nothing until the client gives up."""
        while self.socket.recv(65536):
            pass
        raise Closed


# -- HTTP/1.1 ---------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Http1(Connection):
    def request(self):
        """Reads one to its end."""
        head = self.read_to(b"\r\n\r\n").lower()
        length = head.partition(b"content-length:")[2].split(b"\r\n")[0]
        self.read(int(length or 0))
        self.requests += 1
        self.note("request")


def empty_gzip():
    """What a gzip stream is made of that never gets anywhere: empty stored blocks."""
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    return head, b"\x00\x00\x00\xff\xff" * 1000


def gzip_nothing(c):
    c.request()
    head, blocks = empty_gzip()
    c.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + head)
    c.flood(blocks)


@functools.cache
def gzip_in_gzip():
    """64 MiB that decompress to nothing, compressed twice: some hundred bytes; it could be terabytes."""
    head, blocks = empty_gzip()
    packers = [zlib.compressobj(9, zlib.DEFLATED, 31) for _ in range(2)]
    packed = packers[1].compress(packers[0].compress(head))
    for _ in range(64):
        packed += packers[1].compress(packers[0].compress(blocks * 210))
    return packed + packers[1].compress(packers[0].flush()) + packers[1].flush()


def encoded(body, *headers):
    """An answer whose body is encoded as these headers say."""
    def behave(c):
        c.request()
        data = body()
        c.send(b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (b"\r\n".join(headers), len(data), data))
        c.silence()
    return behave


def twice(text):
    return lambda: gzip.compress(gzip.compress(text))


def after_headers(start, more):
    """Answers with a start, then with more of the same for ever."""
    def behave(c):
        c.request()
        c.send(start)
        c.flood(more)
    return behave


def closes_kept_alive(c):
    """Keeps connections alive for one request, and closes them when the next comes."""
    c.request()
    c.send(OK)
    c.request()


def closes_at_once(c):
    c.request()


def closes_in_headers(c):
    """Says goodbye, as TLS wants it, before the headers are complete."""
    c.request()
    c.send(b"HTTP/1.1 200 OK\r\nX: y\r\n")
    c.socket.unwrap()


def closes_each(c):
    c.request()
    c.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))


def goes_silent(c):
    """Answers the first request on each connection, and then never again."""
    c.request()
    c.send(OK)
    c.request()
    c.silence()


def first_goes_silent(c):
    """Of the first ten connections each answers once only; later ones do always."""
    c.request()
    c.send(OK)
    c.request()
    if c.number <= 10:
        c.silence()
    while True:
        c.send(OK)
        c.request()


def small_records(c):
    """A header line that never ends, in records of a byte, as fast as can be."""
    c.request()
    c.send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        c.send(b"x")


def answers_ahead(c):
    """Ten answers to each request."""
    while True:
        c.request()
        c.send(OK * 10)


def drips(c):
    """A header that never ends, a byte at a time."""
    c.request()
    c.send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        c.send(b"x")
        time.sleep(0.02)


def friendly(c):
    while True:
        c.request()
        c.send(OK)


HTTP1 = {
    "h1_chunk_extension": after_headers(CHUNKED + b"2;", b"x" * 16384),
    "h1_tiny_chunks": after_headers(CHUNKED, b"1;%s\r\nx\r\n" % (b"e" * 500) * 100),
    "h1_trailers": after_headers(CHUNKED + b"0\r\n", b"X-More: yes\r\n" * 1000),
    "h1_interim": after_headers(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "h1_header_line": after_headers(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 16384),
    "h1_blank_lines": after_headers(b"", b"\r\n" * 8192),
    "h1_gzip_nothing": gzip_nothing,
    "h1_gzip_thrice": encoded(gzip_in_gzip, b"Content-Encoding: gzip, gzip, gzip"),
    "h1_encoded_once": encoded(lambda: gzip.compress(b"some text"), b"Content-Encoding: identity, gzip"),
    "h1_encoded_twice": encoded(twice(b"some text"), b"Content-Encoding: gzip,gzip"),
    "h1_encoded_by_two": encoded(twice(b"some text"), b"Content-Encoding: gzip", b"content-encoding:gzip"),
    "h1_encoded_on_the_way": encoded(twice(b"some text"), b"Transfer-Encoding: gzip", b"Content-Encoding: gzip"),
    "h1_closes_kept_alive": closes_kept_alive,
    "h1_closes_at_once": closes_at_once,
    "h1_closes_in_headers": closes_in_headers,
    "h1_closes_each": closes_each,
    "h1_goes_silent": goes_silent,
    "h1_first_goes_silent": first_goes_silent,
    "h1_drips": drips,
    "h1_small_records": small_records,
    "h1_answers_ahead": answers_ahead,
    "friendly": friendly,
}


# -- HTTP/2 -----------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Http2(Connection):
    def start(self):
        if self.read(24) != PREFACE:
            raise Closed
        self.send(frame(SETTINGS, 0, 0))

    def request(self):
        """Reads one to its end; its stream."""
        while True:
            length, kind, flags, stream = struct.unpack(">IBBI", b"\0" + self.read(9))
            self.read(length)
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            elif kind in (HEADERS, DATA) and flags & END_STREAM:
                self.requests += 1
                self.note("request")
                return stream

    def answer(self, stream):
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200))

    def goaway(self, last, error=0):
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, error)))


def h2_flood(make):
    """Never answers, but never stops sending such frames either."""
    def behave(c):
        stream = c.request()
        c.flood(make(stream) * 500)
    return behave


def h2_friendly(c):
    while True:
        c.answer(c.request())


def h2_goes_silent(c):
    """The first connection answers one request and no other; later ones do all."""
    c.answer(c.request())
    while True:
        stream = c.request()
        if c.number > 1:
            c.answer(stream)


def h2_goaway_each_third(c):
    """As a proxy with `keepalive_requests 3`: the third is the last one processed."""
    stream = 0
    for _ in range(3):
        stream = c.request()
        c.answer(stream)
    c.goaway(stream)
    while True:
        c.request()


def h2_goaway_unprocessed(c):
    """The first connection processes one request; others only as many as come."""
    c.answer(c.request())
    if c.number == 1:
        stream = c.request()
        c.goaway(stream - 2)
        return
    h2_friendly(c)


def h2_refuses(c):
    """Of each connection the first request is processed, the second refused, and so on."""
    while True:
        stream = c.request()
        if c.requests % 2 == 1 and c.number % 2 == 1:
            c.answer(stream)
        elif c.number % 2 == 1:
            c.send(frame(RST_STREAM, 0, stream, struct.pack(">I", REFUSED)))
        else:
            c.answer(stream)


def h2_refuses_all(c):
    while True:
        c.send(frame(RST_STREAM, 0, c.request(), struct.pack(">I", REFUSED)))


HTTP2 = {
    "h2_priority": h2_flood(lambda stream: frame(PRIORITY, 0, stream, b"\0\0\0\0\x0f")),
    "h2_window_update": h2_flood(lambda stream: frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\x01")),
    "h2_empty_data": h2_flood(lambda stream: frame(DATA, 0, stream)),
    "h2_unknown": h2_flood(lambda stream: frame(0xFA, 0, 0, b"x")),
    "h2_ping": h2_flood(lambda stream: frame(PING, ACK, 0, b"12345678")),
    "h2_settings": h2_flood(lambda stream: frame(SETTINGS, ACK, 0)),
    "h2_friendly": h2_friendly,
    "h2_goes_silent": h2_goes_silent,
    "h2_goaway_each_third": h2_goaway_each_third,
    "h2_goaway_unprocessed": h2_goaway_unprocessed,
    "h2_refuses": h2_refuses,
    "h2_refuses_all": h2_refuses_all,
}


# -- TLS --------------------------------------------------------------------------------

def openssl(*words, **options):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True,
                          **options).stdout


class Certificates:
    """Certificates that are well signed by the CA of DIRECTORY/certs, and yet too much."""

    EXTENSIONS = ("subjectAltName = DNS:*.example.com,DNS:discord.com\n"
                  "basicConstraints = critical, CA:false\n")

    def __init__(self, directory):
        self.certs = os.path.join(directory, "certs")
        self.made = os.path.join(directory, "hostile")
        os.makedirs(self.made, exist_ok=True)

    def path(self, name):
        return os.path.join(self.made, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        return self.path(name)

    def issue(self, name, key_options, extensions, issuer=None, public_key=None):
        """NAME.pem, by the CA or another issuer, of a new key NAME.key (or a public key)."""
        by = issuer or os.path.join(self.certs, "ca")
        openssl("req", "-new", "-newkey", *key_options, "-nodes", "-subj", f"/CN={name}",
                "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"))
        openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", f"{by}.pem",
                "-CAkey", f"{by}.key", "-CAcreateserial", "-CAserial", self.path(f"{name}.srl"),
                "-days", "30", "-extfile", self.write(f"{name}.cnf", extensions),
                *(["-force_pubkey", public_key] if public_key else []),
                "-out", self.path(f"{name}.pem"))
        return self.path(name)

    EC = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

    def leaf(self, name, extensions=EXTENSIONS, issuer=None):
        return self.issue(name, self.EC, extensions, issuer)

    def chain(self, leaf, *others):
        """A chain file of a leaf and whatever follows it; with the leaf's key."""
        text = "".join(open(f"{path}.pem", encoding="ascii").read() for path in (leaf, *others))
        return self.write(os.path.basename(leaf) + ".chain", text), f"{leaf}.key"

    def long_chain(self):
        """Fourteen intermediates, each issued by the one before."""
        issuer, chain = None, []
        for n in range(14):
            issuer = self.issue(f"intermediate{n}", self.EC,
                                "basicConstraints = critical, CA:true\n", issuer)
            chain.insert(0, issuer)
        return self.chain(self.leaf("long_chain", issuer=issuer), *chain)

    def large_key(self):
        """Sends along a certificate with an RSA key of 16,384 bits."""
        # RFC 8017, A.1.1: SEQUENCE { modulus, exponent }; any odd number will do here
        public = self.write("large.asn1", "asn1 = SEQUENCE:key\n[key]\nalgorithm = SEQUENCE:rsa\n"
                            "bits = BITWRAP,SEQUENCE:numbers\n[rsa]\noid = OID:rsaEncryption\n"
                            "none = NULL\n[numbers]\nn = INTEGER:0x" + "F" * 4096 +
                            "\ne = INTEGER:0x10001\n")
        openssl("asn1parse", "-genconf", public, "-noout", "-out", self.path("large.der"))
        openssl("pkey", "-pubin", "-inform", "DER", "-in", self.path("large.der"),
                "-pubout", "-out", self.path("large.pub"))
        extra = self.issue("large_extra", self.EC, "basicConstraints = critical, CA:true\n",
                           public_key=self.path("large.pub"))
        return self.chain(self.leaf("large_key"), extra)

    def large_leaf(self):
        """Its own key is an RSA key of 15,636 bits: of two Mersenne primes, as any others took minutes."""
        p, q, e = 2**11213 - 1, 2**4423 - 1, 65537
        d = pow(e, -1, (p - 1) * (q - 1))
        # RFC 8017, A.1.2: version, modulus, exponents, primes, and what the CRT needs
        numbers = [0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]
        config = self.write("leaf.asn1", "asn1 = SEQUENCE:key\n[key]\n" + "".join(
            f"n{i} = INTEGER:0x{number:x}\n" for i, number in enumerate(numbers)))
        openssl("asn1parse", "-genconf", config, "-noout", "-out", self.path("leaf.der"))
        openssl("rsa", "-inform", "DER", "-in", self.path("leaf.der"), "-out", self.path("leaf.key"))
        openssl("rsa", "-in", self.path("leaf.key"), "-pubout", "-out", self.path("leaf.pub"))
        leaf = self.issue("large_leaf", self.EC, self.EXTENSIONS, public_key=self.path("leaf.pub"))
        return f"{leaf}.pem", self.path("leaf.key")

    def name_constraints(self):
        """As many names as there is room for, each to be held against as many constraints."""
        constraints = "".join(f"permitted;DNS.{n} = n{n}.example.org\n" for n in range(700))
        issuer = self.issue("constraining", self.EC,
                            "basicConstraints = critical, CA:true\nnameConstraints = critical, @names\n"
                            f"[names]\npermitted;DNS.900 = example.com\n{constraints}")
        names = ",".join(f"DNS:n699.n{n}.example.com" for n in range(900))
        return self.chain(self.leaf("name_constraints", "basicConstraints = critical, CA:false\n"
                                    f"subjectAltName = {names},DNS:*.example.com\n", issuer), issuer)

    def many_names(self):
        """100 KB of names, that of the host last."""
        names = ",".join(f"DNS:{'n' * 40}{n}.example.org" for n in range(1600))
        return self.chain(self.leaf("many_names", "basicConstraints = critical, CA:false\n"
                                    f"subjectAltName = {names},DNS:*.example.com\n"))

    def dhe_parameters(self):
        """A modulus of 8,192 bits: what a client computes does not depend on which."""
        # PKCS #3, section 9: SEQUENCE { prime, base }
        config = self.write("dhe.asn1", "asn1 = SEQUENCE:numbers\n[numbers]\n"
                            "p = INTEGER:0x" + "F" * 2048 + "\ng = INTEGER:2\n")
        openssl("asn1parse", "-genconf", config, "-noout", "-out", self.path("dhe.der"))
        with open(self.path("dhe.der"), "rb") as file:
            text = ssl.DER_cert_to_PEM_cert(file.read())
        return self.write("dhe.pem", text.replace("CERTIFICATE", "DH PARAMETERS"))


def tickets_context(base):
    """TLS 1.3 that gives out session tickets by the thousand."""
    context = server_context(f"{base}.pem", f"{base}.key")
    context.num_tickets = 4000
    return context


def server_context(chain, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


def dhe_context(certificates, base):
    """TLS 1.2 with nothing but finite-field Diffie-Hellman, of 8,192 bits."""
    context = server_context(f"{base}.pem", f"{base}.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("kDHE:@SECLEVEL=0")
    context.load_dh_params(certificates.dhe_parameters())
    return context


# name -> what makes its context
TLS = {
    "tls_dhe": lambda made, base: dhe_context(made, base),
    "tls_long_chain": lambda made, base: server_context(*made.long_chain()),
    "tls_large_key": lambda made, base: server_context(*made.large_key()),
    "tls_many_names": lambda made, base: server_context(*made.many_names()),
    "tls_large_leaf": lambda made, base: server_context(*made.large_leaf()),
    "tls_name_constraints": lambda made, base: server_context(*made.name_constraints()),
    "tls_tickets": lambda made, base: tickets_context(base),
}


def record(kind, payload):
    """RFC 8446, 5.1"""
    return struct.pack(">BHH", kind, 0x303, len(payload)) + payload


def no_handshake(start, more):
    """Answers a ClientHello with a start, then with more of the same for ever."""
    def behave(c):
        c.read(5)
        c.send(start)
        c.flood(more * 500)
    return behave


# name -> what comes instead of a handshake
NO_TLS = {
    "tls_floods_alerts": no_handshake(b"", record(21, b"\x01\x5a")),           # a warning
    "tls_floods_cipher_changes": no_handshake(b"", record(20, b"\x01")),
    "tls_floods_empty": no_handshake(b"", record(22, b"")),
    "tls_floods_data": no_handshake(b"", record(23, bytes(100))),
    "tls_floods_pieces": no_handshake(record(22, b"\x02\x00\xff\xff"), record(22, b"x")),  # of a ServerHello
    "tls_floods_large": no_handshake(record(22, b"\x02\xff\xff\xff"), record(22, bytes(16384))),
}


def renegotiate(peer, base):
    """TLS 1.2 that asks for a new handshake all the time: only openssl's own server can; its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_2",
         "-cert", f"{base}.pem", "-key", f"{base}.key"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

    def ask():
        for line in server.stdout:
            if line.startswith(b"CIPHER is"):       # the first handshake is over
                peer.note("tls_renegotiates", 1, "open")
            elif b"POST" in line:
                peer.note("tls_renegotiates", 1, "request")
                server.stdin.write(b"R\n" * 1000)
                server.stdin.flush()

    threading.Thread(target=ask, daemon=True).start()
    return port


# -- a proxy ----------------------------------------------------------------------------

# After CONNECT, without TLS
PROXY = {
    "proxy_refuses": after_headers(b"", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
    "proxy_wants_password": after_headers(
        b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 1000000000\r\n\r\n", b"x" * 16384),
    "proxy_floods_headers": after_headers(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 16384),
    "proxy_floods_interim": after_headers(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "proxy_floods_tunnel": after_headers(b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03\x03\x00\x01x" * 1000),
    "proxy_closes": closes_at_once,
    "proxy_silent": lambda c: (c.request(), c.silence()),
}


# -- the peer ---------------------------------------------------------------------------

class Peer:
    def __init__(self, directory):
        self.lock = threading.Lock()
        self.log = os.open(os.path.join(directory, "hostile.jsonl"),
                           os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, behaviour, connection, event):
        line = json.dumps({"behaviour": behaviour, "connection": connection, "event": event,
                           "time": time.time()})
        with self.lock:
            os.write(self.log, line.encode() + b"\n")

    def listen(self, name, context, make, behave):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        threading.Thread(target=self.accept, args=(listener, name, context, make, behave),
                         daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener, name, context, make, behave):
        number = 0
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number += 1
            threading.Thread(target=self.serve, args=(sock, name, number, context, make, behave),
                             daemon=True).start()

    def serve(self, sock, name, number, context, make, behave):
        try:
            connection = make(self, name, number, context.wrap_socket(sock, server_side=True) if context else sock)
        except OSError:
            sock.close()
            return
        connection.note("open")
        try:
            if make is Http2:
                connection.start()
            behave(connection)
        except (Closed, OSError):
            pass
        finally:
            connection.note("closed")
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.socket.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("directory")
    directory = parser.parse_args().directory
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # who started it ends it

    peer = Peer(directory)
    base = os.path.join(directory, "certs", "server")
    certificates = Certificates(directory)
    ports = {}
    for name, behave in HTTP1.items():
        ports[name] = peer.listen(name, server_context(f"{base}.pem", f"{base}.key"), Http1, behave)
    for name, behave in HTTP2.items():
        context = server_context(f"{base}.pem", f"{base}.key")
        context.set_alpn_protocols(["h2"])
        ports[name] = peer.listen(name, context, Http2, behave)
    for name, behave in NO_TLS.items():
        ports[name] = peer.listen(name, None, Connection, behave)
    for name, behave in PROXY.items():
        ports[name] = peer.listen(name, None, Http1, behave)
    ports["tls_renegotiates"] = renegotiate(peer, base)
    for name, make_context in TLS.items():
        ports[name] = peer.listen(name, make_context(certificates, base), Http1, friendly)

    path = os.path.join(directory, "hostile.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(ports, file)
    os.rename(path + ".new", path)
    while os.getppid() == parent:
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
