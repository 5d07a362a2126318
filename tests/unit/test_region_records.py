"""How a function opens its tier: what each setting gives, what is refused by name, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.reply import Reply
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured
from sluiceway.idempotency import Fresh
from sluiceway.region import records as records_module
from sluiceway.region.home import HomeStore
from sluiceway.region.records import open_doubts, open_records
from sluiceway.region.sink import SinkStore
from sluiceway.region.strong import StrongStore
from tests.fakes import RecordingCaller
from tests.unit.idempotency_setup import Work, make_guard
from tests.unit.wire_server import environ

LAYER = Path(__file__).parents[2] / "layers" / "sluiceway"
ONE = environ(IDEMPOTENCY_TABLE="records")
HOME = environ(
    IDEMPOTENCY_TABLE="records",
    IDEMPOTENCY_TIER="home",
    REGION_GROUP="shop",
    REGIONS="eu-west-1, us-east-1",
    REGIONS_TABLE="regions",
    TERMS_TABLE="terms",
    TERMS_REGION="eu-central-1",
)


@pytest.mark.parametrize("tier", ["", " single ", "strong", "sink"])
async def test_a_tier_without_a_home_gives_its_store(tier: str) -> None:
    """The table that is named, through the caller that is given; no terms, no doubts, no other Region."""
    caller = RecordingCaller()
    kinds = {"strong": StrongStore, "sink": SinkStore}
    async with open_records(ONE | {"IDEMPOTENCY_TIER": tier}, caller) as records:
        assert type(records.store) is kinds.get(tier, DynamoDbIdempotencyStore)
        assert (records.tier, records.tenure, records.region) == (tier.strip() or "single", None, "eu-west-1")
        assert records.regions == ("eu-west-1",)
        assert caller.calls == []
        assert await make_guard().run({"id": "1"}, Work(), store=records.store) == Fresh({"run": 1})
        for what in ("home", "terms", "doubts"):
            with pytest.raises(Misconfigured) as caught:
                getattr(records, what)
            assert caught.value.what == "IDEMPOTENCY_TIER"
    claim, end = (call.body for call in caller.calls)
    assert isinstance(claim, dict)
    assert isinstance(end, dict)
    assert (claim["TableName"], end["TableName"]) == ("records", "records")
    assert ("region" in claim["Item"]) == (tier == "strong")


class Wires:
    """Stands where Wires are opened: each Region's caller, and which of them were opened and closed."""

    def __init__(self) -> None:
        self.opened: dict[str, RecordingCaller] = {}
        self.closed: list[str] = []
        self.environs: list[dict[str, str]] = []

    def open(self, given: dict[str, str]) -> Any:
        return _Opened(self, given)


class _Opened:
    def __init__(self, wires: Wires, given: dict[str, str]) -> None:
        self._wires, self._given = wires, given

    async def __aenter__(self) -> RecordingCaller:
        region = self._given["AWS_REGION"]
        assert region not in self._wires.opened
        self._wires.environs.append(self._given)
        self._wires.opened[region] = RecordingCaller(answers=[_term()] if region == "eu-central-1" else [])
        return self._wires.opened[region]

    async def __aexit__(self, *_: object) -> None:
        self._wires.closed.append(self._given["AWS_REGION"])


def _term() -> Reply:
    numbers = {"epoch": 2, "begins_ms": 1, "lease_ms": 60_000, "skew_ms": 5_000}
    item: dict[str, Any] = {name: {"N": str(number)} for name, number in numbers.items()}
    past = {"M": {"epoch": {"N": "1"}, "region": {"S": "us-east-1"}, "ended_ms": {"N": str(9 * 10**14)}}}
    item |= {"region": {"S": "eu-west-1"}, "approval": {"S": "x"}, "past": {"L": [past]}}
    return Reply(200, {}, json.dumps({"Item": item}).encode())


