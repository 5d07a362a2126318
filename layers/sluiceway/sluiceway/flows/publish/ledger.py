"""The idempotency of publishing: the same request with the same key is put once, whatever is left of it later.

A request is worked on in rounds, each with a key of its own under one guard: the first puts every record, the next one
those that the round before left without a receipt, and so on. A round's record has the results of all before it, and
never changes: so a repeat walks from round to round until nothing is left to do, and two repeats at once are one round.
A round that surely stored nothing leaves no record. Must not know HTTP, nor how records are put.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from sluiceway.errors import SluicewayError
from sluiceway.flows.publish.results import Result, dump_results, is_certain, is_final, load_results
from sluiceway.idempotency import Fresh, Guard, Options
from sluiceway.idempotency.outcomes import result_of
from sluiceway.ports import IdempotencyStore

__all__ = ["Publish", "PublishLedger", "Settled"]

MAX_ROUNDS: Final = 16  # of one key: each is a record to read for every repeat
KEEP_S: Final = 86_400.0  # that a key is remembered: a day, as where keys are sent for payments
LEASE_S: Final = 20.0  # with the clock margin, less than a term's 30 s (docs/regions.md); renewed every 7 s
_OPTIONS: Final = Options(keep_s=KEEP_S, lease_s=LEASE_S)

Put = Callable[[Sequence[int]], Awaitable[Sequence[Result]]]
"""Puts the records of these places, and gives their results in the same order."""


class Publish(NamedTuple):
    """One request. `key` is the caller's own; `body_sha256` is what a repeat must bring unchanged."""

    caller: str
    topic: str
    key: str
    body_sha256: str
    records: int
    round: int = 0


class Settled(NamedTuple):
    """The results, in the order of the records. `replayed`: nothing was put now; `recorded`: a repeat gets them too."""

    results: Sequence[Result]
    replayed: bool = False
    recorded: bool = True


class _NothingStored(SluicewayError):
    """A round in which it is certain of every record that it is not stored: its key is free again."""

    def __init__(self, results: Sequence[Result]) -> None:
        super().__init__("nothing was stored")
        self.results = results


class PublishLedger:
    """`store` keeps the records. `options` are for tests; what makes a key, a payload and a crash is decided here.

    An attempt that never ended leaves its key in doubt until its record expires: whether its records were stored,
    nobody knows.
    """

    def __init__(self, store: IdempotencyStore, *, options: Options = _OPTIONS) -> None:
        self._store = store
        self._clock = options.clock
        self._guard: Guard[Sequence[Result]] = Guard(
            "publishes",
            key=_key_of,
            options=replace(
                options,
                validate=_payload_of,
                made=_made_of,
                dump=dump_results,
                load=load_results,
                after_crash="doubt",
                wait_s=0.0,
            ),
        )

    def key_of(self, publish: Publish) -> str:
        """The key of a request's round in the store, and in the list of what is in doubt."""
        return self._guard.key_of(publish)

    async def settle(self, publish: Publish, put: Put, *, deadline: float) -> Settled:
        """Puts what is left of the request. Raises what `Guard.value` raises, but nothing of `put`'s."""
        done: Sequence[Result] = ()
        for number in range(MAX_ROUNDS):
            left = [at for at, result in enumerate(done) if not is_final(result)] if number else range(publish.records)
            if not left:
                break
            work = _Round(done, left, put).work
            try:
                outcome = await self._guard.run(
                    publish._replace(round=number), work, store=self._store, deadline=deadline
                )
            except _NothingStored as nothing:
                return Settled(nothing.results, recorded=False)
            done = result_of(outcome, now_ms=self._clock.now_ms())
            if isinstance(outcome, Fresh):
                return Settled(done, recorded=outcome.recorded)
        return Settled(done, replayed=True)


class _Round(NamedTuple):
    done: Sequence[Result]
    left: Sequence[int]
    put: Put

    async def work(self) -> Sequence[Result]:
        """The results of all records. Raises _NothingStored."""
        told = dict(zip(self.left, await self.put(self.left), strict=True))
        results = [told.get(at, result) for at, result in enumerate(self.done)] if self.done else [*told.values()]
        if all(is_certain(result) for result in told.values()):
            raise _NothingStored(results)
        return results


def _key_of(publish: Publish) -> object:
    return [publish.caller, publish.topic, publish.key, publish.round]


def _made_of(publish: Publish) -> object:
    """Where the client's key is one that a Region made, it says under which term."""
    return publish.key


def _payload_of(publish: Publish) -> object:
    return publish.body_sha256
