"""`sluiceway doubts` over the local cloud's DynamoDB: what it lists, what a drain and a person's word change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.cli.main import main
from localcloud.clock import SystemClock
from localcloud.state import RunningState, write_state
from sluiceway.aws.dynamodb import DYNAMODB, Table
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.regions import DynamoDbDoubtStore, DynamoDbTermStore
from sluiceway.aws.wire import Wire
from sluiceway.rules.idempotency import IdempotencyRecord, Owner
from sluiceway.rules.region_keys import item_key
from sluiceway.rules.terms import Doubt, first_term
from tests.contract.idempotency_tables import DEFINITION, TABLE
from tests.contract.test_region_stores import REGIONS
from tests.local.served_tables import served_tables
from tests.unit.region_setup import next_term
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local

EAST, WEST, THIRD = "us-east-1", "us-west-2", "us-east-2"
NOW_MS = round(SystemClock().time() * 1000)
NOTED_MS = NOW_MS - 90_000_000
FIRST = first_term("shop", EAST, now_ms=NOTED_MS)
DONE, FREE, LEFT, LOST = "orders#done", "orders#free", "orders#left", "orders#lost\n"
SETTINGS = {
    "IDEMPOTENCY_TABLE": TABLE,
    "IDEMPOTENCY_TIER": "",
    "REGION_GROUP": "shop",
    "REGIONS": f"{EAST},{WEST}",
    "REGIONS_TABLE": "regions",
    "TERMS_TABLE": "regions",
    "TERMS_REGION": THIRD,
}


def doubt(key: str, home: str = EAST, **members: Any) -> Doubt:
    return Doubt(key, "parked", 1, home, WEST, NOTED_MS, NOW_MS // 1000 + 9_000)._replace(**members)


async def fill(url: str) -> None:
    """The west is home after the east, which ended one key, began and left two, and never saw the others."""
    async with Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_REGION=EAST)) as east:
        await east.call(DYNAMODB, "CreateTable", DEFINITION)
        records = DynamoDbIdempotencyStore(east, TABLE)
        for key in (DONE, LEFT, "orders#unasked"):
            record = IdempotencyRecord(item_key(key, 1), Owner(key, EAST, 1), NOW_MS // 1000 + 9_000, NOW_MS - 1)
            await records.claim(record, now_ms=0, rerun=False)
            if key == DONE:
                await records.write(record._replace(is_complete=True, data="1"))
    async with Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_REGION=THIRD)) as third:
        await third.call(DYNAMODB, "CreateTable", REGIONS)
        terms = DynamoDbTermStore(Table(third, "regions"))
        await terms.replace(FIRST, seen=None)
        await terms.replace(next_term(FIRST, WEST, now_ms=NOTED_MS, approval="x"), seen=FIRST)
    async with Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_REGION=WEST)) as west:
        await west.call(DYNAMODB, "CreateTable", REGIONS)
        await west.call(DYNAMODB, "CreateTable", DEFINITION)
        doubts = DynamoDbDoubtStore(Table(west, "regions"), "shop")
        for each in (*map(doubt, (DONE, FREE, LEFT)), doubt(LOST, "eu-north-1"), doubt("orders#over", expires_s=1)):
            await doubts.note(each)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A DynamoDB on a real socket; the settings of a function in the west."""
    with served_tables(fill) as address:
        for name, value in environ(AWS_ENDPOINT_URL=address, AWS_REGION=WEST, **SETTINGS).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield address