async def test_the_home_tier_reaches_each_region_through_a_wire_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The term in its Region, records and doubts here, an earlier home's records there; opened late, closed after."""
    wires, here = Wires(), RecordingCaller()
    monkeypatch.setattr(records_module, "Wire", wires)
    async with open_records(HOME, here) as records:
        assert type(records.store) is HomeStore
        assert records.store is records.home
        assert records.tenure is not None
        assert (records.group, records.region, records.regions) == ("shop", "eu-west-1", ("eu-west-1", "us-east-1"))
        assert (wires.opened, here.calls) == ({}, [])
        outcome = await make_guard(lease_s=30).run({"id": "1"}, Work(), store=records.store)
        assert outcome == Fresh({"run": 1})
        assert records.tenure.is_held()
        assert wires.closed == []
    asked = {region: [_said(call.body) for call in caller.calls] for region, caller in wires.opened.items()}
    key = make_guard().key_of({"id": "1"})
    assert asked == {
        "eu-central-1": [("terms", "term#shop")],
        "us-east-1": [("records", f"{key}@1")],
    }
    assert {_said(call.body) for call in here.calls} == {("records", f"{key}@1"), ("records", f"{key}@2")}
    assert sorted(wires.closed) == ["eu-central-1", "us-east-1"]
    assert all(given == HOME | {"AWS_REGION": given["AWS_REGION"]} for given in wires.environs)


def _said(body: Any) -> tuple[str, str]:
    key = body.get("Key") or body["Item"]
    return body["TableName"], key["id"]["S"]


async def test_a_term_in_this_region_needs_no_other_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strongly consistent table is asked where one is."""
    wires, here = Wires(), RecordingCaller(answers=[_term()])
    monkeypatch.setattr(records_module, "Wire", wires)
    async with open_records(HOME | {"TERMS_REGION": "eu-west-1"}, here) as records:
        assert await records.terms.get("shop") is not None
    assert [_said(call.body) for call in here.calls] == [("terms", "term#shop")]
    assert wires.opened == {}


async def test_shelves_of_each_region_are_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """This one's and the others'; of a Region outside the group there is none."""
    wires, here = Wires(), RecordingCaller()
    monkeypatch.setattr(records_module, "Wire", wires)
    async with open_records(HOME, here) as records:
        await records.shelf().unfinished()
        for _ in range(2):  # through one wire, which is opened once
            await records.shelf("us-east-1").unfinished()
        with pytest.raises(Misconfigured) as caught:
            records.shelf("eu-central-1")
    assert caught.value.what == "REGIONS"
    assert [call.operation for call in here.calls + wires.opened["us-east-1"].calls] == ["Scan"] * 3


async def test_doubts_are_opened_alone() -> None:
    """By their table and the group."""
    caller = RecordingCaller()
    await open_doubts(environ(REGION_GROUP="shop", REGIONS_TABLE="regions"), caller).page("us-east-1")
    (call,) = caller.calls
    assert isinstance(call.body, dict)
    assert call.body["ExpressionAttributeValues"] == {":id": {"S": "doubts#shop#us-east-1"}}
    assert (call.service, call.operation) == (DYNAMODB, "Query")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        *((HOME | {name: value}, name) for name in HOME if (name.isupper() and "REGION" in name) or "TABLE" in name
          for value in ("", "  ") if name != "AWS_REGION"),
        (ONE | {"IDEMPOTENCY_TABLE": ""}, "IDEMPOTENCY_TABLE"),
        (ONE | {"AWS_REGION": ""}, "AWS_REGION"),
        (ONE | {"IDEMPOTENCY_TIER": "Home"}, "IDEMPOTENCY_TIER"),
        (ONE | {"REGIONS": "eu-west-1,us-east-1"}, "IDEMPOTENCY_TIER"),
        (HOME | {"REGION_GROUP": "a#b"}, "REGION_GROUP"),
        (HOME | {"REGION_GROUP": "g" * 65}, "REGION_GROUP"),
        (HOME | {"REGIONS": "eu-west-1"}, "REGIONS"),
        (HOME | {"REGIONS": "us-east-1,us-west-2"}, "REGIONS"),
        (HOME | {"REGIONS": "eu-west-1,us-east-1,eu-west-1"}, "REGIONS"),
        (HOME | {"REGIONS": "eu-west-1,us east"}, "REGIONS"),
        (HOME | {"REGIONS": "eu-west-1," + ",".join(f"us-east-{number}" for number in range(40))}, "REGIONS"),
        (HOME | {"TERMS_REGION": "here"}, "TERMS_REGION"),
        (HOME | {"TERMS_REGION": "us-east-1"}, "TERMS_REGION"),
        (HOME | {"TERMS_REGION": "eu-west-1", "TERMS_TABLE": "regions"}, "TERMS_TABLE"),
    ],
)  # fmt: skip
async def test_what_is_missing_or_contradicts_is_named(settings: dict[str, str], what: str) -> None:
    """At init, before anything is asked."""
    caller = RecordingCaller()
    with pytest.raises(Misconfigured) as caught:
        async with open_records(settings, caller):
            pytest.fail("opened")
    assert (caught.value.what, caller.calls) == (what, [])
    assert what in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        ONE | {"REGIONS": "eu-west-1"},
        ONE | {"REGIONS": "eu-west-1", "REGION_GROUP": "shop", "REGIONS_TABLE": "regions", "TERMS_REGION": "us-east-1"},
        HOME | {"TERMS_TABLE": "regions"},
        HOME | {"REGIONS": "eu-west-1,us-east-1,us-west-2,", "REGION_GROUP": "g" * 64},
    ],
)
async def test_what_does_not_contradict_is_taken(settings: dict[str, str]) -> None:
    """A template may set all of them for every function; tables of one name in two Regions are two."""
    async with open_records(settings, RecordingCaller()) as records:
        assert records.region == "eu-west-1"


async def test_a_real_wire_is_opened_for_another_region() -> None:
    """Its settings are this Region's but for the name; what is wrong with them is told at the first call."""
    bad = HOME | {"AWS_ENDPOINT_URL_DYNAMODB": "nonsense"}
    async with Wire.open(environ()) as wire, open_records(bad, wire) as records:
        with pytest.raises(Misconfigured) as caught:
            await records.terms.get("shop")
    assert caught.value.what == "AWS_ENDPOINT_URL_DYNAMODB"


