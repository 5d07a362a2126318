"""The story of a failover, told step by step to people and held to be true: nothing moves before it is approved.

Owns the order of the steps, and what each waits for; how a Region is killed, asked or approved is others' to know.
Times are seconds on the loop's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

__all__ = ["Broken", "Scene", "Stage", "Step", "Story"]

LOOK_S: Final = 0.25
STILL_S: Final = 5.0  # for so long traffic stays where it was once approval has been asked for
PATIENCE_S: Final = 300.0  # for any one step


class Broken(Exception):
    """A step did not come to its end, or something moved that may not."""


class Scene(Protocol):
    """A running pair, and a person with commands."""

    home: str
    other: str

    async def serving(self) -> str:
        """The Region that answers the pair's name, "" where none does."""
        ...

    async def is_asked(self, to: str) -> bool:
        """Whether an alarm asks for an approval to hand over to `to`."""
        ...

    async def against(self, to: str) -> tuple[str, ...]:
        """What speaks against handing over to `to`."""
        ...

    async def approve(self, to: str, approval: str) -> None:
        """A person approves. Raises Broken where that is refused."""
        ...

    async def kill(self, region: str) -> None:
        """The Region is lost."""
        ...

    async def recover(self, region: str) -> None:
        """It is there again."""
        ...

    async def is_warm(self) -> bool:
        """Whether enough clients have had their answers for a loss to matter."""
        ...

    async def stored_since(self, at_s: float) -> bool:
        """Whether a client was told since then that its record is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, so many seconds after the story began, and after the step that it is measured from."""

    name: str
    at_s: float
    after_s: float


@dataclass(slots=True)
class Stage:
    """Tells steps as they happen; `begin_s` is the loop's time at which the story began."""

    tell: Callable[[Step], None]
    begin_s: float
    steps: list[Step] = field(default_factory=list[Step])

    def mark(self, name: str, *, since: float) -> float:
        """It happens now; gives the loop's time."""
        now = asyncio.get_running_loop().time()
        step = Step(name, now - self.begin_s, now - since)
        self.steps.append(step)
        self.tell(step)
        return now


class Story:
    """Home is lost, approval is asked for and given, home comes back, and is home again on an approval of its own."""

    def __init__(self, scene: Scene, stage: Stage) -> None:
        self._scene = scene
        self._stage = stage

    async def play(self) -> None:
        """All of it. Raises Broken."""
        scene, mark = self._scene, self._stage.mark
        home, other = scene.home, scene.other
        await self._until(f"{home} answers", lambda: self._serves(home))
        await self._until("clients have their answers", scene.is_warm)
        await scene.kill(home)
        lost = mark(f"{home} is lost", since=self._stage.begin_s)
        moved = await self._hand_over(other, lost, "rehearsal: failover")
        await self._until(f"a record is stored by {other}", lambda: scene.stored_since(moved))
        mark(f"{other} stores records", since=lost)
        await scene.recover(home)
        back = mark(f"{home} is there again", since=lost)
        await self._until(f"nothing speaks against {home}", lambda: self._is_ready(home))
        mark("replication has caught up, no key is parked", since=back)
        await self._hand_over(home, back, "rehearsal: failback")

    async def _hand_over(self, to: str, since: float, approval: str) -> float:
        """Wait to be asked, see that nothing moves, approve, and wait until clients are answered by `to`."""
        scene, mark = self._scene, self._stage.mark
        await self._until(f"approval for {to} is asked for", lambda: scene.is_asked(to))
        mark(f"approval for {to} is asked for", since=since)
        await self._stays_away(to)
        await scene.approve(to, approval)
        approved = mark(f"{to} is approved", since=since)
        await self._until(f"clients are answered by {to}", lambda: self._serves(to))
        mark(f"clients are answered by {to}", since=approved)
        return approved

    async def _stays_away(self, to: str) -> None:
        """Raises Broken where traffic goes to `to` before anybody approved that."""
        ends = asyncio.get_running_loop().time() + STILL_S
        while asyncio.get_running_loop().time() < ends:
            if await self._scene.serving() == to:
                raise Broken(f"{to} answered before it was approved")
            await asyncio.sleep(LOOK_S)

    async def _serves(self, region: str) -> bool:
        return await self._scene.serving() == region

    async def _is_ready(self, region: str) -> bool:
        return not await self._scene.against(region)

    async def _until(self, what: str, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Raises Broken where it is not so after PATIENCE_S."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await is_so():  # noqa: ASYNC110 - of a process elsewhere, which tells nobody
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise Broken(f"after {PATIENCE_S:.0f} s it was not so that {what}") from None
