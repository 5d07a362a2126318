"""An HTTP request and its reply, as REST, HTTP APIs and Function URLs deliver them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HttpReply", "HttpRequest", "Problem", "describe_problem"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `headers` has lower-case names (last value wins), `query` the last value of each name.

    `caller` is the authorizer's principal ("" where the route has none), `request_id` the gateway's own id.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path_parameters: Mapping[str, str]
    body: bytes
    caller: str
    request_id: str


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One reply. `body` is text or bytes (base64-encoded on the wire)."""

    status: int
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Problem:
    """RFC 9457 problem details. `type` is a stable URI reference such as `/problems/job-not-found`.

    Source: https://www.rfc-editor.org/rfc/rfc9457
    """

    type: str
    title: str
    status: int
    detail: str = ""


def describe_problem(reason: str, title: str, detail: str = "") -> Mapping[str, object]:
    """The members of a problem that is told in a record or a frame, without a status; an empty `detail` is left out."""
    members = {"type": f"/problems/{reason}", "title": title}
    return {**members, "detail": detail} if detail else members