def _modules(tier: str) -> set[str]:
    """What opening this tier imports."""
    code = (
        "import sys, asyncio, json\n"
        f"sys.path.insert(0, {str(LAYER)!r})\n"
        "from sluiceway.aws.idempotency import DynamoDbIdempotencyStore\n"
        "before = set(sys.modules)\n"
        "from sluiceway.region.records import open_records\n"
        "async def main():\n"
        f"    async with open_records({HOME | {'IDEMPOTENCY_TIER': tier, 'REGIONS': _regions(tier)}!r}, None):\n"
        "        print(json.dumps(sorted(set(sys.modules) - before)))\n"
        "with asyncio.Runner() as runner: runner.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def _regions(tier: str) -> str:
    return "eu-west-1" if tier == "single" else "eu-west-1,us-east-1"


@pytest.mark.parametrize(
    ("tier", "more"),
    [
        ("single", []),
        ("strong", ["log", "ports.regions", "region.strong", "rules.terms"]),
        ("sink", ["region.sink"]),
        (
            "home",
            ["aws.regions", "ports.regions", "region.home", "region.tenure", "rules.region_keys", "rules.terms"],
        ),
    ],
)
def test_a_tier_loads_what_it_needs(tier: str, more: list[str]) -> None:
    """Beside the store for DynamoDB one Region costs two small modules, and loads nothing of the other tiers."""
    own = {f"sluiceway.{name}" for name in ("region", "region.records", *more)}
    assert {name for name in _modules(tier) if name.startswith("sluiceway")} == own
