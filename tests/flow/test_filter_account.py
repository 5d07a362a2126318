"""Every record that filter_records was given is counted once for each rule: sent, dropped for a reason, or returned."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceMisconfigured, SluicewayError
from sluiceway.events.kinesis import KinesisRecord
from sluiceway.events.sqs import BatchReport
from sluiceway.flows.filter_account import OTHERS, RULE_METRICS, FilterAccount
from sluiceway.rules.filtering import FilterRule
from sluiceway.steps.metrics import _gathered_of
from tests.fakes import unavailable
from tests.flow.test_filter import OUT, QUEUE, SHARD, STREAM, World, record, rule
from tests.unit.test_event_pattern_cost import pigeons

DROPPED = [word for word in RULE_METRICS if word not in {"sent", "returned"}]
_WORDS = {metric: word for word, metric in RULE_METRICS.items()}
Told = dict[str, Counter[str]]


async def bring(world: World, records: Sequence[KinesisRecord], timeout_s: float = 60.0) -> tuple[BatchReport, Told]:
    """One invocation, and what its metrics say of each rule."""
    gathered: list[Any] = []
    token = _gathered_of.set(gathered)
    try:
        report = await world.bring(*records, timeout_s=timeout_s)
    finally:
        _gathered_of.reset(token)
    assert isinstance(report, BatchReport)
    told: Told = {}
    for counts in gathered:
        assert counts.dimensions["topic"] == "orders"
        name = counts.dimensions.get("rule", "")
        assert name not in told
        told[name] = Counter({_WORDS[metric]: number for metric, number in counts.numbers.items()})
    return report, told


def play(world: World, rules: Sequence[FilterRule], scene: Any) -> None:
    async def run() -> None:
        for each in rules:
            await world.store.put(each)
        await scene()

    run_virtual(run)


# ---------------------------------------------------------------- each reason once


def test_each_reason_is_told_by_its_name_and_the_sum_is_the_batch() -> None:
    """Eleven rules and reasons, seven records: what is dropped is dropped for one reason, and each rule has seven."""
    pattern, puzzle = pigeons(9)
    world = World(key=None)
    world.destinations.refusals = {
        "large": [Rejected("no", reason="message-too-large")],
        "refused": [Rejected("no", reason="sqs-InvalidMessageContents")],
        "absent": [ServiceMisconfigured("no", service="sqs", operation="SendMessageBatch", code="QueueDoesNotExist")],
    }
    rules = [
        rule("all"),
        rule("one", {"order": [1]}),
        rule("puzzled", pattern),
        rule("unwritable", columns=["n"]),
        rule("large", {"order": [1]}, {**QUEUE, "url": QUEUE["url"] + "1"}),
        rule("refused", {"order": [1]}, {**QUEUE, "url": QUEUE["url"] + "2"}),
        rule("absent", {"order": [1]}, {**QUEUE, "url": QUEUE["url"] + "3"}),
        rule("hashed", masks={"order": "hash"}),
        rule("loop", destination={"type": "stream", "name": "Orders"}),
        rule("off", enabled=False),
    ]
    told: Told = {}

    async def scene() -> None:
        world.store.spoil("orders", "wrong")
        records = [
            record(1), record(2), record(3, b"{"), record(4, puzzle), record(5, b'{"order":5,"n":1e400}'),
            record(6)._replace(fault=Rejected("no", reason="aggregate-digest")), record(7, b"[1]"),
        ]  # fmt: skip
        report, found = await bring(world, records)
        assert report == BatchReport()
        told.update(found)

    play(world, rules, scene)
    poison = {"malformed": 2, "ambiguous": 1, "aggregate": 1}
    assert told == {
        "all": {**poison, "sent": 3},
        "one": {**poison, "sent": 1, "unmatched": 2},
        "puzzled": {**poison, "unmatched": 3},
        "unwritable": {**poison, "sent": 2, "unwritable": 1},
        "large": {**poison, "too_large": 1, "unmatched": 2},
        "refused": {**poison, "refused": 1, "unmatched": 2},
        "absent": {**poison, "misconfigured": 1, "unmatched": 2},
        "hashed": {**poison, "no_mask_key": 3},
        "loop": {**poison, "feeds_itself": 3},
        "wrong": {**poison, "invalid_rule": 3},
    }
    assert {word for words in told.values() for word in words} == {"sent", *DROPPED}


def test_what_comes_again_is_no_drop_until_it_is_judged_for_good() -> None:
    """A refusal beyond a failure has no dead letter yet: it is returned, and dropped the second time; so is what no
    rule matched there, and a record whose dead letter was not taken."""
    world = World()
    told: list[Told] = []

    async def scene() -> None:
        world.destinations.refusals = {
            f"{SHARD}:1002::r": [unavailable("send")],
            f"{SHARD}:1003::r": [Rejected("no", reason="x"), Rejected("no", reason="x")],
        }
        records = [record(1), record(2), record(3), record(4), record(5, b"no")]
        report, found = await bring(world, records)
        assert report == BatchReport(("1002",))
        told.append(found)
        world.letters.trouble.refusal = unavailable("send")
        report, found = await bring(world, records[1:])
        assert report == BatchReport(("1003",))
        told.append(found)

    play(world, [rule("r"), rule("four", {"order": [4]})], scene)
    assert told == [
        {"r": {"sent": 2, "returned": 3}, "four": {"unmatched": 1, "sent": 1, "returned": 3}},
        {"r": {"sent": 2, "returned": 2}, "four": {"unmatched": 1, "sent": 1, "returned": 2}},
    ]
    assert world.metrics["RecordsReturned"] == 4 + 3
    assert "MessagesRefused" not in world.metrics


@pytest.mark.parametrize("trouble", ["table", "topic"])
def test_an_invocation_that_fails_returns_all_its_records(trouble: str) -> None:
    """Nobody knows the rules, or the topic: none is told, and the records are counted as coming again."""
    world = World()

    async def scene() -> None:
        if trouble == "table":
            world.store.trouble.refusal = unavailable("changes")
        away = record(1) if trouble == "table" else record(1)._replace(stream_arn=STREAM + "2")
        with pytest.raises((Retryable, Misconfigured)):
            await bring(world, [away, record(2)])

    play(world, [], scene)
    assert world.metrics == {"RecordsReturned": 2}


# ---------------------------------------------------------------- how many are named


def test_more_rules_than_are_named_are_told_together() -> None:
    """Wrong ones first, then those that sent, then those that are not used; the sum over all lines stays the batch
    times the rules. With 0 nothing has the dimension."""
    rules = [rule(f"r{number:03}", {"order": [number]}) for number in range(150)]
    rules += [rule("hashed", masks={"order": "hash"}), rule("wrong", {"order": [200]})]
    found: dict[int, Told] = {}

    def scene_of(world: World) -> Any:
        async def scene() -> None:
            await bring(world, [record(number) for number in range(3)])
            world.destinations.refusals = {"wrong": [Rejected("no", reason="x")]}
            batch = [record(number) for number in (140, 141, 142, 200, 300)]
            _, found[world.desk.rules_told] = await bring(world, batch)

        return scene

    for most in (0, 3, 5, 1000):
        world = World(key=None)
        object.__setattr__(world.desk, "rules_told", most)
        play(world, rules, scene_of(world))
    assert sorted(found[3]) == [OTHERS, "r140", "r141", "wrong"]
    assert sorted(found[5]) == [OTHERS, "hashed", "r140", "r141", "r142", "wrong"]
    assert found[5][OTHERS] == {"unmatched": 147 * 5}
    assert list(found[0]) == [""]
    assert len(found[1000]) == 152
    for told in found.values():
        assert sum((words for words in told.values()), Counter()) == found[0][""]
        assert sum(found[0][""].values()) == 152 * 5


# ---------------------------------------------------------------- the balance


class Play(NamedTuple):
    """Rules by the residue that they match, records by kind, and what fails: at a message, of the letters, in time."""

    rules: Sequence[tuple[int, int]]
    records: Sequence[int]
    faults: Sequence[tuple[int, int, int]]
    no_letters_from: int
    slow: bool
    most: int


_KINDS = ("plain", "malformed", "aggregate", "ambiguous", "infinite")
_RULES = ("plain", "columns", "hashed", "loop", "stream", "every")
_FAULTS: Sequence[SluicewayError] = (
    Rejected("no", reason="message-too-large"),
    Rejected("no", reason="sns-InvalidParameter"),
    Misconfigured("no", what="queue"),
    Retryable("later"),
)
_PUZZLED, _PUZZLE = pigeons(9)
_plays = st.builds(
    Play,
    rules=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=7),
    records=st.lists(st.sampled_from([*[0] * 12, *[1, 2, 4] * 2, 3]), min_size=1, max_size=14),
    faults=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 6), st.integers(0, 3)), max_size=8),
    no_letters_from=st.sampled_from([99, 99, 0, 1]),
    slow=st.booleans(),
    most=st.sampled_from([0, 1, 3, 100]),
)


def make_rule(number: int, kind: int, residue: int) -> FilterRule:
    destination = {**QUEUE, "url": f"{QUEUE['url']}{number}"}
    match _RULES[kind]:
        case "every":
            return rule(f"r{number}", destination=destination)
        case "columns":
            return rule(f"r{number}", {"mod": [residue]}, destination, columns=["order", "n"])
        case "hashed":
            return rule(f"r{number}", {"mod": [residue]}, destination, masks={"order": "hash"})
        case "loop":
            return rule(f"r{number}", {"mod": [residue]}, {"type": "stream", "name": "Orders"})
        case "stream":
            return rule(f"r{number}", {"mod": [residue]}, {**OUT, "name": f"Out{number}"})
        case _:
            return rule(f"r{number}", {"mod": [residue]}, destination)


def make_record(number: int, kind: int) -> KinesisRecord:
    match _KINDS[kind]:
        case "malformed":
            return record(number, b"{")
        case "aggregate":
            return record(number)._replace(fault=Rejected("no", reason="aggregate-protobuf"))
        case "ambiguous":
            return record(number, _PUZZLE)
        case "infinite":
            return record(number, b'{"mod":%d,"order":%d,"n":1e400}' % (number % 4, number))
        case _:
            return record(number, {"mod": number % 4, "order": number})


def expected_of(rule_: FilterRule, records: Sequence[KinesisRecord], world: World, before: int) -> Mapping[str, int]:
    """What became of final records for a rule, from outside: what arrived, which letters there are, what it matches."""
    arrived = {each.attributes["sequence_number"] for each in world.all() if each.attributes["rule"] == rule_.rule_id}
    letters = {letter.attributes["sequence_number"]: letter for letter in world.letters.letters[before:]}
    found: Counter[str] = Counter()
    for each in records:
        letter = letters.get(each.sequence_number)
        names_it = letter is not None and f"rule {rule_.rule_id}: " in letter.detail
        if letter is not None and "rule " not in letter.detail:
            found["poison"] += 1
        elif names_it:
            found["letters"] += 1
        elif each.sequence_number in arrived:
            found["sent"] += 1
        else:
            found["silent"] += 1
    return found


@settings(max_examples=120, deadline=None)
@given(_plays)
def test_records_are_what_was_sent_dropped_and_returned_of_each_rule(drawn: Play) -> None:
    """Whatever the rules, the records and the faults: in every invocation, exactly; and until nothing is left, what is
    dropped for good is what the dead letters and the rules' own patterns say, each record once."""
    world = World(key=None)
    object.__setattr__(world.desk, "rules_told", drawn.most)
    rules = [make_rule(number, kind, residue) for number, (kind, residue) in enumerate(drawn.rules)]
    rules.append(rule("puzzled", _PUZZLED))
    records = [make_record(number, kind) for number, kind in enumerate(drawn.records)]
    for at, of, kind in drawn.faults:
        world.destinations.refusals.setdefault(f"{SHARD}:{1000 + at}::r{of}", []).append(_FAULTS[kind])
    world.destinations.slow_s = 1.0 if drawn.slow else 0.0
    dropped: Told = {}

    def check(told: Told, given: Sequence[KinesisRecord], report: BatchReport, before: int) -> None:
        assert sum(sum(words.values()) for words in told.values()) == len(given) * len(rules)
        if drawn.most < 100:
            return
        again = [each for each in given if report.failed and int(each.sequence_number) >= int(report.failed[0])]
        final = given[: len(given) - len(again)]
        for each in rules:
            words = told[each.rule_id]
            dropped.setdefault(each.rule_id, Counter()).update({word: words[word] for word in DROPPED})
            assert sum(words.values()) == len(given)
            expected = expected_of(each, final, world, before)
            assert sum(words[kind] for kind in ("malformed", "aggregate", "ambiguous")) == expected["poison"]
            refusals = ("unwritable", "too_large", "refused", "misconfigured")
            assert sum(words[word] for word in refusals) == expected["letters"]
            silent = ("unmatched", "no_mask_key", "feeds_itself", "invalid_rule")
            assert sum(words[word] for word in silent) == expected["silent"]

    async def scene() -> None:
        left = records
        for turn in range(30):
            before, sent = len(world.letters.letters), len(world.all())
            world.letters.trouble.refusal = unavailable("send") if turn == drawn.no_letters_from else None
            short = drawn.slow and turn == 1
            report, told = await bring(world, left, 0.5 if short else 60.0)
            check(told, left, report, before)
            assert sum(words["sent"] for words in told.values()) == len(world.all()) - sent
            if not report.failed:
                return
            left = [each for each in left if int(each.sequence_number) >= int(report.failed[0])]
            await asyncio.sleep(0.1)
        pytest.fail("it never ends")

    play(world, rules, scene)
    if drawn.most == 100:
        for each in rules:
            went = {message.message_id for message in world.all() if message.attributes["rule"] == each.rule_id}
            assert len(went) + sum(dropped[each.rule_id].values()) == len(records)


def test_an_account_needs_nine_bytes_a_message() -> None:
    """Ten thousand records that a hundred rules match are nine megabytes, whatever their size."""
    account = FilterAccount(1_000)
    for at in range(1_000):
        for number in range(10):
            account.note(at, f"r{number}", "sent")
    size = sum(len(each) * each.itemsize for each in (account._said_at, account._said_of)) + len(account._said)
    assert size == 9 * 10_000
    assert account.settle(1_000).of_rule("r3")["sent"] == 1_000
    assert json.dumps(dict(account.settle(0).of_rule("r3"))).count("1000") == 1
