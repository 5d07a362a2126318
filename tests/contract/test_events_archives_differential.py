"""Archives and replays of EventBridge against moto: generated calls to both, and each known difference by name.

moto replays while StartReplay runs, all that an archive holds, to all rules, whatever the window and FilterArns say; so
what goes through it is compared for windows that take everything, and the rest is named in `DIFFERENCES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.contract.events_peers import ACCOUNT, REGION, Pair, ask, open_pair

PREFIX = f"arn:aws:events:{REGION}:{ACCOUNT}"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LATER = EPOCH + timedelta(days=1)

# Answers that differ on purpose: (action, our code, moto's code) -> why. None of them leaves the two sides unlike.
EXPLAINED = {
    ("create_archive", "InvalidEventPatternException", "InvalidEventPatternException"): "other words",
    ("create_archive", "ValidationException", "ValidationException"): "moto's sentence begins with a space",
    ("list_targets_by_rule", "ResourceNotFoundException", "ResourceNotFoundException"): "AWS names the bus",
    ("start_replay", "ValidationException", "ResourceNotFoundException"): "AWS looks at the dates first",
    ("start_replay", "ValidationException", "ValidationException"): "AWS looks at the dates first",
}
_OF_THE_ARCHIVE = re.compile(r"(archive/[^:\"]+):[0-9a-f-]{36}")


_UNLIKE = {
    "EventLastReplayedTime",  # moto has none
    "ReplayEndTime",
    "ReplayStartTime",
    "SizeBytes",  # moto: of a Python list
}


def _read_answer(answer: tuple[str, Any]) -> tuple[str, Any]:
    return answer[0], _normal(answer[1])


def _normal(value: Any) -> Any:
    """Lists by name, patterns as what they say, without what is never alike."""
    if isinstance(value, list):
        return sorted((_normal(item) for item in value), key=lambda item: json.dumps(item, default=str))
    if isinstance(value, dict):
        return {name: _read(name, item) for name, item in value.items() if name not in _UNLIKE}
    return value


def _read(name: str, item: Any) -> Any:
    if name == "EventPattern":
        return json.loads(item)
    return _OF_THE_ARCHIVE.sub(r"\1", item) if name == "InputTemplate" else _normal(item)


ARCHIVES = st.sampled_from(["a1", "a2", "a3"])
BUSES = st.sampled_from(["default", "default", "one", "two"])
PATTERNS = st.sampled_from(
    ['{"source":["shop"]}', '{"detail":{"n":[{"numeric":[">",1]}]}}', '{"source":[{"prefix":"b"}]}', None]
)
REPLAYS = st.sampled_from(["p1", "p2", "p3", "p4"])
EVENTS = st.lists(st.tuples(st.sampled_from(["shop", "bank"]), st.integers(0, 3), st.integers(0, 300)), max_size=6)
OPERATION = st.one_of(
    st.tuples(st.just("create"), ARCHIVES, BUSES, PATTERNS, st.sampled_from([None, 0, 5])),
    st.tuples(st.just("create"), ARCHIVES, st.just("default"), PATTERNS, st.none()),
    st.tuples(st.just("create"), st.just("x" * 49), st.just("none"), st.none(), st.none()),
    st.tuples(st.just("create"), ARCHIVES, st.just("default"), st.just("no JSON"), st.none()),
    st.tuples(st.just("update"), ARCHIVES, st.sampled_from(["d", None]), st.sampled_from([7, None])),
    st.tuples(st.just("delete"), ARCHIVES),
    st.tuples(st.just("lists"), ARCHIVES),
    st.tuples(st.just("rule"), BUSES, PATTERNS.filter(bool)),
    st.tuples(st.just("put"), BUSES.filter(lambda bus: bus != "two"), EVENTS),
    st.tuples(st.just("put"), st.just("default"), EVENTS),
    st.tuples(st.just("replay"), REPLAYS, ARCHIVES, BUSES, st.sampled_from([LATER, LATER, EPOCH - timedelta(1)])),
    st.tuples(st.just("replay"), REPLAYS, ARCHIVES, st.just("default"), st.just(LATER)),
)


def _create(pair: Pair, name: str, bus: str, pattern: str | None, days: int | None) -> None:
    given_members: dict[str, Any] = {"EventPattern": pattern, "RetentionDays": days}
    more = {member: value for member, value in given_members.items() if value is not None}
    pair.both("create_archive", ArchiveName=name, EventSourceArn=f"{PREFIX}:event-bus/{bus}", **more)


def _update(pair: Pair, name: str, description: str | None, days: int | None) -> None:
    given_members: dict[str, Any] = {"Description": description, "RetentionDays": days}
    more = {member: value for member, value in given_members.items() if value is not None}
    pair.both("update_archive", ArchiveName=name, **more)


def _lists(pair: Pair, name: str) -> None:
    pair.both("describe_archive", ArchiveName=name)
    pair.both("list_archives")
    pair.both("list_archives", NamePrefix=name[:2])
    pair.both("list_archives", EventSourceArn=f"{PREFIX}:event-bus/default")
    pair.both("list_archives", State="ENABLED")
    pair.both("list_archives", State="ENABLED", NamePrefix="a")
    pair.both("list_archives", State="OPEN")
    pair.both("list_rules", EventBusName="default")
    pair.both("list_targets_by_rule", Rule=f"Events-Archive-{name}")
    pair.both("list_replays")
    pair.both("list_replays", EventSourceArn=f"{PREFIX}:archive/{name}")
    pair.both("list_replays", NamePrefix="p", State="RUNNING")


def _rule(pair: Pair, bus: str, pattern: str) -> None:
    if not pair.both("put_rule", Name="r", EventBusName=bus, EventPattern=pattern)[0]:
        pair.both("put_targets", Rule="r", EventBusName=bus, Targets=[{"Id": "t", "Arn": pair.queue}])


def _put(pair: Pair, bus: str, events: list[tuple[str, int, int]]) -> None:
    there = {each["Name"] for each in pair.ours.client.list_event_buses()["EventBuses"]}
    if not events or bus not in there:
        return
    entries = [
        {
            "Source": source,
            "DetailType": "order",
            "Detail": json.dumps({"n": n, "at": offset}),
            "Time": EPOCH + timedelta(seconds=offset),
            "EventBusName": bus,
        }
        for source, n, offset in events
    ]
    pair.both("put_events", Entries=entries)
    ours, theirs = pair.deliveries()
    assert ours == theirs


def _replay(pair: Pair, name: str, archive: str, bus: str, end: datetime) -> None:
    code, _ = pair.both(
        "start_replay",
        ReplayName=name,
        EventSourceArn=f"{PREFIX}:archive/{archive}",
        EventStartTime=EPOCH,
        EventEndTime=end,
        Destination={"Arn": f"{PREFIX}:event-bus/{bus}"},
    )
    if not code:
        pair.both("describe_replay", ReplayName=name)
    ours, theirs = pair.deliveries()
    assert ours == theirs


OPERATIONS = {
    "create": _create,
    "update": _update,
    "delete": lambda pair, name: pair.both("delete_archive", ArchiveName=name),
    "lists": _lists,
    "rule": _rule,
    "put": _put,
    "replay": _replay,
}


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(OPERATION, min_size=10, max_size=30))
def test_generated_operations_answer_as_moto_does(operations: list[tuple[Any, ...]]) -> None:
    """Any sequence of actions gives the same answers, the same errors and the same messages on both sides."""
    with open_pair(EXPLAINED) as pair:
        pair.read = _read_answer
        pair.both("create_event_bus", Name="one")
        _rule(pair, "default", '{"source":["shop"]}')
        for kind, *rest in operations:
            OPERATIONS[kind](pair, *rest)


# ---------------------------------------------------------------------- where moto differs

BUS = {"Arn": f"{PREFIX}:event-bus/default"}
EVENT = {"Source": "shop", "DetailType": "order", "Detail": "{}", "Time": EPOCH}


def _make(client: Any, **more: Any) -> str:
    """An archive of the default bus; the code of the answer."""
    return ask(client, "create_archive", ArchiveName="a", EventSourceArn=BUS["Arn"], **more)[0]


def _start(client: Any, **more: Any) -> tuple[str, Any]:
    """A replay of the archive."""
    given_members = {"EventStartTime": EPOCH, "EventEndTime": LATER, "Destination": BUS}
    return ask(
        client, "start_replay", **{"ReplayName": "p", "EventSourceArn": f"{PREFIX}:archive/a", **given_members, **more}
    )


def _update_days(client: Any) -> int:
    _make(client, RetentionDays=5)
    client.update_archive(ArchiveName="a", RetentionDays=0)
    return client.describe_archive(ArchiveName="a")["RetentionDays"]


def _empty_pattern(client: Any) -> bool:
    _make(client, EventPattern='{"source":["shop"]}')
    client.update_archive(ArchiveName="a", EventPattern="")
    return "EventPattern" in client.describe_archive(ArchiveName="a")


def _change_pattern(client: Any) -> int:
    _make(client, EventPattern='{"source":["bank"]}')
    client.update_archive(ArchiveName="a", EventPattern='{"source":["shop"]}')
    client.put_events(Entries=[EVENT])
    return client.describe_archive(ArchiveName="a")["EventCount"]


def _delete_managed(client: Any) -> str:
    _make(client)
    return ask(client, "delete_rule", Name="Events-Archive-a")[0]


def _name_managed(client: Any) -> str:
    _make(client)
    return ask(client, "put_rule", Name="Events-Archive-a", EventPattern='{"source":["shop"]}')[0]


def _delete_bus(client: Any) -> str:
    arn = client.create_event_bus(Name="one")["EventBusArn"]
    client.create_archive(ArchiveName="a", EventSourceArn=arn)
    return ask(client, "delete_event_bus", Name="one")[0]


def _start_at_its_end(client: Any) -> str:
    _make(client)
    return _start(client, EventEndTime=EPOCH)[0]


def _start_for_no_rule(client: Any) -> str:
    _make(client)
    return _start(client, Destination={**BUS, "FilterArns": [f"{PREFIX}:rule/none"]})[0]


def _start_from_a_bus(client: Any) -> str:
    _make(client)
    return _start(client, EventSourceArn=BUS["Arn"])[1].partition("Reason: ")[2]


def _cancel_late(client: Any) -> str:
    _make(client)
    _start(client)
    return ask(client, "cancel_replay", ReplayName="p")[0]


DIFFERENCES: list[tuple[str, Callable[[Any], object], object, object]] = [  # ..., our answer, moto's
    ("RetentionDays 0 is for ever, also in an update", _update_days, 0, 5),
    ("an empty pattern takes the pattern away", _empty_pattern, False, True),
    ("a changed pattern counts for what is put", _change_pattern, 1, 0),
    (
        "an empty object is no pattern",
        lambda client: _make(client, EventPattern="{}"),
        "InvalidEventPatternException",
        "",
    ),
    (
        "no archive asks for replayed events",
        lambda client: _make(client, EventPattern='{"replay-name":["p"]}'),
        "InvalidEventPatternException",
        "",
    ),
    ("managed rules are not deleted", _delete_managed, "ManagedRuleException", "ValidationException"),
    ("managed rules are not replaced", _name_managed, "ManagedRuleException", ""),
    ("a bus with an archive has a rule", _delete_bus, "ValidationException", ""),
    ("a window has a length", _start_at_its_end, "ValidationException", ""),
    ("FilterArns name rules of the bus", _start_for_no_rule, "ValidationException", ""),
    (
        "a replay has an archive",
        _start_from_a_bus,
        "Must contain an archive ARN.",
        "Archive default does not exist.",
    ),
    ("a replay that is over is not cancelled", _cancel_late, "IllegalStatusException", ""),
]


@pytest.mark.parametrize(("fact", "scenario", "ours", "theirs"), DIFFERENCES)
def test_each_known_difference_is_still_one(
    fact: str, scenario: Callable[[Any], object], ours: object, theirs: object
) -> None:
    """What we answer, and what moto does: where moto learns, the difference goes."""
    with open_pair({}) as pair:
        assert (fact, scenario(pair.ours.client)) == (fact, ours)
        assert (fact, scenario(pair.theirs)) == (fact, theirs)


def test_moto_replays_all_whatever_the_window_and_the_rules() -> None:
    """Ours takes the events of the window, to the rules that FilterArns name."""
    with open_pair({}) as pair:
        for client in (pair.ours.client, pair.theirs):
            for name in ("r", "s"):
                client.put_rule(Name=name, EventPattern='{"replay-name":[{"exists":true}]}')
                client.put_targets(Rule=name, Targets=[{"Id": name, "Arn": pair.queue}])
            _make(client)
            client.put_events(Entries=[EVENT, {**EVENT, "Time": LATER}])
            code, _ = _start(client, Destination={**BUS, "FilterArns": [f"{PREFIX}:rule/s"]})
            assert code == ""
        ours, theirs = pair.deliveries()
        assert (len(ours), len(theirs)) == (1, 4)
        assert ours[0] == theirs[0]
