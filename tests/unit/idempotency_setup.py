"""Hosts with clocks of their own, a store with troubles, and a naive store for what must be seen to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sluiceway.errors import DeadlineExceeded
from sluiceway.idempotency import Guard, Options
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.idempotency.outcomes import Outcome
from sluiceway.ports import IdempotencyStore
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from tests.fakes import EPOCH_MS, FixedChance, Trouble


class HostClock:
    """A date that follows the loop's time, ahead of it by `ahead_s`."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_ms = round(ahead_s * 1000)

    def now_ms(self) -> int:
        return EPOCH_MS + self.ahead_ms + round(asyncio.get_running_loop().time() * 1000)


_numbers = count(1)


def number_owner() -> Owner:
    return Owner(f"owner-{next(_numbers)}")


def options(*, ahead_s: float = 0.0, **choices: Any) -> Options:
    """The options of a host whose clock is `ahead_s` ahead, without chance."""
    return Options(**{"clock": HostClock(ahead_s), "chance": FixedChance(), "new_owner": number_owner, **choices})


def make_guard(name: str = "orders", *, ahead_s: float = 0.0, key: Any = "id", **choices: Any) -> Guard[Any]:
    return Guard(name, key=key, options=options(ahead_s=ahead_s, **choices))


class TroubledStore:
    """A store whose calls take their time, fail before their work, or after it (the answer is lost)."""

    def __init__(self, store: IdempotencyStore, trouble: Trouble | None = None) -> None:
        self.store = store
        self.trouble = trouble or Trouble()
        self.calls: list[str] = []

    async def _do(self, name: str, work: Callable[[], Awaitable[Any]], deadline: float | None) -> Any:
        try:
            async with asyncio.timeout_at(deadline):
                await self.trouble.before(name)
                self.calls.append(name)
                answer = await work()
                await self.trouble.after(name)
                return answer
        except TimeoutError as error:
            raise DeadlineExceeded(f"{name}: no answer") from error

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        return await self._do("claim", lambda: self.store.claim(record, now_ms=now_ms, rerun=rerun), deadline)

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        return await self._do("get", lambda: self.store.get(key), deadline)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        return await self._do("write", lambda: self.store.write(record), deadline)

    async def release(self, record: IdempotencyRecord) -> None:
        await self._do("release", lambda: self.store.release(record), None)


class NaiveStore(MemoryIdempotencyStore):
    """As Powertools writes: the claim is conditional, the end and the deletion are not."""

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        del deadline
        self._records[record.key] = record
        return True

    async def release(self, record: IdempotencyRecord) -> None:
        self._records.pop(record.key, None)


@dataclass
class Work:
    """Work that takes `takes_s`, fails with `error` if there is one, and gives its own number."""

    takes_s: float = 0.0
    error: Exception | None = None
    runs: int = 0
    ends: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)

    async def __call__(self) -> dict[str, int]:
        self.runs += 1
        number, begun = self.runs, asyncio.get_running_loop().time()
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.spans.append((begun, asyncio.get_running_loop().time()))
        if self.error is not None:
            raise self.error
        self.ends += 1
        return {"run": number}


async def after(delay_s: float, work: Callable[[], Awaitable[Outcome[Any]]]) -> Outcome[Any] | Exception:
    """What `work` comes to, begun later; an error as a value."""
    await asyncio.sleep(delay_s)
    try:
        return await work()
    except Exception as error:  # noqa: BLE001 - it is the answer
        return error


async def together(*works: Awaitable[Any]) -> list[Any]:
    """What all of them come to."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_wrap(work)) for work in works]
    return [task.result() for task in running]


async def _wrap(work: Awaitable[Any]) -> Any:
    return await work
