"""The contracts of TermStore, DoubtStore and RecordShelf over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws

from sluiceway.aws.dynamodb import Table
from sluiceway.aws.idempotency import CONFLICT, DynamoDbIdempotencyStore
from sluiceway.aws.idempotency_shelf import DynamoDbRecordShelf
from sluiceway.aws.regions import DynamoDbDoubtStore, DynamoDbTermStore
from sluiceway.errors import Misconfigured, Retryable, ServiceUnavailable
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import IdempotencyStore
from sluiceway.ports.regions import DoubtStore, RecordShelf, TermStore
from sluiceway.region.doubts import list_doubts, list_unfinished
from sluiceway.region.memory import MemoryDoubtStore, MemoryTermStore
from sluiceway.region.strong import sweep_expired
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.terms import Doubt, close_term, first_term, open_term
from tests.contract.answer_tables import Post, local_tables, make_moto, moto_tables
from tests.contract.idempotency_tables import DEFINITION as RECORDS
from tests.contract.idempotency_tables import TABLE
from tests.unit.region_setup import next_term

NOW_MS = time.time_ns() // 1_000_000_000 * 1_000  # the tables have the machine's clock
NOW_S = NOW_MS // 1000
REGIONS: dict[str, Any] = {
    "TableName": "regions",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "item")],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
}
FIRST = first_term("shop", "us-east-1", now_ms=NOW_MS)
SECOND = next_term(FIRST, "us-west-2", now_ms=NOW_MS, approval="incident 7, Zoë")
DOUBT = Doubt("orders#1", "parked", 1, "us-east-1", "us-west-2", NOW_MS, NOW_S + 900)


@dataclass
class World:
    """One implementation, and the post to its tables (None for memory)."""

    terms: TermStore
    doubts: DoubtStore
    records: IdempotencyStore
    shelf: RecordShelf
    post: Post | None


def worlds(kind: str) -> Iterator[World]:
    kind, _, twice = kind.partition(", ")
    if kind == "memory":
        memory = MemoryIdempotencyStore()
        yield World(MemoryTermStore(), MemoryDoubtStore(), memory, memory, None)
        return
    with mock_aws() if kind == "moto" else nullcontext():
        tables = [RECORDS, REGIONS]
        send = local_tables(tables) if kind == "local" else moto_tables(make_moto(tables))
        post = Post(send, twice=bool(twice))
        table = Table(post, "regions")
        yield World(
            DynamoDbTermStore(table),
            DynamoDbDoubtStore(table, "shop"),
            DynamoDbIdempotencyStore(post, TABLE),
            DynamoDbRecordShelf(post, TABLE),
            post,
        )


@pytest.fixture(params=["memory", "local", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


@pytest.fixture(params=["local", "moto"])
def tables(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


def post_of(world: World) -> Post:
    assert world.post is not None
    return world.post


# ------------------------------------------------------------ terms


async def test_a_term_is_read_back_whole(world: World) -> None:
    """With its past and its approval; groups do not meet."""
    assert await world.terms.get("shop") is None
    assert await world.terms.replace(FIRST, seen=None)
    assert await world.terms.replace(SECOND, seen=FIRST)
    assert await world.terms.get("shop") == SECOND
    assert await world.terms.get("shop2") is None


async def test_a_term_is_replaced_where_its_epoch_is_still_the_one_seen(world: World) -> None:
    """The later of two fails, a founding where there is a term fails, a change where there is none fails."""
    assert not await world.terms.replace(SECOND, seen=FIRST)
    await world.terms.replace(FIRST, seen=None)
    assert not await world.terms.replace(FIRST._replace(region="us-west-2"), seen=None)
    assert await world.terms.replace(SECOND, seen=FIRST)
    other = next_term(FIRST, "eu-west-1", now_ms=NOW_MS, approval="another")
    assert not await world.terms.replace(other, seen=FIRST)
    assert await world.terms.get("shop") == SECOND


async def test_a_term_is_closed_and_opened_under_one_epoch(world: World) -> None:
    """What is written over itself with the same epoch stands; the closing that comes late does not undo it."""
    closed = close_term(FIRST, "us-west-2", now_ms=NOW_MS, approval="x")
    opened = open_term(closed, now_ms=NOW_MS + 60_000)
    await world.terms.replace(FIRST, seen=None)
    assert await world.terms.replace(closed, seen=FIRST)
    assert await world.terms.replace(opened, seen=closed)
    assert not await world.terms.replace(closed, seen=FIRST)
    assert await world.terms.get("shop") == opened


async def test_a_term_whose_answer_was_lost_is_known_again(tables: World) -> None:
    """Founding and change are stored, their answers lost: asked again they are found to be ours, others' are not."""
    post = post_of(tables)
    for term, seen in ((FIRST, None), (SECOND, FIRST)):
        post.lose_after = 1
        with pytest.raises(Retryable):
            await tables.terms.replace(term, seen=seen)
        assert await tables.terms.replace(term, seen=seen)
        assert not await tables.terms.replace(term._replace(approval="another"), seen=seen)


