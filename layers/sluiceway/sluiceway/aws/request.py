"""One request as bytes: its content by protocol, its headers, and the signed head.

Pure: knows the protocols' headers and HTTP's syntax, nothing of connections or time.

Source: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from sluiceway.aws.endpoints import Endpoint, ServiceSpec
from sluiceway.aws.sigv4 import Credentials, Signable, Signer, encode_query
from sluiceway.errors import Rejected

__all__ = ["Request", "prepare_request"]

USER_AGENT: Final = f"sluiceway/0.1 lang/python#{sys.version_info[0]}.{sys.version_info[1]}"
EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
CONTENT_TYPES: Final = {
    "json-1.0": "application/x-amz-json-1.0",
    "json-1.1": "application/x-amz-json-1.1",
    "rest-json": "application/json",
}
# Compiled where they are asked: each costs a cold start 0.1 ms, and most requests have path "/" and no header of theirs
_PATH: Final = r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+"  # RFC 3986: path-absolute
_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_UNSENDABLE: Final = r"[\x00-\x08\x0a-\x1f\x7f]"
KINDS: Final = 128  # of requests, whose outlines are remembered
_BODILESS: Final = frozenset({"DELETE", "GET", "HEAD"})  # methods that say no length when there is no body

_encode_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Request(NamedTuple):
    """A request before it is dated and signed. `headers` are those to sign; `fixed` is the head that never changes."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    fixed: str
    payload: str
    body: bytes

    def sign(self, signer: Signer, credentials: Credentials, amz_date: str, *, trace: str) -> bytes:
        """The whole request as it goes out; unsigned for an empty access key. `trace` is the X-Ray header or ""."""
        if not credentials.access_key:
            return f"{self.fixed}\r\n".encode() + self.body
        dated = [*self.headers, ("x-amz-date", amz_date)]
        token = ""
        if credentials.token:
            dated.append(("x-amz-security-token", credentials.token))
            token = f"x-amz-security-token: {credentials.token}\r\n"
        signable = Signable(self.method, self.path, self.query, dated, self.payload)
        authorization = signer.authorize(signable, credentials, amz_date)
        traced = f"x-amzn-trace-id: {trace}\r\n" if trace and trace.isascii() and trace.isprintable() else ""
        head = f"{self.fixed}x-amz-date: {amz_date}\r\n{token}{traced}authorization: {authorization}\r\n\r\n"
        return head.encode() + self.body


def prepare_request(  # noqa: PLR0913 - the parts of one HTTP request, keyword-only
    service: ServiceSpec,
    operation: str,
    body: Mapping[str, object] | bytes,
    *,
    endpoint: Endpoint,
    method: str,
    path: str,
    query: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
) -> Request:
    """Everything of a request that does not change from attempt to attempt.

    Raises Rejected when a header cannot be sent or the body is not JSON; ValueError when `path` is not encoded.
    """
    content = body if isinstance(body, bytes) else _write_json(body)
    asked = encode_query(query.items()) if query else ""
    given = tuple(headers.items()) if headers else ()
    kind = _Kind(service, operation, endpoint, method, path, asked, given, bool(content))
    whole_path, signed, fixed = _outline(kind)
    payload = hashlib.sha256(content).hexdigest() if content else EMPTY_SHA256
    if service.signing_name == "s3":
        signed = (*signed, ("x-amz-content-sha256", payload))
        fixed = f"{fixed}x-amz-content-sha256: {payload}\r\n"
    if content or method not in _BODILESS:
        fixed = f"{fixed}content-length: {len(content)}\r\n"
    return Request(method, whole_path, asked, signed, fixed, payload, content)


def _write_json(body: Mapping[str, object]) -> bytes:
    try:
        return _encode_json(body).encode()
    except (TypeError, ValueError) as error:
        raise Rejected(f"the request cannot be written as JSON: {error}", reason="unserialisable-request") from error


class _Kind(NamedTuple):
    """What requests have in common that differ in their content only. `headers` are the caller's own."""

    service: ServiceSpec
    operation: str
    endpoint: Endpoint
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    has_body: bool


@lru_cache(KINDS)
def _outline(kind: _Kind) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """The path with the endpoint's own, the headers to sign, and the head so far. Raises as `prepare_request`."""
    if kind.path != "/" and re.fullmatch(_PATH, kind.path) is None:
        raise ValueError(f"a path must be percent-encoded: {kind.path!r}")
    signed = (("host", kind.endpoint.host), *_check_headers(kind.headers), *_protocol_headers(kind))
    path = kind.endpoint.path + kind.path
    uri = f"{path}?{kind.query}" if kind.query else path
    lines = "".join([f"{name}: {value}\r\n" for name, value in signed])
    return path, signed, f"{kind.method} {uri} HTTP/1.1\r\n{lines}user-agent: {USER_AGENT}\r\n"


def _protocol_headers(kind: _Kind) -> list[tuple[str, str]]:
    content_type = CONTENT_TYPES.get(kind.service.protocol)
    if content_type is None:
        return []
    added: list[tuple[str, str]] = []
    if kind.has_body and not any(name.lower() == "content-type" for name, _ in kind.headers):
        added.append(("content-type", content_type))
    if kind.service.target_prefix:
        added.append(("x-amz-target", f"{kind.service.target_prefix}.{kind.operation}"))
    return added


def _check_headers(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    checked: list[tuple[str, str]] = []
    for name, value in headers:
        if re.fullmatch(_NAME, name) is None or re.search(_UNSENDABLE, value) is not None:
            raise Rejected(f"the header {name!r} cannot be sent", reason="unsendable-header", field=name)
        checked.append((name.lower(), value))
    return checked
