"""What a reply of the Runtime API means for the client: go on, try again, or end the process. Pure.

The rules:
1. A connection that breaks is made again, five times with a growing wait: Lambda freezes environments, and what was
   connected may be gone on waking. `next` gives the same invocation again.
2. An answer whose reply was lost is sent again; then 400 and 403 say that the first had arrived.
3. 5xx and a refused `next` are beyond repair: the process ends, and Lambda makes a new environment.
4. Another refused answer (413, say) is that invocation's own loss: the next one is asked for.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html (status codes of each call; "500: Non-recoverable
state. Runtime should exit promptly.")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.aws.http1 import ProtocolViolationError
from sluiceway.runtime.context import Call, read_call

__all__ = ["BROKEN", "DELAYS_S", "Reply", "RuntimeApiError", "check_answer", "check_ok", "expect_call"]

DELAYS_S: Final = (0.0, 0.1, 0.2, 0.4, 0.8)  # the managed runtime's multi-concurrent client: 0.1 s, doubled
BROKEN: Final = (OSError, ProtocolViolationError)
"""What a transport raises where the connection failed; an end inside a reply is a violation."""


class RuntimeApiError(Exception):
    """The Runtime API is gone or in a state that only a new process can mend."""


class Reply(NamedTuple):
    """A whole reply; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def expect_call(reply: Reply) -> Call:
    """The invocation that `next` gave. Raises: RuntimeApiError where it is none."""
    if reply.status != 200:
        raise RuntimeApiError(f"next was answered with {reply.status}")
    try:
        return read_call(reply.headers, reply.body)
    except ValueError as cause:
        raise RuntimeApiError(str(cause)) from cause


def check_answer(reply: Reply, call: Call, *, again: bool = False) -> None:
    """Judge the reply to an answer; `again`: it was sent before. Raises: RuntimeApiError where the process must end."""
    if reply.status >= 500:
        raise RuntimeApiError(f"an answer was answered with {reply.status}")
    if reply.status != 202 and not (again and reply.status in {400, 403}):
        log.error("runtime.answer_refused", request_id=call.request_id, status=reply.status)


def check_ok(reply: Reply) -> None:
    """Raises: RuntimeApiError where a call outside an invocation was refused."""
    if reply.status not in {200, 202}:
        raise RuntimeApiError(f"the runtime API answered {reply.status}")
