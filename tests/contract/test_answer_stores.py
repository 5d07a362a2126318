"""The contracts of AnswerStore and ConnectionStore over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from random import Random

import pytest
from moto import mock_aws

from localcloud.clock import run_virtual
from sluiceway.aws.answers import DynamoDbAnswerStore, DynamoDbConnectionStore
from sluiceway.aws.dynamodb import Table
from sluiceway.errors import Rejected, Retryable
from sluiceway.ports import MAX_READERS, AnswerRecord, AnswerStore, Connection, ConnectionStore, Reader
from tests.contract.answer_tables import ANSWERS, CONNECTIONS, Post, local_tables, moto_tables
from tests.fakes import EPOCH_MS
from tests.fakes_streaming import MemoryAnswerStore, MemoryConnectionStore

QUESTION = '{"prompt":"Which rivers end in the sea? 🌊"}'
ASKED = AnswerRecord(
    caller="ann",
    req="r1",
    state="asked",
    request_sha256="0" * 64,
    created_ms=EPOCH_MS,
    updated_ms=EPOCH_MS,
    correlation_id="corr",
    expires_s=EPOCH_MS // 1000 + 600,
)


@dataclass
class SetClock:
    """A date that a test sets."""

    at_ms: int = EPOCH_MS + 1

    def now_ms(self) -> int:
        return self.at_ms


@dataclass
class World:
    """One implementation of the ports, the date it goes by, and the post to its tables (None for memory)."""

    store: AnswerStore
    connections: ConnectionStore
    clock: SetClock
    post: Post | None


def make_world(kind: str) -> World:
    """Memory, local or moto."""
    clock = SetClock()
    if kind == "memory":
        return World(MemoryAnswerStore(clock=clock), MemoryConnectionStore(), clock, None)
    post = Post(local_tables() if kind == "local" else moto_tables())
    store = DynamoDbAnswerStore(Table(post, ANSWERS), clock)
    return World(store, DynamoDbConnectionStore(Table(post, CONNECTIONS)), clock, post)


@pytest.fixture(params=["memory", "local", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    kind, _, twice = request.param.partition(", ")
    with mock_aws() if kind == "moto" else nullcontext():
        made = make_world(kind)
        if made.post is not None:
            made.post.twice = bool(twice)
        yield made


@pytest.fixture
def store(world: World) -> AnswerStore:
    return world.store


async def begin(store: AnswerStore, owner: str = "w1") -> AnswerRecord:
    """An answer, claimed by its first worker."""
    found = await store.create(ASKED, QUESTION)
    assert found is None or found == ASKED
    return await claim(store, ASKED, owner)


async def claim(store: AnswerStore, seen: AnswerRecord, owner: str, *, at: int | None = None) -> AnswerRecord:
    """The record after another attempt began, at `at` or where the text ends."""
    record = begun(seen, owner, at=at)
    stored = await store.replace(record, seen=seen)
    assert stored == replace(record, readers=stored.readers, cancel=stored.cancel)
    return stored


def begun(seen: AnswerRecord, owner: str, *, at: int | None = None) -> AnswerRecord:
    """The record that claims another attempt."""
    off = seen.off if at is None else at
    starts = (*seen.starts, off)
    return replace(
        seen,
        state="running",
        attempt=len(starts),
        starts=starts,
        off=off,
        lease_owner=owner,
        lease_until_ms=EPOCH_MS + 9,
    )


async def say(store: AnswerStore, seen: AnswerRecord, text: str) -> AnswerRecord:
    """The record after `text` was stored."""
    stored = await store.replace(replace(seen, off=seen.off + len(text)), seen=seen, text=text)
    assert stored is not None
    return stored


# ---------------------------------------------------------------- asked once


async def test_an_answer_is_made_once(world: World) -> None:
    """The first create wins and reads back whole; the second is given the record that is stored."""
    store = world.store
    assert await store.get("ann", "r1") is None
    found = await store.create(ASKED, QUESTION)
    if world.post is None or not world.post.twice:
        assert found is None
    else:
        assert found == ASKED, "a retry whose first answer was lost finds its own record"
    assert await store.get("ann", "r1") == ASKED
    assert await store.read_question(ASKED) == QUESTION
    other = replace(ASKED, request_sha256="1" * 64, correlation_id="other")
    assert await store.create(other, "{}") == ASKED
    assert await store.get("ann", "r1") == ASKED
    assert await store.read_question(ASKED) == QUESTION


async def test_answers_of_others_are_others(store: AnswerStore) -> None:
    """The caller and the whole req name an answer."""
    await begin(store)
    for caller, req in (("ann", "r"), ("ann", "r10"), ("an", "r1"), ("bob", "r1")):
        assert await store.get(caller, req) is None
        await store.create(replace(ASKED, caller=caller, req=req), "{}")
        other = await claim(store, replace(ASKED, caller=caller, req=req), "w9")
        await say(store, other, f"{caller} {req}")
    record = await store.get("ann", "r1")
    assert record is not None
    record = await say(store, record, "mine")
    assert await store.read_text(record) == "mine"


async def test_a_new_answer_may_have_its_reader_already(store: AnswerStore) -> None:
    """Who asks reads: one write for both."""
    asked = replace(ASKED, readers=(Reader("c1", 1, off=3, attempt=2),))
    await store.create(asked, QUESTION)
    assert await store.get("ann", "r1") == asked
    attached = await store.attach("ann", "r1", Reader("c0", 1))
    assert attached == replace(asked, readers=(Reader("c0", 1), *asked.readers))


@pytest.mark.parametrize("req", ["", "r1#q#x", "#"])
async def test_a_req_that_is_the_key_of_something_else_is_refused(store: AnswerStore, req: str) -> None:
    """Whoever forgets to look at a path's last part reads no question and no piece."""
    with pytest.raises(Rejected, match="req") as caught:
        await store.get("ann", req)
    assert caught.value.reason == "invalid-req"
    with pytest.raises(Rejected):
        await store.create(replace(ASKED, req=req), QUESTION)
    with pytest.raises(Rejected):
        await store.attach("ann", req, Reader("c1", 1))
    with pytest.raises(Rejected):
        await store.cancel("ann", req)


