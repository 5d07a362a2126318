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
_PATH: Final = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+")  # RFC 3986: path-absolute
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
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
        """The whole request as it goes out. `trace` is the X-Ray header, "" for none."""
        dated = [*self.headers, ("x-amz-date", amz_date)]
        token = ""
        if credentials.token:
            dated.append(("x-amz-security-token", credentials.token))
            token = f"x-amz-security-token: {credentials.token}\r\n"
        signable = Signable(self.method, self.path, self.query, dated, self.payload)
        authorization = signer.authorize(signable, credentials, amz_date)
        traced = f"x-amzn-trace-id: {trace}\r\n" if trace and _UNSENDABLE.search(trace) is None else ""
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
    if path != "/" and _PATH.fullmatch(path) is None:
        raise ValueError(f"a path must be percent-encoded: {path!r}")
    content = body if isinstance(body, bytes) else _write_json(body)
    payload = hashlib.sha256(content).hexdigest() if content else EMPTY_SHA256
    signed: list[tuple[str, str]] = [("host", endpoint.host)]
    if headers:
        signed += _check_headers(headers)
    signed += _protocol_headers(service, operation, has_body=bool(content), given=headers or {})
    if service.signing_name == "s3":
        signed.append(("x-amz-content-sha256", payload))
    whole_path = endpoint.path + path
    query_string = encode_query(query.items()) if query else ""
    length = "" if not content and method in _BODILESS else f"content-length: {len(content)}\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in signed])
    uri = f"{whole_path}?{query_string}" if query_string else whole_path
    fixed = f"{method} {uri} HTTP/1.1\r\n{lines}user-agent: {USER_AGENT}\r\n{length}"
    return Request(method, whole_path, query_string, tuple(signed), fixed, payload, content)


def _write_json(body: Mapping[str, object]) -> bytes:
    try:
        return _encode_json(body).encode()
    except (TypeError, ValueError) as error:
        raise Rejected(f"the request cannot be written as JSON: {error}", reason="unserialisable-request") from error


def _protocol_headers(
    service: ServiceSpec, operation: str, *, has_body: bool, given: Mapping[str, str]
) -> list[tuple[str, str]]:
    content_type = CONTENT_TYPES.get(service.protocol)
    if content_type is None:
        return []
    added: list[tuple[str, str]] = []
    if has_body and not any(name.lower() == "content-type" for name in given):
        added.append(("content-type", content_type))
    if service.target_prefix:
        added.append(("x-amz-target", f"{service.target_prefix}.{operation}"))
    return added


def _check_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    checked: list[tuple[str, str]] = []
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None or _UNSENDABLE.search(value) is not None:
            raise Rejected(f"the header {name!r} cannot be sent", reason="unsendable-header", field=name)
        checked.append((name.lower(), value))
    return checked
