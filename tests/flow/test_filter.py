"""filter_records: each rule of docs/filtering.md once, over ports in memory and on virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceMisconfigured
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport
from sluiceway.flows import batch_letters
from sluiceway.flows import filter as flow
from sluiceway.flows.filter import FilterDesk, filter_records
from sluiceway.flows.filter_rules import FRESH_MS, STALE_MS, RuleWatch
from sluiceway.ports.filtering import Outgoing
from sluiceway.rules import rule_set
from sluiceway.rules.filtering import Destination, FilterRule, parse_rule
from sluiceway.rules.masking import MaskKey, Plan
from sluiceway.rules.rule_set import Match, RuleSet
from sluiceway.steps.metrics import _gathered
from tests.fakes import EPOCH_MS, LoopClockMs, MemoryDeadLetters, unavailable
from tests.fakes_filtering import MemoryDestinations, MemoryFilterRuleStore
from tests.unit.test_event_pattern_cost import pigeons

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/Orders"
SHARD = "shardId-000000000000"
QUEUE = {"type": "sqs", "url": "https://sqs.eu-west-1.amazonaws.com/123456789012/large"}
OUT = {"type": "stream", "name": "Filtered"}
KEY = MaskKey("k1", bytes(32))


def rule(rule_id: str, pattern: Any = "", destination: Any = None, **members: Any) -> FilterRule:
    return parse_rule(
        {"topic": "orders", "rule_id": rule_id, "pattern": pattern, "destination": destination or QUEUE, **members}
    )


def record(number: int, data: object = None, key: str = "ann") -> KinesisRecord:
    """A record of the shard; without `data` an order of that number."""
    body = {"order": number, "total": 10 * number, "customer": {"name": "Ann"}} if data is None else data
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return KinesisRecord(str(1000 + number), key, encoded, EPOCH_MS + number, SHARD, STREAM)


@dataclass
class World:
    """A stream's function over ports in memory."""

    store: MemoryFilterRuleStore = field(default_factory=MemoryFilterRuleStore)
    destinations: MemoryDestinations = field(default_factory=MemoryDestinations)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    key: MaskKey | None = KEY

    def __post_init__(self) -> None:
        watch = RuleWatch(self.store, LoopClockMs(), key=self.key)
        self.desk = FilterDesk(watch, self.destinations, self.letters, {"Orders": "orders"})
        self.metrics: dict[str, float] = {}

    async def bring(self, *records: KinesisRecord, timeout_s: float = 60.0) -> BatchReport:
        """One invocation."""
        call = Invocation("r", "f", "arn", asyncio.get_running_loop().time() + timeout_s, grace_s=0.2)
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        try:
            return await filter_records(KinesisBatch(records), call, self.desk)
        finally:
            _gathered.reset(token)
            for name, value, _ in gathered:
                self.metrics[name] = self.metrics.get(name, 0) + value

    def all(self) -> list[Outgoing]:
        return [message for messages in self.destinations.arrived.values() for message in messages]

    def orders(self, rule_id: str) -> list[int]:
        """The orders that a rule has sent, in the order in which they arrived."""
        bodies = [json.loads(each.body) for each in self.all() if each.attributes["rule"] == rule_id]
        return [body.get("data", body)["order"] for body in bodies]


def play(scene: Callable[[World], Awaitable[None]], *rules: FilterRule, key: MaskKey | None = KEY) -> World:
    """Run a scene on virtual time, with these rules in the table."""
    world = World(key=key)

    async def run() -> None:
        for each in rules:
            await world.store.put(each)
        await scene(world)

    run_virtual(run)
    return world


LARGE = {"total": [{"numeric": [">=", 100]}]}

# ---------------------------------------------------------------- what is sent


def test_each_rule_sends_what_it_shows_of_what_it_matches() -> None:
    """Rows by the pattern, columns, masks; and what no rule matches is counted and goes nowhere."""

    async def scene(world: World) -> None:
        assert await world.bring(record(9), record(10)) == BatchReport()

    world = play(
        scene,
        rule("large", LARGE, columns=["order", "customer"], masks={"customer.name": "redact"}),
        rule("off", enabled=False),
        rule("none", {"total": [-1]}),
    )
    [message] = world.all()
    assert json.loads(message.body) == {"order": 10, "customer": {"name": "***"}}
    assert message.attributes == {
        "message_id": f"{SHARD}:1010::large",
        "topic": "orders",
        "rule": "large",
        "shard": SHARD,
        "sequence_number": "1010",
        "arrived_ms": str(EPOCH_MS + 10),
    }
    assert world.desk.counts.records == {"matched": 1, "unmatched": 1}
    assert world.desk.counts.rules == {"large": {"sent": 1}}
    assert world.metrics == {"RecordsMatched": 1, "RecordsUnmatched": 1, "MessagesSent": 1}