async def test_a_question_goes_by_its_own_date(world: World) -> None:
    """The record may outlive it, where a later write kept the record for longer."""
    record = await begin(world.store)
    await world.store.replace(replace(record, expires_s=record.expires_s + 600), seen=record)
    world.clock.at_ms = ASKED.expires_s * 1000 - 1
    assert await world.store.read_question(record) == QUESTION
    world.clock.at_ms += 1
    assert await world.store.get("ann", "r1") is not None
    with pytest.raises(Rejected) as caught:
        await world.store.read_question(record)
    assert caught.value.reason == "question-gone"
    with pytest.raises(Rejected):
        await world.store.read_question(replace(record, request_sha256="1" * 64))


# ---------------------------------------------------------------- a worker's writes


async def test_every_member_reads_back(store: AnswerStore) -> None:
    """Absent ones, empty maps, characters beyond the basic plane, problems of several levels."""
    record = await begin(store)
    full = replace(
        record,
        state="failed",
        updated_ms=EPOCH_MS + 5,
        lease_until_ms=0,
        stop_reason="end_turn",
        usage={"input_tokens": 12, "output_tokens": 0},
        problem={"type": "/problems/x", "title": "Überlauf 🌊", "more": {"a": [1, None, True, {}]}},
        correlation_id="é",
        expires_s=ASKED.expires_s + 60,
    )
    assert await store.replace(full, seen=record) == full
    assert await store.get("ann", "r1") == full
    bare = replace(full, state="running", stop_reason="", usage={}, problem=None, correlation_id="", lease_owner="")
    assert await store.replace(bare, seen=full) == bare
    assert await store.get("ann", "r1") == bare


