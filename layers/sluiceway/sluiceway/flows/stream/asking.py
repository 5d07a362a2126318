"""What is asked of an answer, over a WebSocket or over HTTP: that it begins, goes on from a place, or stops.

Owns how long an answer is kept, and that it begins once: for each caller and req, whichever Region is asked. What an
answer is made of after that is its workers', under their own lease (ADR 7). Must not know AWS, nor how a message came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple

from sluiceway.errors import Rejected, Retryable
from sluiceway.idempotency import Conflict, Guard, Options
from sluiceway.idempotency.outcomes import result_of
from sluiceway.ports import AnswerRecord, AnswerStore, Chance, Clock, IdempotencyStore
from sluiceway.rules.answers import ENDED, Ask, needs_worker
from sluiceway.steps.metrics import count

__all__ = [
    "AskKeys",
    "begin_once",
    "check_ask",
    "check_place",
    "is_unattended",
    "make_ask_keys",
    "make_record",
    "stop_answer",
]

KEEP_S: Final = 7 * 24 * 3600  # a record's life, its question's and its text's
LEASE_S: Final = 10.0  # for writing a record and sending for a worker
WAIT_S: Final = 1.0  # for another who begins the same answer at this moment


class AskKeys(NamedTuple):
    """Who may begin an answer. The value under a key is its record's `expires_s`."""

    guard: Guard[int]
    store: IdempotencyStore
    clock: Clock


def make_ask_keys(store: IdempotencyStore, *, clock: Clock, chance: Chance) -> AskKeys:
    """Keys of caller and req: the first question counts. After a crash it is begun again, which its record allows."""
    options = Options(
        keep_s=KEEP_S,
        lease_s=LEASE_S,
        wait_s=WAIT_S,
        validate="request_sha256",
        made="req",
        clock=clock,
        chance=chance,
    )
    return AskKeys(Guard("asks", key=("caller", "req"), options=options), store, clock)


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


async def begin_once(
    record: AnswerRecord,
    begin: Callable[[], Awaitable[AnswerRecord | None]],
    *,
    answers: AnswerStore,
    keys: AskKeys | None,
    deadline: float,
) -> AnswerRecord | None:
    """Let `begin` write the record, and send for a worker where it does. None where it did now, else what is there.

    Without `keys` the record alone says so, which is enough in one Region. Raises Rejected (`conflict`, and
    `begun-elsewhere`: another Region has the text), what `begin` and the stores raise, and what a doubt is made of.
    """
    if keys is None:
        return _check_same(await begin(), record)
    begun: list[AnswerRecord | None] = []

    async def work() -> int:
        found = _check_same(await begin(), record)
        begun.append(found)
        return (found or record).expires_s

    outcome = await keys.guard.run(record, work, store=keys.store, deadline=deadline)
    if begun:  # and perhaps nobody knows whether the key's end was written
        return begun[0]
    now_ms = keys.clock.now_ms()
    if isinstance(outcome, Conflict):
        raise _conflict()
    found = _check_same(await answers.get(record.caller, record.req), record)
    if found is None:
        expires_s = result_of(outcome, now_ms=now_ms)
        if expires_s * 1000 <= now_ms:
            raise Retryable("the answer has expired, and its key has not yet")
        raise Rejected("this answer was begun in another Region", reason="begun-elsewhere", field="req")
    return found


def _check_same(found: AnswerRecord | None, record: AnswerRecord) -> AnswerRecord | None:
    if found is not None and found.request_sha256 != record.request_sha256:
        raise _conflict()
    return found


def _conflict() -> Rejected:
    return Rejected("this req was asked with another question before", reason="conflict", field="req")


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
