"""What the errors of guarded work are over HTTP: status, problem and hint, in the replies of every App."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sluiceway.app import App
from sluiceway.codec import refuse, rest, sqs, web
from sluiceway.codec.refusals import explain
from sluiceway.errors import (
    DeadlineExceeded,
    LeftInDoubt,
    Misconfigured,
    NotHome,
    NotRecorded,
    Parked,
    PayloadConflict,
    Rejected,
    Retryable,
    StillInProgress,
    Withheld,
)
from sluiceway.events.stream import HttpStream
from tests.unit.test_app_connections import CONTEXT
from tests.unit.test_codec_rest import event

CASES: list[tuple[Exception, int, str, str | None]] = [
    (NotHome("eu-west-1 is the home Region", home="eu-west-1"), 503, "not-home", "5"),
    (NotHome("the term has not begun", home="eu-west-1", after_s=0.2), 503, "not-home", "1"),
    (Withheld("the term cannot be read"), 503, "withheld", "2"),
    (Parked("k", after_s=30.0), 503, "parked", "30"),
    (NotRecorded("k", after_s=64.1), 503, "not-recorded", "65"),
    (NotRecorded("k"), 503, "not-recorded", "1"),
    (StillInProgress("k", after_s=2.1), 409, "in-progress", "3"),
    (StillInProgress("k", after_s=60.0), 409, "in-progress", "5"),
    (PayloadConflict("k", reason="idempotency-key-reused"), 409, "idempotency-key-reused", None),
    (LeftInDoubt("k", reason="idempotency-in-doubt"), 409, "idempotency-in-doubt", None),
    (Rejected("k", reason="no-idempotency-key"), 400, "no-idempotency-key", None),
    (Rejected("k", reason="invalid-idempotency-key"), 400, "invalid-idempotency-key", None),
    (Rejected("k", reason="result-gone"), 410, "result-gone", None),
]
OTHERS = [
    Retryable("x"),
    DeadlineExceeded("x"),
    Rejected("x", reason="other"),
    Misconfigured("x", what="X"),
    ValueError(),
]


def serve(error: Exception, source: Any = rest) -> Any:
    """The reply of an App whose flow raises `error`."""

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield

    async def flow(request: object, call: object, services: None) -> Any:
        del request, call, services
        raise error

    handler: Any = App(flow, source=source, lifespan=lifespan)
    try:
        return handler(event(), CONTEXT)
    finally:
        handler.close()


@pytest.mark.parametrize(("error", "status", "reason", "retry_after"), CASES)
def test_every_http_function_answers_with_the_problem(
    error: Exception, status: int, reason: str, retry_after: str | None
) -> None:
    """Through both HTTP codecs, not to be cached, and without a word of keys or Regions."""
    for source in (rest, web):
        reply = serve(error, source)
        assert (reply["statusCode"], reply["headers"].get("retry-after")) == (status, retry_after)
        assert reply["headers"]["content-type"] == "application/problem+json"
        assert reply["headers"]["cache-control"] == "no-store"
        problem = json.loads(reply["body"])
        assert (problem["type"], problem["status"]) == (f"/problems/{reason}", status)
        assert "eu-west-1" not in reply["body"]


@pytest.mark.parametrize("error", OTHERS, ids=range(len(OTHERS)))
def test_any_other_error_is_the_invocations(error: Exception) -> None:
    """It is raised as it is, and Lambda counts it."""
    assert explain(error) is None
    with pytest.raises(type(error)) as raised:
        serve(error)
    assert raised.value is error


@pytest.mark.parametrize("parts", [0, 1])
async def test_a_stream_that_has_begun_breaks_and_is_no_other_reply(parts: int) -> None:
    """Its head may have left: an error in it is the invocation's, which the runtime client tells at the stream's end.

    Where the stream is put together first, nothing has left, and the problem is the reply.
    """
    error, sent = NotHome("elsewhere"), list[bytes | str]()

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        yield

    async def body() -> AsyncGenerator[bytes]:
        for _ in range(parts):
            yield b"part"
        raise error

    async def flow(request: object, call: object, services: None) -> HttpStream:
        del request, call, services
        return HttpStream(body(), 200, {})

    async def respond(stream: Any) -> None:
        async for part in stream.parts:
            sent.append(part)

    handler: Any = App(flow, source=rest, lifespan=lifespan)
    with pytest.raises(NotHome) as raised:
        await handler.invoke(event(), CONTEXT, respond=respond)
    assert (raised.value, sent) == (error, [b"part"] * parts)
    assert (await handler.invoke(event(), CONTEXT))["statusCode"] == 503
    await handler.aclose()


def test_a_source_without_replies_to_refusals_raises() -> None:
    """A queue's batch has no status: its flow says what becomes of each message."""
    error = NotHome("elsewhere")
    with pytest.raises(NotHome) as raised:
        refuse(sqs, error)
    assert raised.value is error


def test_the_docs_have_a_row_for_each() -> None:
    """Error, status and problem of docs/idempotency.md are those of the code."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "idempotency.md").read_text(encoding="utf-8")
    table = text.partition("## Over HTTP")[2].partition("\n## ")[0]
    rows = {(problem, int(status)) for status, problem in re.findall(r"\| (\d{3}) \| `([a-z-]+)` \|", table)}
    assert rows == {(reason, status) for _, status, reason, _ in CASES}