@pytest.mark.parametrize(
    "change", [{"state": "paused"}, {"lease_owner": "w2"}, {"off": 4}, {"created_ms": EPOCH_MS - 1}]
)
async def test_replace_holds_only_for_what_was_seen(store: AnswerStore, change: dict[str, object]) -> None:
    """Any other state, owner, offset or creation is somebody else's write."""
    record = await say(store, await begin(store), "hello")
    seen = replace(record, **change)
    text = "hello!"[seen.off :]
    assert await store.replace(replace(seen, off=6, updated_ms=9), seen=seen, text=text) is None
    assert await store.get("ann", "r1") == record
    assert await store.read_text(record) == "hello"


async def test_another_attempt_is_somebody_elses(store: AnswerStore) -> None:
    """Whoever saw the attempt before has lost the answer."""
    first = await begin(store)
    second = await claim(store, first, "w1")
    assert await store.replace(replace(first, updated_ms=9), seen=first) is None
    assert await store.get("ann", "r1") == second


async def test_replace_of_nothing_is_refused(store: AnswerStore) -> None:
    """A record that is gone is not made anew."""
    assert await store.replace(replace(ASKED, state="failed"), seen=ASKED) is None
    assert await store.get("ann", "r1") is None


async def test_who_asked_what_and_when_stays(store: AnswerStore) -> None:
    """A worker does not write the question's fingerprint."""
    record = await begin(store)
    stored = await store.replace(replace(record, request_sha256="f" * 64, updated_ms=9), seen=record)
    assert stored == replace(record, updated_ms=9)


async def test_a_write_that_was_done_already_is_given_back(store: AnswerStore) -> None:
    """A retry after a lost answer meets its own write and knows it, with the readers and the cancel of this moment."""
    record = await begin(store)
    written = replace(record, off=5, updated_ms=9, usage={"output_tokens": 1}, problem={"title": "x"})
    assert await store.replace(written, seen=record, text="hello") == written
    await store.attach("ann", "r1", Reader("c1", 1))
    await store.cancel("ann", "r1")
    again = await store.replace(written, seen=record, text="hello")
    assert again == replace(written, readers=(Reader("c1", 1),), cancel=True)
    assert await store.read_text(written) == "hello"


@pytest.mark.parametrize(
    "change",
    [
        {"updated_ms": 10},
        {"lease_until_ms": 1},
        {"usage": {}},
        {"problem": None},
        {"stop_reason": "x"},
        {"expires_s": 1},
    ],
)
async def test_a_write_that_is_not_exactly_this_one_is_anothers(store: AnswerStore, change: dict[str, object]) -> None:
    """Even one member that differs: nobody may take another's write for its own."""
    record = await begin(store)
    written = replace(record, off=5, updated_ms=9, usage={"output_tokens": 1}, problem={"title": "x"})
    assert await store.replace(written, seen=record, text="hello") == written
    assert await store.replace(replace(written, **change), seen=record, text="hello") is None


async def test_writes_that_no_worker_may_ask_for(store: AnswerStore) -> None:
    """A fault of the caller's code is told as one, before anything is written."""
    record = await say(store, await begin(store), "hello")
    wrong: list[tuple[AnswerRecord, str]] = [
        (replace(record, off=6), ""),
        (replace(record, off=6), "ab"),
        (record, "a"),
        (replace(record, off=4), "o"),
        (replace(record, attempt=2), ""),
        (replace(record, starts=(1,)), ""),
        (replace(record, attempt=2, starts=(0, 6), off=6), ""),
        (replace(record, attempt=2, starts=(0, 5), off=6), "x"),
        (replace(record, attempt=2, starts=(0, 3), off=5), ""),
        (replace(record, attempt=2, starts=(1, 5)), ""),
        (replace(record, attempt=0, starts=()), ""),
        (replace(record, req="r2"), ""),
        (replace(record, caller="bob"), ""),
        (replace(record, created_ms=1), ""),
    ]
    for write, text in wrong:
        with pytest.raises(ValueError):
            await store.replace(write, seen=record, text=text)
    assert await store.get("ann", "r1") == record