async def test_terms_are_read_strongly_consistent(tables: World) -> None:
    """An old reading would let two Regions begin."""
    await tables.terms.get("shop")
    assert post_of(tables).calls[-1][1]["ConsistentRead"] is True


@pytest.mark.parametrize(
    "broken", [{"region": ""}, {"epoch": 0}, {"lease_ms": 0}, {"past": [{"epoch": 1, "ended_ms": 3}]}]
)
async def test_an_item_that_is_no_term_is_named(tables: World, broken: dict[str, Any]) -> None:
    """Whoever changed it by hand is told which table; nobody begins by it."""
    await tables.terms.replace(FIRST, seen=None)
    table = Table(post_of(tables), "regions")
    item = await table.get_item({"id": "term#shop", "item": "term"})
    assert item is not None
    await table.put_item(item | broken)
    with pytest.raises(Misconfigured, match="regions") as caught:
        await tables.terms.get("shop")
    assert caught.value.what == "REGION_GROUP"


# ------------------------------------------------------------ doubts


async def listed(world: World, region: str = "us-west-2") -> list[Doubt]:
    return [doubt async for doubt in list_doubts(world.doubts, region)]


async def test_the_first_note_of_a_doubt_is_kept(world: World) -> None:
    """A later one is given the first, with what a person made of it; another term's and Region's are others."""
    assert await world.doubts.note(DOUBT) == DOUBT
    await world.doubts.put(DOUBT._replace(state="released"))
    assert await world.doubts.note(DOUBT._replace(noted_ms=NOW_MS + 5)) == DOUBT._replace(state="released")
    for other in (DOUBT._replace(epoch=2), DOUBT._replace(region="eu-west-1"), DOUBT._replace(key="orders#2")):
        assert await world.doubts.note(other) == other
    assert await listed(world) == [
        DOUBT._replace(state="released"),
        DOUBT._replace(epoch=2),
        DOUBT._replace(key="orders#2"),
    ]
    assert await listed(world, "eu-west-1") == [DOUBT._replace(region="eu-west-1")]


async def test_a_doubt_that_has_expired_is_noted_anew(world: World) -> None:
    """The second that it expires in still counts; a release that is over lets nothing begin."""
    await world.doubts.put(DOUBT._replace(state="released"))
    at_its_end = DOUBT._replace(noted_ms=NOW_MS + 900_999, expires_s=NOW_S + 5_000)
    assert (await world.doubts.note(at_its_end)).state == "released"
    after_it = at_its_end._replace(noted_ms=NOW_MS + 901_000)
    assert await world.doubts.note(after_it) == after_it
    assert await world.doubts.note(DOUBT) == after_it


