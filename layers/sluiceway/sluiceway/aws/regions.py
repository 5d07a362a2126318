"""The ports of Regions that share keys, on DynamoDB: terms and doubts in tables of one layout.

Owns the items and their conditions. A table has the key `id` and `item` (both strings) and the TTL attribute
`expiration`. A term is the item (`term#<group>`, `term`), in a table where every reading gives what was last written.
Doubts are the items (`doubts#<group>#<region>`, key and epoch), in a table that may be eventually consistent, since a
Region writes its own entries only. Must not know what a term allows or how a doubt ends. Source of the limits:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, cast

from sluiceway.aws.attributes import Value, read_integer, read_text
from sluiceway.aws.dynamodb import Expression, QueryRequest, Table, found_item
from sluiceway.errors import ConditionFailed, Misconfigured
from sluiceway.ports.regions import DoubtPage
from sluiceway.rules.terms import Doubt, PastTerm, Term

__all__ = ["DynamoDbDoubtStore", "DynamoDbTermStore"]

TERM: Final = "term"
EPOCH_DIGITS: Final = 10
MAX_PLACE_BYTES: Final = 1_024  # of a sort key
MAX_KEY_BYTES: Final = MAX_PLACE_BYTES - EPOCH_DIGITS - 1
HASH_CHARACTERS: Final = 64
PAGE: Final = 100

_NO_TERM: Final = Expression("attribute_not_exists(#id)", names={"#id": "id"})


class DynamoDbTermStore:
    """Terms in one table. Raises what `Table` raises, and Misconfigured for an item that is no term."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, group: str, *, deadline: float | None = None) -> Term | None:
        """As `TermStore.get`, strongly consistent."""
        item = await self._table.get_item(_term_key(group), deadline=deadline)
        return None if item is None else self._read(group, item)

    async def replace(self, term: Term, *, seen: Term | None) -> bool:
        """As `TermStore.replace`."""
        same = None if seen is None else Expression("#epoch = :seen", {"#epoch": "epoch"}, {":seen": seen.epoch})
        try:
            await self._table.put_item(_write_term(term), condition=same or _NO_TERM)
        except ConditionFailed as error:
            item = found_item(error)
            return item is not None and self._read(term.group, item) == term
        return True

    def _read(self, group: str, item: Mapping[str, Value]) -> Term:
        term = Term(
            group=group,
            epoch=read_integer(item, "epoch"),
            region=read_text(item, "region"),
            begins_ms=read_integer(item, "begins_ms"),
            lease_ms=read_integer(item, "lease_ms"),
            skew_ms=read_integer(item, "skew_ms"),
            approval=read_text(item, "approval"),
            past=_read_past(item.get("past")),
        )
        if term.epoch < 1 or not term.region or term.lease_ms < 1 or not all(past.region for past in term.past):
            raise Misconfigured(f"the table {self._table.name} holds no whole term of {group!r}", what="REGION_GROUP")
        return term


class DynamoDbDoubtStore:
    """The doubts of one group. Raises what `Table` raises.

    A doubt's place is its key and its epoch. Of a key of more than 1,012 bytes the place has the first bytes and a
    SHA-256, so doubts of such keys are in the order of those bytes; the key itself is kept whole.
    """

    def __init__(self, table: Table, group: str) -> None:
        self._table = table
        self._group = group

    async def note(self, doubt: Doubt) -> Doubt:
        """As `DoubtStore.note`; an entry that had expired by `noted_ms` is none."""
        free = Expression(
            "attribute_not_exists(#id) OR #expiration < :now_s",
            names={"#id": "id", "#expiration": "expiration"},
            values={":now_s": doubt.noted_ms // 1000},
        )
        try:
            await self._table.put_item(self._write(doubt), condition=free)
        except ConditionFailed as error:
            item = found_item(error)
            if item is None:
                raise
            return _read_doubt(item)
        return doubt

    async def put(self, doubt: Doubt) -> None:
        """As `DoubtStore.put`."""
        await self._table.put_item(self._write(doubt))

    async def remove(self, doubt: Doubt) -> None:
        """As `DoubtStore.remove`."""
        await self._table.delete_item({"id": self._id(doubt.region), "item": _place_of(doubt)})

    async def page(self, region: str, *, after: str = "") -> DoubtPage:
        """As `DoubtStore.page`: 100 entries at most, expired ones too until the table deletes them."""
        of_region = self._id(region)
        page = await self._table.query(
            QueryRequest(
                Expression("#id = :id", names={"#id": "id"}, values={":id": of_region}),
                limit=PAGE,
                consistent=True,
                start={"id": of_region, "item": after} if after else None,
            )
        )
        last = page.next_key
        return DoubtPage(tuple(map(_read_doubt, page.items)), "" if last is None else read_text(last, "item"))

    def _id(self, region: str) -> str:
        return f"doubts#{self._group}#{region}"

    def _write(self, doubt: Doubt) -> dict[str, Value]:
        return {
            "id": self._id(doubt.region),
            "item": _place_of(doubt),
            "key": doubt.key,
            "why": doubt.why,
            "epoch": doubt.epoch,
            "home": doubt.home,
            "region": doubt.region,
            "noted_ms": doubt.noted_ms,
            "expiration": doubt.expires_s,
            "state": doubt.state,
        }


def _term_key(group: str) -> dict[str, Value]:
    return {"id": f"term#{group}", "item": TERM}


def _write_term(term: Term) -> dict[str, Value]:
    past = [{"epoch": each.epoch, "region": each.region, "ended_ms": each.ended_ms} for each in term.past]
    return {
        **_term_key(term.group),
        "epoch": term.epoch,
        "region": term.region,
        "begins_ms": term.begins_ms,
        "lease_ms": term.lease_ms,
        "skew_ms": term.skew_ms,
        "approval": term.approval,
        "past": past,
    }


def _read_past(value: Value) -> tuple[PastTerm, ...]:
    entries = value if isinstance(value, list) else []
    maps = [cast("Mapping[str, Value]", each) for each in entries if isinstance(each, Mapping)]
    return tuple(
        PastTerm(read_integer(each, "epoch"), read_text(each, "region"), read_integer(each, "ended_ms"))
        for each in maps
    )


def _place_of(doubt: Doubt) -> str:
    """Where the doubt stands among its Region's: a short key's place is no long key's, since those are full."""
    key = doubt.key
    encoded = key.encode()
    if len(encoded) >= MAX_KEY_BYTES:
        kept = encoded[: MAX_KEY_BYTES - HASH_CHARACTERS].decode(errors="ignore")
        key = f"{kept}{hashlib.sha256(encoded).hexdigest()}"
        key = f"{key}{'0' * (MAX_KEY_BYTES - len(key.encode()))}"
    return f"{key}@{doubt.epoch:0{EPOCH_DIGITS}d}"


def _read_doubt(item: Mapping[str, Value]) -> Doubt:
    """What cannot be read as a word of ours keeps the work from beginning: fenced, and open."""
    return Doubt(
        key=read_text(item, "key"),
        why="parked" if item.get("why") == "parked" else "fenced",
        epoch=read_integer(item, "epoch"),
        home=read_text(item, "home"),
        region=read_text(item, "region"),
        noted_ms=read_integer(item, "noted_ms"),
        expires_s=read_integer(item, "expiration"),
        state="released" if item.get("state") == "released" else "open",
    )