@pytest.mark.parametrize("text", ["half \ud83c", "\udf0a"])
async def test_half_a_character_cannot_be_stored(store: AnswerStore, text: str) -> None:
    """It has no UTF-8: whoever reads a model joins the halves before."""
    record = await begin(store)
    with pytest.raises(Rejected) as caught:
        await store.replace(replace(record, off=len(text)), seen=record, text=text)
    assert caught.value.reason == "unserialisable-request"
    assert await store.get("ann", "r1") == record


# ---------------------------------------------------------------- the text


async def test_offsets_count_characters(store: AnswerStore) -> None:
    """An astral character is one, a combining accent another."""
    record = await begin(store)
    for piece in ("🌊", "e\u0301", "", "日本", "\0\n#", "🏳️‍🌈"):
        record = await say(store, record, piece)
    assert record.off == len("🌊e\u0301日本\0\n#🏳️‍🌈")
    assert await store.read_text(record) == "🌊e\u0301日本\0\n#🏳️‍🌈"


async def test_another_attempt_goes_on_where_it_began(store: AnswerStore) -> None:
    """Inside a piece, at its edge, at the start: what was said beyond does not count any more."""
    record = await begin(store)
    for piece in ("one ", "two ", "three "):
        record = await say(store, record, piece)
    record = await claim(store, record, "w2", at=6)
    assert await store.read_text(record) == "one tw"
    record = await say(store, record, "enty")
    assert await store.read_text(record) == "one twenty"
    record = await say(store, await claim(store, record, "w3", at=4), "2 3 4 5 6 7")
    assert await store.read_text(record) == "one 2 3 4 5 6 7"
    record = await claim(store, record, "w4", at=0)
    assert await store.read_text(record) == ""
    record = await say(store, record, "Afresh")
    assert await store.read_text(record) == "Afresh"
    record = await say(store, await claim(store, record, "w5"), "!")
    assert (await store.read_text(record), record.starts) == ("Afresh!", (0, 6, 4, 0, 6))


async def test_what_is_cut_off_does_not_count(store: AnswerStore) -> None:
    """A lower offset without another attempt: a guardrail took the rest back."""
    record = await say(store, await say(store, await begin(store), "good "), "and bad")
    cut = await store.replace(replace(record, state="failed", off=5), seen=record)
    assert cut is not None
    assert await store.read_text(cut) == "good "


async def test_an_older_record_still_has_its_text(store: AnswerStore) -> None:
    """Whoever read the record a moment ago reads the text that it speaks of."""
    early = await say(store, await begin(store), "one two")
    late = await say(store, await claim(store, early, "w2", at=3), " 2")
    assert await store.read_text(early) == "one two"
    assert await store.read_text(replace(early, off=4)) == "one "
    assert await store.read_text(late) == "one 2"


@pytest.mark.parametrize("letter", ["x", "🌊"])
async def test_a_text_of_a_million_characters(store: AnswerStore, letter: str) -> None:
    """More than an item holds in one write, more than a page in one read."""
    record = await begin(store)
    whole = "".join(f"{letter * 4}{number}" for number in range(100_000))
    for start in range(0, len(whole), 250_000):
        record = await say(store, record, whole[start : start + 250_000])
    assert await store.read_text(record) == whole


async def test_text_that_is_gone_is_told(world: World) -> None:
    """A piece that expired leaves a gap, and no text is made up of the rest."""
    record = await begin(world.store)
    for piece in ("one ", "two ", "three "):
        record = await say(world.store, record, piece)
    if world.post is None:
        assert isinstance(world.store, MemoryAnswerStore)
        world.store._said.clear()
    else:
        [put] = [body for name, body in world.post.calls if name == "PutItem" and "two " in str(body)][:1]
        key = {name: put["Item"][name] for name in ("caller", "item")}
        await world.post.send("DeleteItem", {"TableName": ANSWERS, "Key": key})
    with pytest.raises(Rejected) as caught:
        await world.store.read_text(record)
    assert caught.value.reason == "text-gone"