async def test_a_doubt_is_removed_alone(world: World) -> None:
    """Nothing else is, and to remove what is gone does nothing."""
    await world.doubts.note(DOUBT)
    await world.doubts.note(DOUBT._replace(epoch=2, why="fenced"))
    for _ in range(2):
        await world.doubts.remove(DOUBT)
        assert await listed(world) == [DOUBT._replace(epoch=2, why="fenced")]


async def test_many_doubts_come_page_by_page(world: World) -> None:
    """Each once, in the order of their keys, also where one key begins another."""
    keys = sorted([*(f"orders#{number:04d}" for number in range(250)), "orders#0099!", "orders#0099A", "ordersÄ#1"])
    for key in keys[::-1]:
        await world.doubts.note(DOUBT._replace(key=key))
    found = [doubt.key for doubt in await listed(world)]
    assert sorted(found) == keys
    assert len((await world.doubts.page("us-west-2")).doubts) == 100


LONG = [
    *("k" * size for size in (1_011, 1_012, 1_013, 1_014, 2_048)),
    "k" * 2_047 + "l",
    "ü" * 506,
    "ü" * 507,
    "ü" * 1_024,
    "k" + "ü" * 1_000,
    "😀" * 300,
]


async def test_keys_longer_than_a_sort_key_are_kept_whole(world: World) -> None:
    """A partition key has 2,048 bytes, a sort key 1,024: the place is shortened, the key is not, and none are mixed."""
    for key in LONG:
        doubt = DOUBT._replace(key=key)
        assert await world.doubts.note(doubt) == doubt
        assert await world.doubts.note(doubt._replace(noted_ms=1)) == doubt
    assert sorted(doubt.key for doubt in await listed(world)) == sorted(LONG)
    for key in LONG:
        await world.doubts.remove(DOUBT._replace(key=key))
    assert await listed(world) == []


async def test_a_short_key_that_looks_like_a_shortened_one_is_another(tables: World) -> None:
    """A shortened place is as long as a place can be, and no short key's is."""
    await tables.doubts.note(DOUBT._replace(key="k" * 2_000))
    place = str(post_of(tables).calls[-1][1]["Item"]["item"]["S"])
    assert len(place) == 1_024
    forged = DOUBT._replace(key=place.removesuffix("@0000000001"))
    assert await tables.doubts.note(forged) == forged


async def test_a_doubt_whose_answer_was_lost_is_noted_once(tables: World) -> None:
    """Asked again, the one that is kept is the same."""
    post_of(tables).lose_after = 1
    with pytest.raises(Retryable):
        await tables.doubts.note(DOUBT)
    assert await tables.doubts.note(DOUBT) == DOUBT


async def test_groups_share_a_table_and_nothing_else(tables: World) -> None:
    """Their doubts do not meet, nor do those of a group whose name goes on."""
    await tables.doubts.note(DOUBT)
    for group in ("shop2", "sho"):
        page = await DynamoDbDoubtStore(Table(post_of(tables), "regions"), group).page("us-west-2")
        assert page.doubts == ()


# ------------------------------------------------------------ records


def record(key: str, **members: Any) -> IdempotencyRecord:
    of = IdempotencyRecord(key, Owner(f"owner-{key}", "us-east-1", 1), NOW_S + 60, lease_until_ms=NOW_MS + 5_000)
    return of._replace(**members)


async def fill(world: World, *records: IdempotencyRecord) -> None:
    for each in records:
        assert await world.records.claim(each._replace(is_complete=False, data=None), now_ms=0, rerun=False) is None
        if each.is_complete:
            assert await world.records.write(each)


async def test_unfinished_records_are_found_among_others(world: World) -> None:
    """Those in progress, page by page; of them the lapsed ones are in doubt."""
    done = record("done", is_complete=True, data="1")
    await fill(world, record("a"), done, record("b", lease_until_ms=NOW_MS - 1))
    assert sorted((await world.shelf.unfinished()).records) == [record("a"), record("b", lease_until_ms=NOW_MS - 1)]
    lapsed = [each.key async for each in list_unfinished(world.shelf, NOW_MS)]
    assert lapsed == ["b"]