def test_a_whole_record_leaves_with_its_own_text() -> None:
    """Not decoded and written again: numbers of any length, order and white space are the producer's."""
    text = b'{ "order":1,\n "n":123456789012345678901234567890.10 }'

    async def scene(world: World) -> None:
        await world.bring(record(1, text))

    world = play(
        scene,
        rule("queue"),
        rule("stream", destination=OUT),
        rule("bucket", destination={"type": "s3", "bucket": "archive"}),
    )
    by_rule = {each.attributes["rule"]: each.body for each in world.all()}
    assert by_rule["queue"] == text.decode()
    assert by_rule["stream"].endswith(f',"data":{text.decode()}}}')
    assert "\n" not in by_rule["bucket"]
    metadata = json.loads(by_rule["stream"])["metadata"]
    assert metadata == {
        "message_id": f"{SHARD}:1001::stream",
        "topic": "orders",
        "rule": "stream",
        "shard": SHARD,
        "sequence_number": "1001",
        "arrived_ms": EPOCH_MS + 1,
    }
    assert json.loads(by_rule["bucket"])["data"]["order"] == 1


def test_a_key_that_may_be_hidden_leaves_as_a_pseudonym() -> None:
    """Of a rule with columns or masks; equal for equal keys, other than the key, and its own for each topic."""

    async def scene(world: World) -> None:
        await world.bring(record(1), record(2), record(3, key="bob"))

    world = play(
        scene, rule("whole", destination=OUT), rule("part", destination={**OUT, "name": "P"}, columns=["order"])
    )
    keys = {name: [each.key for each in world.all() if each.attributes["rule"] == name] for name in ("whole", "part")}
    assert keys["whole"] == ["ann", "ann", "bob"]
    assert keys["part"][0] == keys["part"][1] != keys["part"][2]
    assert not {"ann", "bob"} & set(keys["part"])
    assert "Ann" not in "".join(each.body for each in world.all() if each.attributes["rule"] == "part")


def test_a_message_has_the_same_id_whenever_it_is_sent() -> None:
    """Shard, sequence number, place in the aggregate and rule: a batch that comes again sends the same ids."""

    async def scene(world: World) -> None:
        again = [record(1), record(2)._replace(sub_sequence=0), record(2)._replace(sub_sequence=1)]
        await world.bring(*again)
        await world.bring(*again)

    ids = [each.message_id for each in play(scene, rule("r")).all()]
    assert ids == 2 * [f"{SHARD}:1001::r", f"{SHARD}:1002:0:r", f"{SHARD}:1002:1:r"]


def test_a_destination_has_its_messages_in_one_sending() -> None:
    """Two rules to one queue, and a window of records: one sending; a bucket has one for each rule."""

    async def scene(world: World) -> None:
        await world.bring(*(record(number) for number in range(20)))

    bucket = {"type": "s3", "bucket": "archive"}
    world = play(
        scene,
        rule("a"),
        rule("b"),
        rule("c", destination=bucket),
        rule("d", destination=bucket),
        rule("e", {"total": [0]}),
    )
    assert sorted((destination.kind, size) for destination, size in world.destinations.sendings) == [
        ("s3", 20),
        ("s3", 20),
        ("sqs", 41),
    ]


# ---------------------------------------------------------------- poison and refusals


@pytest.mark.parametrize("data", [b"no JSON", b"[1]", b"\xff", b"", b"[" * 5000, b'{"a":' * 3000])
def test_what_is_no_object_is_a_dead_letter_with_its_reason(data: bytes) -> None:
    """Whatever the rules are; the others go on."""

    async def scene(world: World) -> None:
        assert await world.bring(record(1), record(2, data), record(3)) == BatchReport()

    world = play(scene, rule("r"))
    [letter] = world.letters.letters
    assert letter.reason == "malformed-event"
    assert letter.attributes["sequence_number"] == "1002"
    assert world.orders("r") == [1, 3]
    assert world.metrics["RecordsPoison"] == 1


