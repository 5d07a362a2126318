"""What the HTTP codecs share: header lists as mappings, bodies, problem replies. Knows no gateway's event shape."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Final

from sluiceway.codec.shape import malformed, optional_mapping, sequence, text, texts
from sluiceway.events.http import HttpReply, Problem

__all__ = ["PROBLEM_TYPE", "correlation_header", "decode_body", "last_values", "problem", "refuse"]

PROBLEM_TYPE: Final = "application/problem+json"  # RFC 9457 section 3, https://www.rfc-editor.org/rfc/rfc9457
CORRELATION_HEADER: Final = "x-correlation-id"
MAX_CORRELATION: Final = 128  # what a client may put into our logs; longer ones are not taken over
_CORRELATION_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:=+/")


def problem(details: Problem, *, headers: Mapping[str, str] | None = None) -> HttpReply:
    """A reply that says what went wrong as RFC 9457 problem details; an empty `detail` is left out."""
    members: dict[str, object] = {"type": details.type, "title": details.title, "status": details.status}
    if details.detail:
        members["detail"] = details.detail
    return HttpReply(
        status=details.status,
        body=json.dumps(members, ensure_ascii=False, separators=(",", ":")),
        headers={"content-type": PROBLEM_TYPE, "cache-control": "no-store", **(headers or {})},
    )


def refuse(error: Exception) -> HttpReply | None:
    """The reply to an error of guarded work (`codec.refusals`), with `Retry-After` where time helps; else None."""
    from sluiceway.codec.refusals import explain  # noqa: PLC0415 - after an error only: not on the cold path

    refusal = explain(error)
    if refusal is None:
        return None
    waits = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return problem(refusal.problem, headers=waits)


def last_values(single: object, several: object, member: str) -> dict[str, str]:
    """The last value of each name, from the gateway's list form where it sent one, else from its single form.

    Names stay as they are: `member` is the single form's name for errors. Raises: Rejected.
    """
    lists = optional_mapping(several, f"multi-value {member}")
    if not lists:
        return texts(single, member)
    found: dict[str, str] = {}
    for name, values in lists.items():
        place = f"multi-value {member}.{name}"
        for value in sequence(values, place):
            found[name] = text(value, place)
    return found


def decode_body(body: object, is_base64: object) -> bytes:
    """The body's bytes; empty for null. Raises: Rejected where it is not the base64 that the event claims."""
    if body is None:
        return b""
    plain = text(body, "body")
    if is_base64 is not True:
        return plain.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        raise malformed("body", "base64") from None


def correlation_header(headers: Mapping[str, str]) -> str:
    """The client's X-Correlation-Id where it is short and plain enough for a log line, else ""."""
    sent = headers.get(CORRELATION_HEADER, "")
    return sent if 0 < len(sent) <= MAX_CORRELATION and _CORRELATION_LETTERS.issuperset(sent) else ""