async def test_expired_records_are_swept_and_others_are_not(world: World) -> None:
    """Complete or not; the second that a record expires in still counts."""
    await fill(
        world,
        record("over", expires_s=NOW_S - 1),
        record("now", expires_s=NOW_S),
        record("done", expires_s=NOW_S - 9, is_complete=True, data="1"),
        record("kept", is_complete=True, data="1"),
    )
    assert await sweep_expired(world.shelf, now_ms=NOW_MS) == (2 if not is_twice(world) else 0)
    left = [key for key in ("over", "now", "done", "kept") if await world.records.get(key) is not None]
    assert left == ["now", "kept"]


def is_twice(world: World) -> bool:
    """A deletion whose answer is the second one's says that there is nothing."""
    return world.post is not None and world.post.twice


async def test_a_record_that_was_claimed_meanwhile_is_not_discarded(world: World) -> None:
    """Another owner, or the same one with another expiry: the record that was seen is no more."""
    seen = record("k", expires_s=NOW_S - 1)
    await fill(world, seen)
    again = record("k", owner=Owner("other"))
    assert await world.records.claim(again, now_ms=NOW_MS, rerun=False) is None
    assert not await world.shelf.discard(seen)
    assert not await world.shelf.discard(again._replace(expires_s=NOW_S - 1))
    assert await world.records.get("k") == again
    await world.shelf.discard(again)
    assert await world.records.get("k") is None
    assert not await world.shelf.discard(again)


async def test_a_sweep_stops_at_its_bound(world: World) -> None:
    """And goes on the next time."""
    await fill(world, *(record(f"k{number}", expires_s=NOW_S - 1) for number in range(7)))
    if is_twice(world):
        return
    assert [await sweep_expired(world.shelf, now_ms=NOW_MS, most=5) for _ in range(3)] == [5, 2, 0]


async def test_records_of_another_library_are_swept_too(tables: World) -> None:
    """Powertools' have no owner; one that was given an owner meanwhile stays."""
    table = Table(post_of(tables), TABLE)
    theirs = {"id": "theirs", "status": "INPROGRESS", "expiration": NOW_S - 1}
    await table.put_item(theirs)
    (seen,) = (await tables.shelf.expired(NOW_MS)).records
    await table.put_item(theirs | {"owner": "ours"})
    assert not await tables.shelf.discard(seen)
    await table.put_item(theirs)
    assert await tables.shelf.discard(seen)


async def test_a_table_of_several_pages_is_read_to_its_end(tables: World) -> None:
    """A page of DynamoDB has 1 MB before the filter: some are empty, and none is skipped."""
    big = "x" * 300_000
    await fill(tables, *(record(f"d{number}", is_complete=True, data=f'"{big}"') for number in range(8)))
    await fill(tables, *(record(f"u{number}", lease_until_ms=NOW_MS - 1) for number in range(5)))
    post_of(tables).calls.clear()
    found = [each.key async for each in list_unfinished(tables.shelf, NOW_MS)]
    assert sorted(found) == [f"u{number}" for number in range(5)]
    scans = [request for operation, request in post_of(tables).calls if operation == "Scan"]
    assert len(scans) >= 3
    assert all(request["ConsistentRead"] is True for request in scans)


async def test_a_conflict_keeps_a_record_from_being_discarded(tables: World) -> None:
    """Somebody is modifying it: it is not as it was seen. Any other trouble is told."""
    seen = record("k", expires_s=NOW_S - 1)
    await fill(tables, seen)

    async def refuse(operation: str, _request: Any) -> Any:
        raise ServiceUnavailable("x", service="dynamodb", operation=operation, code=CONFLICT, status=400)

    post_of(tables).break_before = 1
    with pytest.raises(Retryable):
        await tables.shelf.discard(seen)
    post_of(tables).send = refuse
    assert not await tables.shelf.discard(seen)