def test_an_aggregate_that_cannot_be_opened_and_a_puzzle_are_dead_letters() -> None:
    """One by its codec's fault, one since no pattern can be judged on it."""
    pattern, puzzle = pigeons(9)

    async def scene(world: World) -> None:
        broken = record(1)._replace(fault=Rejected("no", reason="malformed-aggregate"))
        assert await world.bring(broken, record(2, puzzle), record(3)) == BatchReport()

    world = play(scene, rule("r"), rule("puzzled", pattern))
    assert sorted(letter.reason for letter in world.letters.letters) == ["ambiguous-event", "malformed-aggregate"]
    assert world.orders("r") == [3]
    assert world.desk.counts.records == {"poison": 2, "matched": 1}


def test_what_cannot_be_written_is_refused_for_the_rule_that_writes_it() -> None:
    """A number beyond any double: whole, the record leaves as it came; in part, it cannot."""

    async def scene(world: World) -> None:
        assert await world.bring(record(1, b'{"order":1,"n":1e400}')) == BatchReport()

    world = play(scene, rule("whole"), rule("part", columns=["n"]), rule("other", columns=["order"]))
    [letter] = world.letters.letters
    assert letter.reason == "unwritable-record"
    assert letter.detail == "rule part: the record cannot be written as JSON"
    assert world.desk.counts.rules == {"whole": {"sent": 1}, "other": {"sent": 1}, "part": {"unwritable": 1}}


def test_a_refusal_is_a_dead_letter_that_names_the_rules() -> None:
    """The record is at its other destinations already; one letter for all that refused it."""

    async def scene(world: World) -> None:
        world.destinations.refusals["b"] = [Rejected("too large", reason="message-too-large")]
        world.destinations.refusals["c"] = [
            ServiceMisconfigured("no such queue", service="sqs", operation="SendMessageBatch", code="QueueDoesNotExist")
        ]
        assert await world.bring(record(1), record(2)) == BatchReport()

    world = play(scene, rule("a"), rule("b"), rule("c", destination={**QUEUE, "url": QUEUE["url"] + "2"}))
    [letter] = world.letters.letters
    assert letter.reason == "message-too-large"
    assert letter.detail == "rule b: too large; rule c: no such queue"
    assert json.loads(letter.body)["kinesis"]["sequenceNumber"] == "1001"
    assert world.orders("a") == [1, 2]
    assert world.desk.counts.rules == {
        "a": {"sent": 2},
        "b": {"too_large": 1, "sent": 1},
        "c": {"misconfigured": 1, "sent": 1},
    }
    assert world.metrics["Misconfigured"] == 1


def test_a_dead_letter_that_cannot_be_sent_brings_the_record_again() -> None:
    """Nothing is lost for want of a queue."""

    async def scene(world: World) -> None:
        world.letters.trouble.refusal = unavailable("send")
        assert await world.bring(record(1), record(2, b"no"), record(3)) == BatchReport(("1002",))
        world.letters.trouble.refusal = None
        assert await world.bring(record(2, b"no"), record(3)) == BatchReport()

    assert len(play(scene, rule("r")).letters.letters) == 1


# ---------------------------------------------------------------- what comes again


def test_what_a_destination_does_not_take_comes_again_with_all_later_records() -> None:
    """From the lowest that failed; a dead letter beyond it waits for its turn."""

    async def scene(world: World) -> None:
        world.destinations.refusals[f"{SHARD}:1002::r"] = [unavailable("send")]
        batch = [record(1), record(2), record(3, b"no JSON"), record(4)]
        assert await world.bring(*batch) == BatchReport(("1002",))
        assert world.letters.letters == []
        assert await world.bring(*batch[1:]) == BatchReport()

    world = play(scene, rule("r"))
    assert len(world.letters.letters) == 1
    assert sorted(set(world.orders("r"))) == [1, 2, 4]
    assert world.desk.counts.rules["r"] == {"sent": 4, "returned": 1}
    assert world.metrics["MessagesReturned"] == 1


def test_after_a_window_that_failed_no_other_begins() -> None:
    """Few messages are sent twice: those of one window at most."""

    async def scene(world: World) -> None:
        world.destinations.refusals[f"{SHARD}:1600::r"] = [unavailable("send")]
        assert await world.bring(*(record(number) for number in range(2000))) == BatchReport(("1600",))

    world = play(scene, rule("r"))
    assert [size for _, size in world.destinations.sendings] == [500, 500]


