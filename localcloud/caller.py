"""Blocking HTTP from the command line: one request, and one signed Invoke.

Standard library and the layer's signer only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import quote, urlsplit

from sluiceway.aws.sigv4 import Credentials, Signable, Signer

__all__ = ["TIMEOUT_S", "Answer", "Invoked", "LambdaEndpoint", "Unreachable", "fetch"]

TIMEOUT_S: Final = 910.0  # Lambda's longest timeout, 900 s, and a margin
_OK: Final = 200


class Unreachable(Exception):
    """There was no usable answer at all; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Invoked:
    """What Invoke answered. `function_error` is "" after success, `log` the last 4 KB where asked for."""

    payload: bytes
    function_error: str
    log: str


def fetch(url: str, *, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """One request on a connection of its own. Raises Unreachable."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.request(method, target, body=body or None, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except (OSError, HTTPException) as error:
        message = f"{parts.scheme}://{parts.netloc} does not answer: {error!r}"
        raise Unreachable(message) from error
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class LambdaEndpoint:
    """The Invoke API of one Region, local or AWS's own; `url` has no trailing slash."""

    url: str
    region: str
    credentials: Credentials

    def invoke(self, name: str, payload: bytes, *, log_tail: bool = False) -> Invoked:
        """Invoke and wait. Raises Unreachable naming what the API answered where it did not run the function."""
        path = f"/2015-03-31/functions/{quote(name, safe='')}/invocations"
        headers = self._signed(path, payload) | ({"x-amz-log-type": "Tail"} if log_tail else {})
        answer = fetch(self.url + path, method="POST", headers=headers, body=payload)
        if answer.status != _OK:
            message = f"Invoke of {name} answered {answer.status}: {answer.body[:300].decode(errors='replace')}"
            raise Unreachable(message)
        log = base64.b64decode(answer.headers.get("x-amz-log-result", "")).decode(errors="replace")
        return Invoked(answer.body, answer.headers.get("x-amz-function-error", ""), log)

    def _signed(self, path: str, body: bytes) -> dict[str, str]:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": urlsplit(self.url).netloc, "x-amz-date": stamp, "content-type": "application/json"}
        if self.credentials.token:
            headers["x-amz-security-token"] = self.credentials.token
        request = Signable("POST", path, "", sorted(headers.items()), hashlib.sha256(body).hexdigest())
        signer = Signer(service="lambda", region=self.region)
        return headers | {"authorization": signer.authorize(request, self.credentials, stamp)}
