"""Everyone who reads one answer while it is made: a delivery each, as the record names them.

Owns who is served and since when nobody is. A delivery that fails never hurts the answer or another reader. Must not
know models, nor how a reader is reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sluiceway import log
from sluiceway.errors import SluicewayError
from sluiceway.flows.stream.delivery import Delivery, Line, Seat
from sluiceway.flows.stream.transcript import Transcript
from sluiceway.ports import Chance, Reader

__all__ = ["Readers"]


class Readers:
    """The deliveries of one answer. `group` owns their tasks; `detach` makes it known that a reader is served no more.

    `alone_since` is when the last one left (seconds on the loop's clock), None while there is one.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        transcript: Transcript,
        *,
        req: str,
        line_to: Callable[[str], Line],
        detach: Callable[[Reader], Awaitable[None]],
    ) -> None:
        self._group = group
        self._transcript = transcript
        self._req = req
        self._line_to = line_to
        self._detach = detach
        self._served: dict[str, tuple[Reader, asyncio.Task[None]]] = {}
        self._over: set[tuple[str, int]] = set()
        self.alone_since: float | None = asyncio.get_running_loop().time()

    def follow(self, readers: tuple[Reader, ...], chance: Chance, *, inherited: bool = False) -> None:
        """Serve exactly these from now on; one that was attached again begins anew from what it says it has."""
        wanted = {reader.connection_id: reader for reader in readers}
        for connection_id, (reader, task) in tuple(self._served.items()):
            if connection_id and _key(wanted.get(connection_id)) != _key(reader):
                task.cancel()
        for reader in readers:
            served = self._served.get(reader.connection_id)
            is_served = served is not None and _key(served[0]) == _key(reader)
            if not is_served and _key(reader) not in self._over:
                self.seat(Seat(reader, self._line_to(reader.connection_id), inherited), chance)

    def seat(self, seat: Seat, chance: Chance) -> None:
        """Serve this reader."""
        draw = chance.draw() if seat.reader.connection_id else 0.0  # over HTTP a heartbeat is promised every 15 s
        delivery = Delivery(seat, self._transcript, req=self._req, chance=draw)
        task = self._group.create_task(self._serve(delivery, seat.reader))
        self._served[seat.reader.connection_id] = (seat.reader, task)
        self.alone_since = None

    async def finish(self) -> None:
        """Wait until everyone has been told the end, or is gone."""
        while self._served:
            await asyncio.wait([task for _, task in self._served.values()])

    def leave(self) -> None:
        """Serve nobody any more."""
        for _, task in self._served.values():
            task.cancel()

    async def _serve(self, delivery: Delivery, reader: Reader) -> None:
        fate = "broken"
        try:
            fate = await delivery.run()
        except Exception as error:  # noqa: BLE001 - one reader's trouble; the answer and the others go on
            log.failure("delivery.broken", error)
        finally:
            served = self._served.get(reader.connection_id)
            if served is not None and _key(served[0]) == _key(reader):
                del self._served[reader.connection_id]
            self._over.add((reader.connection_id, reader.generation))
            if not self._served:
                self.alone_since = asyncio.get_running_loop().time()
        if fate != "done":
            log.info("delivery.ended", fate=fate)
            if reader.connection_id:  # a reader within this invocation has no place in the record
                await self._forget(reader)

    async def _forget(self, reader: Reader) -> None:
        try:
            await self._detach(reader)
        except SluicewayError as error:
            log.warning("delivery.undetached", error_type=type(error).__name__)


def _key(reader: Reader | None) -> tuple[str, int] | None:
    return None if reader is None else (reader.connection_id, reader.generation)
