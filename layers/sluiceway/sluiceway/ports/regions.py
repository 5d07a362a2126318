"""What Regions that share keys need of the outside world: their terms, their doubts, and a look along the records."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sluiceway.rules.idempotency import IdempotencyRecord
from sluiceway.rules.terms import Doubt, Term

__all__ = ["DoubtPage", "DoubtStore", "RecordPage", "RecordShelf", "TermStore"]


class TermStore(Protocol):
    """The one term of each group, the same for all Regions: every reading gives what was last written, or fails.

    So it is in a strongly consistent global table, or in a table of one Region that all of them call; never in an
    eventually consistent one.
    """

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        """The term as last written, None where the group has none. `deadline` is on the loop's clock."""
        ...

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        """Write `term` if `seen` (its epoch) is still what is stored, None: if there is none. False where it is not.

        True as well where exactly `term` is what is stored already (a retry whose first answer was lost).
        """
        ...


class DoubtPage(NamedTuple):
    """Some of the doubts; `after` is where the next page goes on, "" behind the last one."""

    doubts: tuple[Doubt, ...]
    after: str = ""


class DoubtStore(Protocol):
    """The keys in doubt of a group, as each Region noted them: a Region writes over its own entries only."""

    async def note(self, doubt: Doubt) -> Doubt:
        """Keep `doubt`, if its Region has none for the key and term. Gives the one that is kept then."""
        ...

    async def put(self, doubt: Doubt) -> None:
        """Keep `doubt` in place of what its Region noted for the key and term."""
        ...

    async def remove(self, doubt: Doubt) -> None:
        """Forget what its Region noted for the key and term."""
        ...

    async def page(self, region: str, *, after: str = "") -> DoubtPage:
        """What `region` noted, in the order of the keys, page by page; of another Region perhaps not the latest."""
        ...


class RecordPage(NamedTuple):
    """Some of the records; `after` is where the next page goes on, "" behind the last one."""

    records: tuple[IdempotencyRecord, ...]
    after: str = ""


class RecordShelf(Protocol):
    """A look along a store's records, for what no single key's request finds."""

    async def unfinished(self, *, after: str = "") -> RecordPage:
        """Records in progress, page by page (perhaps an empty one with others behind it)."""
        ...

    async def expired(self, now_ms: int, *, after: str = "") -> RecordPage:
        """Records that count as gone at `now_ms`, page by page."""
        ...

    async def discard(self, record: IdempotencyRecord) -> bool:
        """Delete the record if it has this owner and this expiry still; False where it has not."""
        ...