# ---------------------------------------------------------------- two at once


async def test_of_two_workers_one_begins(store: AnswerStore) -> None:
    """Both saw the same record; the loser's later writes change nothing, not even what is not stored yet."""
    seen = await say(store, await begin(store), "hello ")
    winner = await claim(store, seen, "w2", at=5)
    assert await store.replace(begun(seen, "w3"), seen=seen) is None
    loser = begun(seen, "w3", at=5)
    assert await store.replace(replace(loser, off=8), seen=loser, text="ZZZ") is None
    winner = await say(store, winner, " world")
    assert await store.read_text(winner) == "hello world"


async def test_a_worker_that_lost_its_lease_changes_nothing(store: AnswerStore) -> None:
    """It goes on writing for a while; the next attempt's text is what counts."""
    old = await say(store, await begin(store), "one two ")
    new = await claim(store, old, "w2", at=4)
    assert await store.replace(replace(old, off=13), seen=old, text="three") is None
    new = await say(store, new, "2 ")
    assert await store.replace(replace(old, off=13), seen=old, text="THREE") is None
    new = await say(store, new, "3 and on")
    assert await store.read_text(new) == "one 2 3 and on"


async def test_a_write_that_broke_off_is_written_again_with_more(world: World) -> None:
    """The piece was stored, the head was not; the second try has grown, and a late copy of the first does no harm."""
    store, post = world.store, world.post
    record = await begin(store)
    if post is not None:
        post.break_before = 2
        with pytest.raises(Retryable):
            await store.replace(replace(record, off=3), seen=record, text="one")
    assert await store.get("ann", "r1") == record
    assert await store.read_text(record) == ""
    record = await say(store, record, "one two")
    if post is not None:
        pieces = [call for call in post.calls if call[0] == "PutItem" and "one" in str(call[1])]
        for call in reversed(pieces):
            await post.deliver_again(*call)
    assert await store.read_text(await say(store, record, " three")) == "one two three"


# ---------------------------------------------------------------- readers and cancel


async def test_readers_come_and_go_beside_the_worker(store: AnswerStore) -> None:
    """A worker's write neither needs nor loses them, and tells it who is there now."""
    record = await begin(store)
    attached = await store.attach("ann", "r1", Reader("c2", 1, off=7, attempt=1))
    assert attached == replace(record, readers=(Reader("c2", 1, off=7, attempt=1),))
    attached = await store.attach("ann", "r1", Reader("c1", 1))
    assert attached == await store.get("ann", "r1")
    record = await say(store, record, "hello")
    assert record.readers == (Reader("c1", 1), Reader("c2", 1, off=7, attempt=1))
    await store.detach("ann", "r1", Reader("c2", 1))
    record = await say(store, replace(record, readers=()), "!")
    assert (record.readers, record.cancel) == ((Reader("c1", 1),), False)


async def test_a_reader_of_the_same_connection_is_replaced(store: AnswerStore) -> None:
    """Attached again, it has another generation: the first one's detach does not take it away."""
    await begin(store)
    await store.attach("ann", "r1", Reader("c1", 1))
    again = await store.attach("ann", "r1", Reader("c1", 2, off=3, attempt=1))
    assert again is not None
    assert again.readers == (Reader("c1", 2, off=3, attempt=1),)
    await store.detach("ann", "r1", Reader("c1", 1))
    assert await store.get("ann", "r1") == again
    await store.detach("ann", "r1", Reader("c1", 2))
    left = await store.get("ann", "r1")
    assert left is not None
    assert left.readers == ()


