"""A queue of dead letters as a source. A letter is deleted when all that it stands for was taken, and kept otherwise.

Letters are hidden from others while a run holds them, and hidden again while it lasts; in the end, also of a run that
is stopped, those that are kept are shown at once. Where the run is killed they come back by themselves within
`HIDDEN_S`. So nothing is lost, and what was taken and not deleted by then is sent once more.
Must not know where letters go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from localcloud.replay.items import Item, Outcome
from localcloud.replay.letters import Reading, read_letter
from localcloud.replay.patience import keep_trying
from localcloud.replay.ports import Outlook
from localcloud.replay.queue_api import Letter, LetterQueue
from localcloud.replay.sources.extents import follow
from sluiceway import log
from sluiceway.aws.wire import StreamingCaller
from sluiceway.errors import Rejected, SluicewayError
from sluiceway.ports import Chance

__all__ = ["LetterSource", "list_letters", "open_letters"]

HIDDEN_S: Final = 120
RENEWED_S: Final = 40.0
WAIT_S: Final = 2  # a long poll asks all of the queue's servers
MAX_HELD: Final = 20_000  # letters at once: refused ones stay hidden until the end


@dataclass(slots=True)
class _Held:
    """A letter in hand: items of it that are not settled, whether there may be more, whether one was refused."""

    receipt: str
    open: int = 0
    complete: bool = False
    refused: bool = False


class LetterSource:
    """The letters that are there. Made by `open_letters`. `keeps`: nothing is deleted, whatever is settled."""

    def __init__(self, caller: StreamingCaller, queue: LetterQueue, *, chance: Chance, total: int, keeps: bool) -> None:
        self._caller = caller
        self._queue = queue
        self._chance = chance
        self._total = total
        self._keeps = keeps
        self._ready: deque[Letter] = deque()
        self._held: dict[str, _Held] = {}
        self._gone: set[str] = set()
        self._following: AsyncGenerator[Item] | None = None
        self._current = ""

    @property
    def outlook(self) -> Outlook:
        """About as many as there were."""
        return Outlook(total=self._total)

    async def next(self) -> Item | None:
        """As the port says. Raises Rejected (`too-many-letters`) where more than 20,000 were refused."""
        while True:
            if self._following is not None:
                item = await anext(self._following, None)
                if item is not None:
                    self._held[self._current].open += 1
                    return item
                self._following = None
                self._held[self._current].complete = True
                await self._let_go([self._current])
            letter = await self.next_letter()
            if letter is None:
                return None
            reading = read_letter(letter)
            held = self._held[letter.message_id]
            if reading.extent is not None:
                self._current = letter.message_id
                self._following = follow(self._caller, reading.extent, letter.message_id, chance=self._chance)
            elif reading.item is not None:
                held.open, held.complete = 1, True
                return replace(reading.item, letter=letter.message_id)

    async def next_letter(self) -> Letter | None:
        """The next letter, hidden from others until it is let go; None once there is none that was not seen."""
        while not self._ready:
            if len(self._held) >= MAX_HELD:
                raise Rejected(f"{MAX_HELD} letters are held: mend what refuses them", reason="too-many-letters")
            letters = await keep_trying(
                lambda: self._queue.receive(wait_s=WAIT_S, visibility_s=HIDDEN_S), chance=self._chance
            )
            if not letters:
                return None
            for letter in letters:
                await self._take(letter)
        return self._ready.popleft()

    async def _take(self, letter: Letter) -> None:
        """A letter that is held already has come back too early: its receipt is the one that counts now."""
        held = self._held.get(letter.message_id)
        if letter.message_id in self._gone:
            await self._queue.delete([letter.receipt])  # it was taken, and a standard queue showed it again
        elif held is not None:
            held.receipt = letter.receipt
        else:
            self._held[letter.message_id] = _Held(letter.receipt)
            self._ready.append(letter)

    def cursor(self) -> Mapping[str, Any]:
        """The queue itself knows."""
        return {}

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Delete the letters of which all is taken."""
        for item, reason in outcomes:
            held = self._held[item.letter]
            held.open -= 1
            held.refused = held.refused or bool(reason)
        await self._let_go(list(dict.fromkeys(item.letter for item, _ in outcomes)))

    async def _let_go(self, names: Sequence[str]) -> None:
        done = {name: self._held[name] for name in names if _is_done(self._held.get(name))}
        if not done or self._keeps:
            return
        receipts = [held.receipt for held in done.values()]
        failed = await keep_trying(lambda: self._queue.delete(receipts), chance=self._chance)
        for name, held in done.items():
            if held.receipt in failed:
                log.warning("replay.letter_not_deleted", message_id=name)
                continue
            self._gone.add(name)
            del self._held[name]

    async def keep_hidden(self) -> None:
        """Hide what is held again, for as long as this runs."""
        while True:
            await asyncio.sleep(RENEWED_S)
            receipts = [held.receipt for held in self._held.values()]
            try:
                await self._queue.hide(receipts, HIDDEN_S)
            except SluicewayError as error:
                log.failure("replay.letters_not_hidden", error)

    async def show_all(self) -> None:
        """Show what is held to others, at once."""
        receipts = [held.receipt for held in self._held.values()]
        try:
            await self._queue.hide(receipts, 0)
        except SluicewayError as error:  # they show themselves in two minutes
            log.failure("replay.letters_not_shown", error)


def _is_done(held: _Held | None) -> bool:
    return held is not None and held.complete and not held.open and not held.refused


@asynccontextmanager
async def open_letters(
    caller: StreamingCaller, queue: LetterQueue, *, chance: Chance, keeps: bool = False
) -> AsyncGenerator[LetterSource]:
    """The letters of a queue; those that are still held in the end are shown. Raises SluicewayError."""
    facts = await queue.facts()
    total = int(facts.get("ApproximateNumberOfMessages") or 0)
    source = LetterSource(caller, queue, chance=chance, total=total, keeps=keeps)
    raised: Exception | None = None
    async with asyncio.TaskGroup() as group:
        hiding = group.create_task(source.keep_hidden())
        try:
            yield source
        except Exception as error:  # noqa: BLE001 - not for the group to wrap
            raised = error
        finally:
            hiding.cancel()
            await source.show_all()
    if raised is not None:
        raise raised


async def list_letters(source: LetterSource) -> AsyncGenerator[tuple[Letter, Reading]]:
    """Each letter with what it says; they are hidden from others until the source is left."""
    while (letter := await source.next_letter()) is not None:
        yield letter, read_letter(letter)
