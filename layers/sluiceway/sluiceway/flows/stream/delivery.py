"""One reader's copy of an answer: frames in order, one post under way at most, as fast as the reader takes them.

Owns what a reader is told and when, by the coalescing rule. A reader that is gone, or so far behind that it had better
come back for the rest, ends its delivery; the answer goes on. Must not know models or stores, nor what a line is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from sluiceway import log
from sluiceway.errors import Gone, Retryable, SluicewayError
from sluiceway.events.http import describe_problem
from sluiceway.events.socket import Frame, FrameKind
from sluiceway.flows.stream.transcript import Transcript
from sluiceway.ports import Reader
from sluiceway.rules.answers import valid_offset
from sluiceway.rules.coalescing import MAX_PIECE_BYTES, Coalescer

__all__ = ["Delivery", "Fate", "Line", "Seat"]

FEED_BYTES: Final = 2 * MAX_PIECE_BYTES  # held ready for a reader that catches up; the rest waits in the transcript
OVERRUN_CHARACTERS: Final = 262_144  # a reader this far behind is better served by coming back for the rest
LAST_WORDS_S: Final = 30.0  # after the end, for a reader that is slow to take it
FIRST_PAUSE_S: Final = 0.1  # before a frame that is no text is tried again
LONGEST_PAUSE_S: Final = 1.0

Fate: TypeAlias = Literal["done", "gone", "behind"]


class Line(Protocol):
    """The way to one reader."""

    async def send(self, frame: Frame) -> None:
        """Hand over one frame; returns when it has been taken. Raises Gone, or Retryable where it was not taken."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """A reader and the way to it. `inherited`: an earlier worker may have told it more than the reader has said."""

    reader: Reader
    line: Line
    inherited: bool = False


class Delivery:
    """Brings `transcript`, the answer to `req`, to one reader."""

    def __init__(self, seat: Seat, transcript: Transcript, *, req: str, chance: float) -> None:
        reader = seat.reader
        self._req = req
        self._line = seat.line
        self._transcript = transcript
        self._chance = chance
        self._seq = 0
        self._told = reader.off  # what the reader has, at the most
        self._told_attempt = reader.attempt
        self._unsure = seat.inherited
        self._attempt = 0
        self._fed = 0
        self._seen_length = transcript.length  # growth beyond it is what a slow reader is measured by
        self._coalescer = Coalescer(now=asyncio.get_running_loop().time(), chance=chance)

    async def run(self) -> Fate:
        """Follow the answer to its end, or until the reader is gone or too far behind."""
        try:
            return await self._follow()
        except Gone:
            return "gone"

    async def _follow(self) -> Fate:
        transcript, loop = self._transcript, asyncio.get_running_loop()
        give_up_at: float | None = None
        while True:
            news = transcript.news
            if self._attempt != transcript.attempt:
                await self._turn_to_attempt()
            self._feed()
            now = loop.time()
            if transcript.ending is not None:
                give_up_at = give_up_at or now + LAST_WORDS_S
            if self._is_behind() or (give_up_at is not None and now >= give_up_at):
                await self._excuse()
                return "behind"
            if await self._post_if_due(now):
                continue
            if transcript.ending is not None and self._fed >= transcript.length:
                return await self._say_last(give_up_at or now)
            await _wait(news, until=self._wake_at(give_up_at))

    async def _turn_to_attempt(self) -> None:
        """Another attempt's text from here on: tell the reader where to cut, if it has more than still stands."""
        transcript = self._transcript
        begin = valid_offset(self._told, self._told_attempt, starts=transcript.starts, length=transcript.length)
        unsure, self._unsure = self._unsure and transcript.attempt > 1, False
        if unsure:
            begin = transcript.starts[-1]
        if unsure or begin < self._told:
            await self._say(*self._tell_cut(begin))
        self._attempt = self._told_attempt = transcript.attempt
        self._told = self._fed = begin
        self._coalescer = Coalescer(now=asyncio.get_running_loop().time(), off=begin, chance=self._chance)

    def _tell_cut(self, begin: int) -> tuple[FrameKind, int, Mapping[str, object]]:
        ending = self._transcript.ending
        if ending is not None and ending.retracted:
            return "retract", begin, {"reason": "content-filtered"}
        return "reset", begin, {"reason": "continued" if begin else "restarted"}

    def _feed(self) -> None:
        room = FEED_BYTES - self._coalescer.pending_bytes
        if room > 0 and self._fed < self._transcript.length:
            text = self._transcript.text(self._fed, self._fed + room)
            self._fed += len(text)
            self._coalescer.add(text)
        if self._transcript.ending is not None:
            self._coalescer.flush()

    def _is_behind(self) -> bool:
        """Whether more has come since the reader was here than it could take; what there was before does not count."""
        return self._transcript.length - max(self._told, self._seen_length) > OVERRUN_CHARACTERS

    def _wake_at(self, give_up_at: float | None) -> float:
        times = (self._coalescer.due_at(), self._coalescer.ping_at(), give_up_at)
        return min(at for at in times if at is not None)

    async def _post_if_due(self, now: float) -> bool:
        due, ping = self._coalescer.due_at(), self._coalescer.ping_at()
        if due is not None and due <= now:
            await self._post_piece(now)
            return True
        if ping is not None and ping <= now:
            await self._send_once("ping", self._told, None)
            self._coalescer.note_said(asyncio.get_running_loop().time())
            return True
        return False

    async def _post_piece(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        piece = self._coalescer.take(now)
        if await self._send_once("delta", piece.off, piece.text):
            self._coalescer.settle(loop.time())
            self._told = self._coalescer.off
        else:
            self._told = max(self._told, piece.off + len(piece.text))  # it was perhaps taken all the same
            self._coalescer.back_off(loop.time())

    async def _say_last(self, give_up_at: float) -> Fate:
        ending, off = self._transcript.ending, self._transcript.length
        if ending is None:
            return "done"
        last = ending.last_frame()
        return "done" if last is None or await self._say(last[0], off, last[1], until=give_up_at) else "behind"

    async def _excuse(self) -> None:
        """Tell a reader that does not keep up to come back; where it cannot be told, its own clock will."""
        why = describe_problem("reader-behind", "The connection is too slow for this answer; resume for the rest")
        await self._send_once("error", self._told, {**why, "resumable": True})

    async def _say(self, kind: FrameKind, off: int, data: Mapping[str, object], *, until: float | None = None) -> bool:
        """Send what must arrive, as often as it takes; False where `until` came first."""
        loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
        while not await self._send_once(kind, off, data):
            if until is not None and loop.time() + pause_s >= until:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
        return True

    async def _send_once(self, kind: FrameKind, off: int, data: str | Mapping[str, object] | None) -> bool:
        """Whether the frame was taken. Raises Gone."""
        attempt = self._attempt if kind in {"delta", "ping"} else self._transcript.attempt
        try:
            await self._line.send(Frame(kind, self._req, self._seq + 1, off, attempt, data))
        except Retryable as error:
            log.debug("delivery.held_back", error_type=type(error).__name__)
            return False
        except Gone:
            raise
        except SluicewayError as error:
            log.failure("delivery.failed", error)
            raise Gone("this reader cannot be reached") from error
        self._seq += 1
        return True


async def _wait(news: asyncio.Event, *, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await news.wait()
    except TimeoutError:
        return