async def test_an_answer_has_eight_readers_at_most(store: AnswerStore) -> None:
    """The ninth is refused; who is there already may come again, and a place that is free is free."""
    await begin(store)
    ids = [f"connection-{number}=." for number in range(MAX_READERS)]
    for each in ids:
        await store.attach("ann", "r1", Reader(each, 1))
    with pytest.raises(Rejected) as caught:
        await store.attach("ann", "r1", Reader("ninth", 1))
    assert caught.value.reason == "too-many-readers"
    again = await store.attach("ann", "r1", Reader(ids[3], 2))
    assert again is not None
    assert [reader.connection_id for reader in again.readers] == ids
    await store.detach("ann", "r1", Reader(ids[0], 1))
    last = await store.attach("ann", "r1", Reader("ninth", 1))
    assert last is not None
    assert [reader.connection_id for reader in last.readers] == [*ids[1:], "ninth"]


async def test_a_detach_without_its_reader_is_nothing(store: AnswerStore) -> None:
    """No record is made by it."""
    await store.detach("ann", "r1", Reader("c1", 1))
    assert await store.get("ann", "r1") is None
    record = await begin(store)
    await store.detach("ann", "r1", Reader("c1", 1))
    assert await store.get("ann", "r1") == record


async def test_a_cancel_is_told_with_the_next_write(store: AnswerStore) -> None:
    """It stays: nothing that a worker writes takes it back."""
    record = await begin(store)
    assert await store.cancel("ann", "r1") == replace(record, cancel=True)
    assert await store.cancel("ann", "r1") == replace(record, cancel=True)
    record = await say(store, record, "hello")
    assert record.cancel
    ended = await store.replace(replace(record, state="cancelled", cancel=False), seen=record)
    assert ended is not None
    assert ended.cancel


async def test_where_there_is_none_nobody_attaches_or_cancels(store: AnswerStore) -> None:
    """None, and no record is made by asking."""
    assert await store.attach("ann", "r1", Reader("c1", 1)) is None
    assert await store.cancel("ann", "r1") is None
    assert await store.get("ann", "r1") is None


# ---------------------------------------------------------------- the end of a record


async def test_a_record_that_has_expired_is_gone(world: World) -> None:
    """For every operation, at once: DynamoDB may take days to delete it."""
    store = world.store
    record = await say(store, await begin(store), "hello")
    await store.attach("ann", "r1", Reader("c1", 1))
    world.clock.at_ms = ASKED.expires_s * 1000 - 1
    assert await store.get("ann", "r1") is not None
    world.clock.at_ms += 1
    assert await store.get("ann", "r1") is None
    assert await store.attach("ann", "r1", Reader("c2", 1)) is None
    assert await store.cancel("ann", "r1") is None
    assert await store.replace(replace(record, updated_ms=9), seen=record) is None
    assert await store.replace(record, seen=record) is None
    await store.detach("ann", "r1", Reader("c1", 1))


async def test_an_answer_is_made_anew_under_an_expired_ones_key(world: World) -> None:
    """It has no readers, no cancel and no text of the old one's, and the old one's worker is refused."""
    store = world.store
    old = await say(store, await begin(store), "old old old ")
    await store.attach("ann", "r1", Reader("c1", 1))
    await store.cancel("ann", "r1")
    world.clock.at_ms = ASKED.expires_s * 1000
    fresh = replace(ASKED, created_ms=world.clock.at_ms, expires_s=ASKED.expires_s + 600, request_sha256="1" * 64)
    await store.create(fresh, "{}")
    assert await store.get("ann", "r1") == fresh
    assert await store.replace(replace(ASKED, state="failed"), seen=ASKED) is None
    asked_again = replace(ASKED, updated_ms=fresh.updated_ms, expires_s=fresh.expires_s)
    assert await store.replace(asked_again, seen=ASKED) is None, "all that a worker writes is alike, and not its own"
    new = await claim(store, fresh, "w1")
    assert await store.replace(replace(old, off=15), seen=old, text="OLD") is None
    new = await say(store, await say(store, new, "new"), " text that is longer")
    assert await store.read_text(new) == "new text that is longer"
    assert await store.read_question(new) == "{}"