def test_the_deadline_leaves_what_it_overtakes() -> None:
    """No window begins in its last second, and one that does not end is cut off in time to answer."""

    async def scene(world: World) -> None:
        world.destinations.slow_s = 1.9
        began = asyncio.get_running_loop().time()
        report = await world.bring(*(record(number) for number in range(5000)), timeout_s=5.0)
        assert report == BatchReport(("2000",))
        assert asyncio.get_running_loop().time() - began <= 5.0

    assert len(play(scene, rule("r")).orders("r")) == 1000


@pytest.mark.parametrize("members", [{}, {"columns": ["order", "note"]}])
def test_a_message_to_a_queue_has_no_character_that_queues_refuse(members: dict[str, Any]) -> None:
    """What JSON may hold and SQS may not goes as its escape, and says the same."""
    note = "\ufffe\uffff\U0001f600"
    data = json.dumps({"order": 1, "note": note}, ensure_ascii=False).encode()

    async def scene(world: World) -> None:
        assert await world.bring(record(1, data)) == BatchReport()

    [sent] = play(scene, rule("r", **members)).all()
    assert "\ufffe" not in sent.body
    assert "\uffff" not in sent.body
    assert json.loads(sent.body) == {"order": 1, "note": note}


def test_a_window_that_is_slow_to_judge_is_sent_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time is left for sending: else the same batch would come again for ever, and nothing be sent."""

    async def scene(world: World) -> None:
        loop = asyncio.get_running_loop()
        late, match = [0.0], RuleSet.match
        time = loop.time

        def match_slowly(rules: RuleSet, record: Mapping[str, object]) -> Iterator[Match]:
            late[0] += 1.0
            return match(rules, record)

        monkeypatch.setattr(RuleSet, "match", match_slowly)
        monkeypatch.setattr(loop, "time", lambda: time() + late[0])
        assert await world.bring(*(record(number) for number in range(100)), timeout_s=21.0) == BatchReport(("1010",))

    world = play(scene, rule("r"))
    assert world.orders("r") == [*range(10)]
    assert world.desk.counts.records == {"matched": 10, "again": 90}


def everywhere(rules: int) -> list[FilterRule]:
    """Rules for every record, each with a queue of its own."""
    return [
        rule(f"r{number:02}", destination={"type": "sqs", "url": f"{QUEUE['url']}-{number}"}) for number in range(rules)
    ]


def watch_held(world: World, monkeypatch: pytest.MonkeyPatch, *, most: int) -> list[int]:
    """How many messages there are at each moment that are not sent, where no more than `most` are to be held."""
    held: list[int] = [0]
    write, send = flow.write_message, world.destinations.send

    def write_and_count(record: KinesisRecord, match: Match) -> Outgoing:
        held.append(held[-1] + 1)
        return write(record, match)

    async def send_and_count(destination: Destination, messages: Sequence[Outgoing], *, deadline: float) -> Any:
        found = await send(destination, messages, deadline=deadline)
        held.append(held[-1] - len(messages))
        return found

    monkeypatch.setattr(flow, "write_message", write_and_count)
    monkeypatch.setattr(world.destinations, "send", send_and_count)
    monkeypatch.setattr(flow, "MAX_HELD_BYTES", most * 1_100)
    return held


def test_messages_that_wait_are_bounded_whatever_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules for every record need a copy of the batch each: they are sent as they are made, none twice, in order."""
    found: list[list[int]] = []

    async def scene(world: World) -> None:
        found.append(watch_held(world, monkeypatch, most=10))
        assert await world.bring(*(record(number) for number in range(20))) == BatchReport()

    world = play(scene, *everywhere(25))
    assert 5 <= max(found[0]) <= 12
    assert all(world.orders(f"r{number:02}") == [*range(20)] for number in range(25))
    assert world.metrics["MessagesSent"] == 500


def test_what_is_sent_meanwhile_takes_nothing_of_the_time_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is a window of its own here: 2 s for each of 20, all of which go within the minute."""

    async def scene(world: World) -> None:
        watch_held(world, monkeypatch, most=10)
        world.destinations.slow_s = 0.4
        assert await world.bring(*(record(number) for number in range(20))) == BatchReport()
        assert asyncio.get_running_loop().time() > 35

    play(scene, *everywhere(25))


def test_a_record_of_which_something_comes_again_is_not_sent_to_the_rules_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor are later records: all of it comes again, and would be sent twice."""

    async def scene(world: World) -> None:
        watch_held(world, monkeypatch, most=10)
        world.destinations.refusals["r00"] = [unavailable("send")]
        assert await world.bring(record(1), record(2)) == BatchReport(("1001",))
        assert 5 <= len(world.all()) <= 11
        assert await world.bring(record(1), record(2)) == BatchReport()

    world = play(scene, *everywhere(25))
    assert world.orders("r00") == world.orders("r24") == [1, 2]
    assert world.orders("r01") == [1, 1, 2]


