#!/usr/bin/env python3
"""Checks signatures as a receiver of webhooks would (standardwebhooks.com).

    verify_signature.py SECRET < requests

Reads lines of the receiver's record; exits 0 if every one of them is signed with
SECRET (whsec_...) and recent, else says what is wrong.  Shares nothing with the
extension: Python's hmac instead of OpenSSL's.
"""

import base64
import hashlib
import hmac
import json
import sys

TOLERANCE = 300     # seconds


def problem(request, secret):
    """What is wrong with a recorded request's signature; None if nothing is."""
    headers, body = request["headers"], request["body"].encode()
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        if name not in headers:
            return f"no {name}"
    age = request["time"] - int(headers["webhook-timestamp"])
    if abs(age) > TOLERANCE:
        return f"webhook-timestamp is {age:.0f} s off"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    for signature in headers["webhook-signature"].split(" "):
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value, expected):
            return None
    return f"no signature of {headers['webhook-signature']!r} is by this secret"


def main():
    requests = [json.loads(line) for line in sys.stdin]
    problems = [found for found in (problem(request, sys.argv[1]) for request in requests) if found]
    if not requests:
        problems.append("nothing to verify")
    print("\n".join(problems) or f"{len(requests)} verified")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