def shown(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """The JSON that the command prints."""
    assert main(["doubts", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def keys(doubts: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["key"], each["why"], each["state"]) for each in doubts]


def test_doubts_are_listed_for_people_and_for_scripts(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, with a key that cannot write into the terminal; what has expired is gone."""
    assert main(["doubts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["parked", DONE],
        ["parked", FREE],
        ["parked", LEFT],
        ["parked", '"orders#lost\\n"'],
    ]
    assert "epoch 1 of us-east-1, noted 20" in lines[0]
    listed = shown(capsys, "list")
    assert keys(listed) == [(key, "parked", "open") for key in (DONE, FREE, LEFT, LOST)]
    assert listed[0] == doubt(DONE)._asdict()


def test_words_stand_in_for_settings(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after the action; another Region, group or table has other doubts, or none."""
    for words in (["--region", EAST, "list"], ["list", "--group", "other"]):
        monkeypatch.setenv("REGIONS_TABLE", "regions" if words[0] == "list" else "nowhere")
        code = 0 if words[0] == "list" else 2
        assert main(["doubts", *words]) == code
        told = capsys.readouterr()
        assert told.out == (f"{WEST} has noted no doubts\n" if code == 0 else "")
        assert ("ResourceNotFoundException" in told.err or "not found" in told.err.lower()) == (code == 2)
    monkeypatch.setenv("REGIONS_TABLE", "nowhere")
    assert len(shown(capsys, "--region", WEST, "--table", "regions", "list")) == 4


def test_a_drain_asks_again_and_tells_what_is_left(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The code is 1 while something is parked; what was begun and not ended is a person's now."""
    assert shown(capsys, "drain", code=1) == {"done": 1, "freed": 2, "fenced": 1, "parked": 1}
    assert keys(shown(capsys)) == [(LEFT, "fenced", "open"), (LOST, "parked", "open")]
    assert main(["doubts", "drain"]) == 1
    assert capsys.readouterr().out == "done 0, freed 0, fenced 1, parked 1\n"


def test_a_drain_can_note_what_nobody_asked_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every Region's table is read: what an earlier term left unended is listed."""
    assert shown(capsys, "drain", "--scan", code=1) == {"done": 1, "freed": 2, "fenced": 2, "parked": 1}
    assert ("orders#unasked", "fenced", "open") in keys(shown(capsys))


def test_a_person_settles_a_key_that_was_asked_about(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not before it was; then it is let go, and may be opened again."""
    assert main(["doubts", "settle", LEFT, "--not-done"]) == 1
    assert "was not asked yet" in capsys.readouterr().err
    shown(capsys, "drain", code=1)
    assert keys(shown(capsys, "settle", "--not-done", LEFT)) == [(LEFT, "fenced", "released")]
    assert main(["doubts"]) == 0
    assert capsys.readouterr().out.startswith(f"released  {LEFT}  ")
    assert keys(shown(capsys, "settle", LEFT, "--open")) == [(LEFT, "fenced", "open")]
    assert main(["doubts", "settle", "orders#nobody", "--open"]) == 1
    assert capsys.readouterr().err == f"sluiceway: {WEST} has noted no doubt of orders#nobody\n"


def test_the_local_cloud_is_asked_by_name_only(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--local` takes its address, whatever endpoint is set; without a cloud it says so."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    assert main(["doubts", "--local"]) == 1
    assert "no local cloud runs" in capsys.readouterr().err
    running = RunningState(os.getpid(), "t.yaml", WEST, "", {"aws": url}, outputs={}, functions={}, logs={})
    write_state(tmp_path / "state", running)
    assert len(shown(capsys, "--local", "list", "--state", str(tmp_path / "state"))) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["settle", "k"], "one of the arguments --not-done --open is required"),
        (["settle", "--not-done"], "the following arguments are required: KEY"),
        (["settle", "k", "--open", "--not-done"], "not allowed with argument"),
        (["drain", "k"], "unrecognized arguments: k"),
        (["list", "--scan"], "unrecognized arguments: --scan"),
        (["--js"], "unrecognized arguments: --js"),
        (["drop"], "invalid choice: 'drop'"),
    ],
)
def test_words_that_are_not_taken_are_named(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """Exit code 2, and nothing is asked."""
    with pytest.raises(SystemExit) as ended:
        main(["doubts", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["REGION_GROUP", "REGIONS_TABLE", "AWS_REGION", "TERMS_TABLE", "IDEMPOTENCY_TABLE"])
def test_a_setting_that_is_missing_is_named(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Exit code 2 and one sentence; a list needs fewer of them than a drain."""
    monkeypatch.setenv(name, "")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    assert main(["doubts", "drain"]) == 2
    assert name in capsys.readouterr().err
    needed = name not in {"TERMS_TABLE", "IDEMPOTENCY_TABLE"}
    assert main(["doubts", "list"]) == (2 if needed else 0)