def test_what_a_record_is_shown_as_is_forgotten_where_there_are_many_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules with columns of their own show it one after the other, and again where others came between."""
    monkeypatch.setattr(rule_set, "MAX_SHOWN", 2)
    columns = [["order"], ["order", "total"], ["customer", "order"], ["order"], ["order"]]
    shows, show = list[int](), Plan.show

    def show_and_count(plan: Plan, whole: Mapping[str, object]) -> Mapping[str, object]:
        shows.append(1)
        return show(plan, whole)

    monkeypatch.setattr(Plan, "show", show_and_count)

    async def scene(world: World) -> None:
        assert await world.bring(record(1)) == BatchReport()

    world = play(scene, *(rule(f"r{at}", columns=each) for at, each in enumerate(columns)))
    assert [sorted(json.loads(each.body)) for each in world.all()] == columns
    assert len(shows) == 4


def test_an_aggregate_of_poison_does_not_come_again_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes again whole, so its letters must fit into an invocation: the last of a thousand tells of the rest."""
    monkeypatch.setattr(batch_letters, "MAX_LETTERS", 3)
    poison = [record(1, b"no JSON")._replace(sub_sequence=number) for number in range(5)]
    good = record(1, {"order": 1})._replace(sub_sequence=5)

    async def scene(world: World) -> None:
        assert await world.bring(*poison, good, record(2, b"no JSON")) == BatchReport()

    world = play(scene, rule("r"))
    assert world.orders("r") == [1]
    assert [each.attributes.get("sub_sequence") for each in world.letters.letters] == ["0", "1", "2", None]
    assert "so are 2 records behind it in its aggregate" in world.letters.letters[2].detail
    assert world.desk.counts.records == {"matched": 1, "poison": 6}


def test_after_the_deadline_no_record_is_looked_at() -> None:
    """Not even one that no rule wants: a shard of those must end in time too."""

    async def scene(world: World) -> None:
        assert await world.bring(record(1), timeout_s=0.0) == BatchReport(("1001",))

    assert play(scene, rule("none", {"total": [-1]})).desk.counts.records == {"again": 1}


def test_a_destination_that_breaks_is_one_destinations_trouble() -> None:
    """A fault of the code behind the port: its records come again, and the log says what it was."""

    async def scene(world: World) -> None:
        world.destinations.broken = ZeroDivisionError()
        assert await world.bring(record(1)) == BatchReport(("1001",))

    assert play(scene, rule("r")).desk.counts.rules["r"] == {"returned": 1}


def test_a_stream_that_carries_no_topic_is_the_deployments_fault() -> None:
    """The batch comes again until somebody mends TOPICS; an empty one asks for nothing."""

    async def scene(world: World) -> None:
        with pytest.raises(Misconfigured) as caught:
            await world.bring(record(1)._replace(stream_arn=STREAM + "2"))
        assert caught.value.what == "TOPICS"
        assert await world.bring() == BatchReport()
        consumer = record(1)._replace(stream_arn=f"{STREAM}/consumer/mesh:1700000000")
        assert await world.bring(consumer) == BatchReport()

    assert play(scene, rule("r")).orders("r") == [1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ann", "bob", "eve"]), st.booleans()), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), max_size=6),
)
def test_whatever_fails_each_keys_records_arrive_in_order(
    asked: list[tuple[str, bool]], failing: list[tuple[int, int]]
) -> None:
    """Batches come again from where they report until nothing is left: at a stream, the first arrivals of a key's
    records are in the shard's order, every record has arrived or is a dead letter, and ids tell the copies."""

    async def scene(world: World) -> None:
        for number, kind in failing:
            error = [unavailable("send"), Rejected("no", reason="refused"), Retryable("later")][kind]
            times = 20 if isinstance(error, Rejected) else 1  # for good: else it is none, and may come after later ones
            world.destinations.refusals.setdefault(f"{SHARD}:{1000 + number}::r", []).extend([error] * times)
        records = [record(at, None if good else b"{", key=key) for at, (key, good) in enumerate(asked)]
        for _ in range(20):
            report = await world.bring(*records)
            if not report.failed:
                return
            records = [each for each in records if int(each.sequence_number) >= int(report.failed[0])]
        pytest.fail("it never ends")

    world = play(scene, rule("r", destination=OUT))
    first: dict[str, list[int]] = {}
    seen: set[str] = set()
    for message in world.all():
        if message.message_id not in seen:
            seen.add(message.message_id)
            first.setdefault(message.key, []).append(int(message.attributes["sequence_number"]))
    dead = {int(letter.attributes["sequence_number"]) for letter in world.letters.letters}
    assert all(numbers == sorted(numbers) for numbers in first.values())
    assert {number for numbers in first.values() for number in numbers} | dead == {
        1000 + at for at in range(len(asked))
    }


