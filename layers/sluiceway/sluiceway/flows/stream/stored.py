"""An answer as it is stored, brought to a reader: what there is of it, and its end where it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from sluiceway import log
from sluiceway.errors import SluicewayError
from sluiceway.flows.stream.delivery import Delivery, Seat
from sluiceway.flows.stream.transcript import Ending, Transcript
from sluiceway.ports import AnswerRecord, AnswerStore, Reader
from sluiceway.rules.answers import ENDED, valid_offset

__all__ = ["bring_stored", "lacks_stored", "tell_end"]


def lacks_stored(record: AnswerRecord, reader: Reader) -> bool:
    """Whether something is stored that the reader has not, or has otherwise.

    A reader may well have more than is stored, while a worker is ahead of the store.
    """
    stands = valid_offset(reader.off, reader.attempt, starts=record.starts, length=max(reader.off, record.off))
    return stands < max(reader.off, record.off)


async def bring_stored(record: AnswerRecord, seat: Seat, *, answers: AnswerStore, until: float) -> Reader | None:
    """Bring what is stored beyond what the reader has, and the last frame of an answer that is over.

    One that rests has no last frame here: whoever comes back for it has it go on. Returns the reader with what it has
    then; None where it is gone, or has not taken it all by `until` (seconds on the loop's clock). Raises what the store
    raises.
    """
    starts = record.starts or (0,)
    transcript = Transcript(await answers.read_text(record), starts=starts)
    state = record.state if record.state in ENDED else "running"
    transcript.end(Ending(state, record.stop_reason, record.usage, record.problem))
    try:
        async with asyncio.timeout_at(until):
            fate = await Delivery(seat, transcript, req=record.req, chance=1.0).run()
    except TimeoutError:
        return None
    return replace(seat.reader, off=transcript.length, attempt=transcript.attempt) if fate == "done" else None


async def tell_end(record: AnswerRecord, seats: Iterable[Seat], *, answers: AnswerStore, until: float) -> None:
    """Bring these readers, who have everything else, the last frame; at best: who misses it asks for it."""

    async def tell(seat: Seat) -> None:
        try:
            await bring_stored(record, seat, answers=answers, until=until)
        except SluicewayError as error:
            log.warning("answer.end_untold", error_type=type(error).__name__)

    async with asyncio.TaskGroup() as group:
        for seat in seats:
            at_end = replace(seat.reader, off=record.off, attempt=record.attempt)
            group.create_task(tell(replace(seat, reader=at_end)))