# ---------------------------------------------------------------- many at once


@pytest.mark.parametrize("kind", ["memory", "local"])
@pytest.mark.parametrize("seed", range(12))
def test_workers_readers_and_a_cancel_race(kind: str, seed: int) -> None:
    """Five workers, four readers and a cancel at once: one text, of those writes that were said to be stored."""
    rng = Random(seed)
    world = make_world(kind)
    store, said = world.store, dict[int, list[tuple[int, str]]]()
    if world.post is not None:
        world.post.waits = rng
    elif isinstance(store, MemoryAnswerStore):
        store.trouble.latency_s = 1.0
        store.trouble.rng = rng

    async def work(name: str) -> None:
        for _ in range(4):
            await asyncio.sleep(rng.random() * 12)
            seen = await store.get("ann", "r1")
            assert seen is not None
            record = await store.replace(begun(seen, name, at=rng.randint(0, seen.off)), seen=seen)
            if record is None:
                continue
            assert record.attempt not in said, "one attempt has one worker"
            said[record.attempt] = []
            for number in range(rng.randrange(5)):
                text = f"{name}.{record.attempt}.{number}🌊 "
                stored = await store.replace(replace(record, off=record.off + len(text)), seen=record, text=text)
                if stored is None:
                    break
                said[record.attempt].append((record.off, text))
                record = stored

    async def read(connection_id: str) -> None:
        for generation in range(1, rng.randrange(2, 9)):
            reader = Reader(connection_id, generation)
            await asyncio.sleep(rng.random() * 5)
            found = await store.attach("ann", "r1", reader)
            assert found is not None
            assert reader in found.readers
            if rng.random() < 0.5:
                await store.detach("ann", "r1", Reader(connection_id, generation - rng.randrange(2)))

    async def cancel() -> None:
        await asyncio.sleep(rng.random() * 20)
        found = await store.cancel("ann", "r1")
        assert found is not None
        assert found.cancel

    async def main() -> None:
        await begin(store, "w0")
        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(work(f"w{number}"))
            for number in range(4):
                tasks.create_task(read(f"c{number}"))
            tasks.create_task(cancel())
        record = await store.get("ann", "r1")
        assert record is not None
        text = ""
        for attempt, start in enumerate(record.starts, 1):
            text = text[:start]
            for off, piece in said.get(attempt, []):
                assert off == len(text)
                text += piece
        assert record.cancel
        assert len(text) == record.off
        assert await store.read_text(record) == text

    run_virtual(main)


# ---------------------------------------------------------------- connections

OPENED = Connection("U8TkqcNJIAMCIFQ=", "ann", EPOCH_MS, expires_s=EPOCH_MS // 1000 + 7200)


async def test_connections_open_count_and_close(world: World) -> None:
    """What was opened reads back; a generation is never given twice; a closed one is forgotten."""
    store = world.connections
    assert await store.get(OPENED.connection_id) is None
    assert await store.count_up(OPENED.connection_id) is None
    await store.open(OPENED)
    assert await store.get(OPENED.connection_id) == OPENED
    first = await store.count_up(OPENED.connection_id)
    second = await store.count_up(OPENED.connection_id)
    step = 2 if world.post is not None and world.post.twice else 1
    assert (first, second) == (step, 2 * step)
    assert await store.get(OPENED.connection_id) == replace(OPENED, generation=2 * step)
    await store.close(OPENED.connection_id)
    await store.close(OPENED.connection_id)
    assert await store.get(OPENED.connection_id) is None
    assert await store.count_up(OPENED.connection_id) is None


async def test_a_late_copy_of_opening_gives_no_generation_again(world: World) -> None:
    """What was counted stays counted."""
    await world.connections.open(OPENED)
    counted = await world.connections.count_up(OPENED.connection_id)
    await world.connections.open(OPENED)
    assert await world.connections.get(OPENED.connection_id) == replace(OPENED, generation=counted)
