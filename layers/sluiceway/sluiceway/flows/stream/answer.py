"""The worker of one streamed answer: claims it, lets the model write it, keeps it, and serves whoever reads it.

Owns how long it works: to the answer's end, until the caller cancels, until nobody has read it for the grace period, or
until the invocation's deadline. Several workers may be sent for one answer: one holds the lease, the others wait for
its end in case it is dead, and leave when it is not. Must not know AWS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from sluiceway import log
from sluiceway.errors import Rejected, SluicewayError
from sluiceway.events.http import describe_problem
from sluiceway.events.invocation import Invocation
from sluiceway.events.socket import StreamOrder
from sluiceway.flows.stream.delivery import Seat
from sluiceway.flows.stream.generation import Generation, Model, continue_at
from sluiceway.flows.stream.history import recall
from sluiceway.flows.stream.keeping import LEASE_MS, Keeper, LeaseLost
from sluiceway.flows.stream.lines import ConnectionLine
from sluiceway.flows.stream.readers import Readers
from sluiceway.flows.stream.transcript import Ending, Transcript
from sluiceway.genai.provider import CallContext, Message, ModelRequest
from sluiceway.ports import AnswerRecord, AnswerStore, Chance, Clock, Connections
from sluiceway.rules.answers import ENDED, parse_question
from sluiceway.steps.metrics import count

__all__ = ["AnswerDesk", "AnswerRules", "claim_answer", "run_answer", "work_on"]

TICK_S: Final = 0.5  # how long a cancel or a new reader waits to be seen, at the most
SETTLE_S: Final = 3.0  # kept of the invocation for the last write and the last frames
SETTLE_SHARE: Final = 0.2  # never more than this share of a short invocation
LET_GO_S: Final = 0.25  # for a cancelled worker to let its lease go
STANDBY_S: Final = LEASE_MS / 1000 + 1.0  # so long a worker waits for a lease to be renewed or to end
STANDBY_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """How long an answer is made with nobody reading, in seconds, and what then becomes of it."""

    grace_s: float = 30.0
    on_disconnect: Literal["cancel", "drain"] = "cancel"


@dataclass(frozen=True, slots=True)
class AnswerDesk:
    """What making an answer needs."""

    answers: AnswerStore
    connections: Connections
    model: Model
    clock: Clock
    chance: Chance
    rules: AnswerRules


async def run_answer(order: StreamOrder, call: Invocation, desk: AnswerDesk) -> None:
    """Bring the answer forward as far as this invocation can; nothing where there is nothing to do.

    Raises what the store raises, so that the invocation is tried again.
    """
    record = await claim_answer(order, call, desk)
    if record is not None:
        with log.bound(correlation_id=record.correlation_id or call.correlation_id):  # the order carries none
            await work_on(record, call, desk)


async def claim_answer(
    order: StreamOrder, call: Invocation, desk: AnswerDesk, *, waits: bool = True
) -> AnswerRecord | None:
    """The record, running under our lease; None where it is over, gone, or in the hands of a living worker.

    Whether a worker lives shows within its lease's time: `waits` says whether that is waited for.
    """
    loop = asyncio.get_running_loop()
    give_up_at = min(call.deadline, loop.time() + STANDBY_S)
    first: AnswerRecord | None = None
    while True:
        found = await desk.answers.get(order.caller, order.req)
        if found is None or found.state in ENDED or (waits and _rests_unread(found)):
            return None
        if found.state != "running" or found.lease_until_ms <= desk.clock.now_ms():
            claimed = await _claim(found, call, desk)
            if claimed is not None:
                return claimed
        first = first or found
        is_alive = (found.lease_owner, found.updated_ms) != (first.lease_owner, first.updated_ms)
        if not waits or is_alive or loop.time() >= give_up_at:
            return None
        await asyncio.sleep(STANDBY_LOOK_S)


def _rests_unread(found: AnswerRecord) -> bool:
    """Whoever comes back is attached before a worker is sent: an order without a reader is a late or a second one."""
    return found.state == "paused" and not found.readers


async def _claim(found: AnswerRecord, call: Invocation, desk: AnswerDesk) -> AnswerRecord | None:
    now_ms = desk.clock.now_ms()
    at = 0
    if found.off:
        at = continue_at(await desk.answers.read_text(found), continues=desk.model.continues)
    claimed = replace(
        found,
        state="running",
        attempt=found.attempt + 1,
        starts=(*found.starts, at),
        off=at,
        lease_owner=f"{call.request_id}#{found.attempt + 1}",
        lease_until_ms=now_ms + LEASE_MS,
        problem=None,
        updated_ms=now_ms,
    )
    return await desk.answers.replace(claimed, seen=found)


async def work_on(record: AnswerRecord, call: Invocation, desk: AnswerDesk, *, seat: Seat | None = None) -> None:
    """Make the answer that `record` holds the lease of. `seat` is a reader within this very invocation.

    Raises what the store raises before the model is asked.
    """
    transcript = Transcript(await desk.answers.read_text(record), starts=record.starts)
    keeper = Keeper(record, transcript, store=desk.answers, clock=desk.clock)
    remaining_s = call.remaining_s()
    context = CallContext(
        deadline=call.deadline - min(SETTLE_S, remaining_s * SETTLE_SHARE), request_id=record.req, tenant=record.caller
    )
    try:
        async with asyncio.TaskGroup() as group:
            line_to = partial(ConnectionLine, desk.connections)
            readers = Readers(group, transcript, req=record.req, line_to=line_to, detach=keeper.detach)
            worker = _Worker(desk, keeper, transcript, readers=readers)
            if seat is not None:
                readers.seat(seat, desk.chance)
            readers.follow(record.readers, desk.chance, inherited=True)
            await worker.work(group, context)
    except asyncio.CancelledError:
        await _let_go(keeper)
        raise
    except ExceptionGroup as error:
        if len(error.exceptions) == 1 and isinstance(error.exceptions[0], SluicewayError):
            raise error.exceptions[0] from error
        raise


async def _let_go(keeper: Keeper) -> None:
    stopped = Ending("paused", problem=describe_problem("worker-stopped", "The worker was stopped; resume to go on"))
    try:
        async with asyncio.timeout(LET_GO_S):
            await keeper.let_go(stopped)
    except TimeoutError:
        log.warning("answer.unwritten", error_type="TimeoutError")


class _Worker:
    """One answer under our lease, with its readers."""

    def __init__(self, desk: AnswerDesk, keeper: Keeper, transcript: Transcript, *, readers: Readers) -> None:
        self._desk = desk
        self._keeper = keeper
        self._transcript = transcript
        self._readers = readers

    async def work(self, group: asyncio.TaskGroup, context: CallContext) -> None:
        """Generate, keep and deliver until the end; without a word where the lease is lost."""
        try:
            ending = await self._generate(group, context)
            record = await self._keeper.finish(ending)
        except LeaseLost:
            log.warning("answer.lease_lost", attempt=self._keeper.record.attempt)
            self._readers.leave()
            return
        if ending.retracted:
            self._transcript.go_on(0)  # as the record has it: nothing of it stands
        self._transcript.end(replace(ending, usage=record.usage))
        self._readers.follow(record.readers, self._desk.chance)  # also those that came at the last moment
        _account(record)
        await self._readers.finish()

    async def _generate(self, group: asyncio.TaskGroup, context: CallContext) -> Ending:
        keeper, desk = self._keeper, self._desk
        try:
            request = await _make_request(keeper.record, desk)
        except Rejected as error:
            return Ending("failed", problem=describe_problem(error.reason, "The question cannot be read any more"))
        generation = Generation(
            request, self._transcript, model=desk.model, context=context, begin_attempt=keeper.begin_attempt
        )
        keeper.spent = generation.usage
        generating = group.create_task(_catch_loss(generation.run(desk.chance)))
        try:
            ending = await self._attend(generating)
        finally:
            generating.cancel()
            await asyncio.wait({generating})  # the model is stopped by then
        return ending

    async def _attend(self, generating: asyncio.Task[Ending | LeaseLost]) -> Ending:
        """Keep the record and the readers up to date until the answer ends or is to be stopped. Raises LeaseLost."""
        record = self._keeper.record
        while True:
            stopped = self._stop(record)
            if stopped is not None:
                return stopped
            await asyncio.wait({generating}, timeout=TICK_S)
            if generating.done():
                ending = generating.result()
                if isinstance(ending, LeaseLost):
                    raise ending
                return ending
            record = await self._keeper.look()
            self._readers.follow(record.readers, self._desk.chance)

    def _stop(self, record: AnswerRecord) -> Ending | None:
        """Why the model is to be stopped, None where it is not."""
        if record.cancel:
            return Ending("cancelled", "cancelled")
        alone_since = self._readers.alone_since
        if alone_since is None or self._desk.rules.on_disconnect == "drain":
            return None
        if asyncio.get_running_loop().time() - alone_since < self._desk.rules.grace_s:
            return None
        return Ending("paused", problem=describe_problem("nobody-reads", "Nobody read the answer; resume to go on"))


async def _make_request(record: AnswerRecord, desk: AnswerDesk) -> ModelRequest:
    """What the model is asked: the question, after the turns that went before it. Raises Rejected."""
    question = parse_question(await desk.answers.read_question(record))
    asked, model = question.request, desk.model
    earlier = await recall(desk.answers, record.caller, question.after, most=model.history)
    return ModelRequest(
        messages=(*earlier, Message("user", asked.prompt)),
        max_tokens=min(asked.max_tokens or model.max_output_tokens, model.max_output_tokens),
        system=asked.system,
        temperature=asked.temperature,
    )


async def _catch_loss(generating: Coroutine[object, object, Ending]) -> Ending | LeaseLost:
    """A lost lease is for the worker to see, not for the task group."""
    try:
        return await generating
    except LeaseLost as error:
        return error


def _account(record: AnswerRecord) -> None:
    """What this answer came to: in metrics for money, in the log for questions."""
    usage = record.usage
    count(f"Answers{record.state.capitalize()}")
    count("InputTokens", usage.get("input_tokens", 0))
    count("OutputTokens", usage.get("output_tokens", 0))
    log.info(
        "answer.ended",
        state=record.state,
        stop_reason=record.stop_reason,
        attempt=record.attempt,
        length=record.off,
        input_tokens=usage.get("input_tokens", 0),
        output_tokens=usage.get("output_tokens", 0),
        usage_estimated=bool(usage.get("estimated", 0)),
    )
