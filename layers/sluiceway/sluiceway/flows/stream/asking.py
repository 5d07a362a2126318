"""What is asked of an answer, over a WebSocket or over HTTP: that it begins, goes on from a place, or stops.

Owns how long an answer is kept. Must not know AWS, nor how the message came.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sluiceway.errors import Rejected
from sluiceway.ports import AnswerRecord, AnswerStore
from sluiceway.rules.answers import ENDED, Ask, needs_worker
from sluiceway.steps.metrics import count

__all__ = ["check_ask", "check_place", "is_unattended", "make_record", "stop_answer"]

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


def check_place(record: AnswerRecord, attempt: int) -> None:
    """Raises Rejected for a place in an attempt that has not been: nobody can have read of it."""
    if attempt > record.attempt:
        raise Rejected("try names an attempt that has not been", reason="invalid-body", field="try")


def is_unattended(record: AnswerRecord, now_ms: int) -> bool:
    """Whether a worker should be sent for it: perhaps nobody works on it."""
    return needs_worker(record.state, lease_until_ms=record.lease_until_ms, updated_ms=record.updated_ms, now_ms=now_ms)


async def stop_answer(caller: str, req: str, *, answers: AnswerStore, now_ms: int) -> tuple[AnswerRecord, bool]:
    """Have an answer stopped: by its worker, or here where perhaps nobody works on it.

    Returns the record as it is then, and whether it ended here, so that its readers have to be told. Raises Rejected
    (`no-such-answer`), and what the store raises.
    """
    record = await answers.cancel(caller, req)
    if record is None:
        raise Rejected("there is no answer of this req", reason="no-such-answer", field="req")
    count("AnswersCancelled")
    if record.state in ENDED or not is_unattended(record, now_ms):
        return record, False
    stopped = replace(record, state="cancelled", stop_reason="cancelled", updated_ms=now_ms, problem=None)
    written = await answers.replace(stopped, seen=record)
    return (record, False) if written is None else (written, True)
