"""Ids of a template's resources that are the same each time it is deployed, whatever else draws meanwhile.

A resource that is being made draws from a generator of its own, seeded by its logical id; everything else draws from
the cloud's. So a reset gives an API the id that it had, though a custom resource's calls drew more or fewer this time.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["ScopedRandom", "draw_by", "drawing_for"]


@dataclass(slots=True)
class _Scope:
    """Where resources draw: `place` tells one from another. `own` is the generator of one that is being made."""

    place: str
    own: random.Random | None = None


_SCOPE: ContextVar[_Scope | None] = ContextVar("_SCOPE", default=None)


class ScopedRandom(random.Random):
    """Draws for the resource that is being made where one is, else goes on with what it was given."""

    def random(self) -> float:
        """As any generator's."""
        own = _own()
        return super().random() if own is None else own.random()

    def getrandbits(self, k: int, /) -> int:
        """As any generator's."""
        own = _own()
        return super().getrandbits(k) if own is None else own.getrandbits(k)


def draw_by(seed: int) -> None:
    """From now on, in this task and those that it starts, resources draw by `seed` and their logical ids."""
    _SCOPE.set(_Scope(str(seed)))


@contextmanager
def drawing_for(logical_id: str) -> Generator[None]:
    """Draw for one resource, for the length of the block; a task that it leaves behind draws as everybody after it."""
    outer = _SCOPE.get()
    if outer is None:
        yield
        return
    place = f"{outer.place}/{logical_id}"
    scope = _Scope(place, random.Random(place))  # noqa: S311 - ids, not secrets
    token = _SCOPE.set(scope)
    try:
        yield
    finally:
        scope.own = None
        _SCOPE.reset(token)


def _own() -> random.Random | None:
    scope = _SCOPE.get()
    return None if scope is None else scope.own
