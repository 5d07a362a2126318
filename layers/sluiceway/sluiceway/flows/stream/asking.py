"""A question as it is put, over a WebSocket or over HTTP: whether it can be, and the record that it begins.

Owns how long an answer is kept. Must not know AWS, nor how the question came.
"""

from __future__ import annotations

from typing import Final

from sluiceway.errors import Rejected
from sluiceway.ports import AnswerRecord, AnswerStore
from sluiceway.rules.answers import Ask

__all__ = ["check_ask", "make_record"]

KEEP_S: Final = 7 * 24 * 3600  # a record's life, its question's and its text's


async def check_ask(ask: Ask, caller: str, *, answers: AnswerStore, models: frozenset[str]) -> None:
    """Raises Rejected where the question names a model or a turn that there is not."""
    if ask.asked.model and ask.asked.model not in models:
        raise Rejected("model is not one that is offered here", reason="unknown-model", field="model")
    if ask.asked.after and await answers.get(caller, ask.asked.after) is None:
        raise Rejected("after names no answer of yours", reason="no-such-answer", field="after")


def make_record(ask: Ask, caller: str, now_ms: int, *, correlation_id: str) -> AnswerRecord:
    """The record of a question that nobody has begun to answer."""
    return AnswerRecord(
        caller=caller,
        req=ask.req,
        state="asked",
        request_sha256=ask.sha256,
        created_ms=now_ms,
        updated_ms=now_ms,
        correlation_id=correlation_id,
        expires_s=now_ms // 1000 + KEEP_S,
    )