# ---------------------------------------------------------------- rules that change


def test_a_changed_rule_counts_within_five_seconds() -> None:
    """Without a deployment: a new one, a changed one, one that is switched off, one that is gone."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        await world.store.put(rule("new"))
        await world.store.put(rule("changed", {"order": [3]}, version=1))
        await world.store.put(rule("off", version=1, enabled=False))
        await world.store.remove("orders", "gone")
        await world.bring(record(2))
        await asyncio.sleep(FRESH_MS / 1000)
        await world.bring(record(3), record(4))

    world = play(scene, rule("changed"), rule("off"), rule("gone"))
    assert {name: world.orders(name) for name in ("new", "changed", "off", "gone")} == {
        "new": [3, 4],
        "changed": [1, 2, 3],
        "off": [1, 2],
        "gone": [1, 2],
    }
    assert world.store.reads == 2


def test_a_rule_that_became_wrong_sends_nothing_and_is_told() -> None:
    """Not even what it sent before: it may have been narrowed. The others go on, and the batch never fails for it."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        world.store.spoil("orders", "bad")
        await asyncio.sleep(FRESH_MS / 1000)
        assert await world.bring(record(2)) == BatchReport()

    world = play(scene, rule("bad"), rule("good"))
    assert (world.orders("bad"), world.orders("good")) == ([1], [1, 2])
    assert world.metrics["RulesUnusable"] == 1


def test_rules_that_cannot_be_used_here_are_passed_over_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A pseudonym or a hidden key without MASK_KEY, and a rule that would feed its own stream for ever."""

    async def scene(world: World) -> None:
        await world.bring(record(1))

    world = play(
        scene,
        rule("hashed", masks={"order": "hash"}),
        rule("keyed", destination=OUT, columns=["order"]),
        rule("loop", destination={"type": "stream", "name": "Orders"}),
        rule("redacted", masks={"customer": "redact"}),
        key=None,
    )
    assert [each.attributes["rule"] for each in world.all()] == ["redacted"]
    assert world.metrics["RulesUnusable"] == 3
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["rule"]: line["reason"] for line in told if line["message"] == "filter.rule_unusable"} == {
        "hashed": "no-mask-key",
        "keyed": "no-mask-key",
        "loop": "feeds-itself",
    }


def test_rules_serve_for_a_while_without_their_table() -> None:
    """Half a minute from when it last answered; then batches fail, since a rule may have been narrowed since."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        world.store.trouble.refusal = unavailable("changes")
        await asyncio.sleep(STALE_MS / 1000 - 1)
        assert await world.bring(record(2)) == BatchReport()
        assert world.metrics["RulesStale"] == 1
        await asyncio.sleep(1)
        with pytest.raises(Retryable):
            await world.bring(record(3))
        world.store.trouble.refusal = None
        assert await world.bring(record(3)) == BatchReport()

    assert play(scene, rule("r")).orders("r") == [1, 2, 3]


def test_without_rules_read_once_nothing_is_sent() -> None:
    """A cold start while the table is away fails the batch: nobody knows what must not leave."""

    async def scene(world: World) -> None:
        world.store.trouble.refusal = unavailable("changes")
        with pytest.raises(Retryable):
            await world.bring(record(1))

    assert play(scene, rule("r")).all() == []


def test_a_table_made_anew_is_taken_as_it_is() -> None:
    """What is not in it is gone."""

    async def scene(world: World) -> None:
        await world.bring(record(1))
        world.store.rules.clear()
        world.store.versions["orders"] = 0
        await world.store.put(rule("fresh"))
        await asyncio.sleep(FRESH_MS / 1000)
        await world.bring(record(2))

    world = play(scene, rule("a"), rule("b"))
    assert (world.orders("a"), world.orders("b"), world.orders("fresh")) == ([1], [1], [2])
