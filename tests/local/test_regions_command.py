"""`sluiceway regions` over the local cloud's DynamoDB: founding, showing, handing over, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.cli.main import main
from localcloud.state import RunningState, write_state
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.wire import Wire
from sluiceway.ports import SystemClock
from sluiceway.region.records import open_terms
from sluiceway.rules.terms import NOT_YET_MS, Term, close_term
from tests.contract.test_region_stores import REGIONS
from tests.local.served_tables import served_tables
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local

EAST, WEST, THIRD = "us-east-1", "us-west-2", "us-east-2"
SETTINGS = {"REGION_GROUP": "shop", "REGIONS": f"{EAST},{WEST}", "TERMS_TABLE": "regions", "TERMS_REGION": THIRD}
HAND_OVER = ("raise", "--to", WEST, "--approval", "incident 7, R. Roe")


async def fill(url: str) -> None:
    """The table of terms, in the third Region alone."""
    async with Wire.open(environ(AWS_ENDPOINT_URL=url, AWS_REGION=THIRD)) as third:
        await third.call(DYNAMODB, "CreateTable", REGIONS)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Where DynamoDB is; the settings of a machine in the east."""
    with served_tables(fill) as address:
        for name, value in environ(AWS_ENDPOINT_URL=address, AWS_REGION=EAST, **SETTINGS).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield address


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[str]:
    """The lines that the command prints."""
    assert main(["regions", *words]) == code
    return capsys.readouterr().out.splitlines()


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The term that the command prints as JSON."""
    return json.loads("\n".join(told(capsys, *words, "--json")))


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> str:
    """What it says of a refusal; nothing is printed for scripts."""
    assert main(["regions", *words]) == code
    answer = capsys.readouterr()
    assert answer.out == ""
    return answer.err


def test_a_group_is_founded_once_and_shown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a term the code is 1; founding it again changes nothing, and with other words is told so."""
    assert "the group shop has no term yet" in refused(capsys, code=1)
    lines = told(capsys, "found", "--home", EAST)
    assert lines[0] == "group     shop"
    assert re.fullmatch(r"home      us-east-1, epoch 1, since 20\S+Z", lines[1])
    assert lines[2:] == ['approval  "founding"', "lease     30 s, clocks may differ by 5 s"]
    assert told(capsys) == told(capsys, "show") == told(capsys, "found", "--home", EAST) == lines
    for words in (("--home", WEST), ("--home", EAST, "--lease-s", "31"), ("--home", EAST, "--skew-s", "6")):
        assert told(capsys, "found", *words, code=1) == lines


def test_a_lease_and_a_skew_are_the_terms_own(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In seconds as said, in milliseconds as kept."""
    term = shown(capsys, "found", "--home", WEST, "--lease-s", "60", "--skew-s", "0")
    assert (term["region"], term["lease_ms"], term["skew_ms"], term["past"]) == (WEST, 60_000, 0, [])


def test_a_hand_over_says_from_when_on_who_is_home(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A lease and the clock margin from now; the approval and the term before it are kept."""
    told(capsys, "found", "--home", EAST)
    lines = told(capsys, *HAND_OVER)
    begins = re.fullmatch(r"home      us-west-2, epoch 2, begins work at (\S+Z), in (35|36) s", lines[1])
    assert begins is not None
    assert lines[2] == 'approval  "incident 7, R. Roe"'
    assert lines[4:] == [f"before    us-east-1, epoch 1, ends {begins[1]}"]
    term = shown(capsys)
    assert (term["epoch"], term["region"], term["approval"]) == (2, WEST, "incident 7, R. Roe")
    assert term["past"] == [{"epoch": 1, "region": EAST, "ended_ms": term["begins_ms"]}]


def test_an_approval_that_names_its_epoch_moves_the_home_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Said again it gives the same term; said after the way back it is stale. Without an epoch: already home."""
    told(capsys, "found", "--home", EAST)
    first = shown(capsys, *HAND_OVER, "--ends", "1")
    assert shown(capsys, *HAND_OVER, "--ends", "1") == first
    assert "us-west-2 is the home Region already" in refused(capsys, *HAND_OVER, code=1)
    assert shown(capsys, "raise", "--to", EAST, "--approval", "all is well", "--ends", "2")["epoch"] == 3
    assert "the approval is about epoch 1" in refused(capsys, *HAND_OVER, "--ends", "1", code=1)
    assert shown(capsys)["region"] == EAST


def test_a_hand_over_that_was_broken_off_is_shown_and_gone_on_with(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody begins work meanwhile, and the lines say so; asking again opens the same epoch."""
    told(capsys, "found", "--home", EAST)
    with asyncio.Runner() as runner:
        runner.run(_break_off())
    lines = told(capsys)
    assert lines[1].startswith("home      us-west-2, epoch 2, begins no work: the hand-over was broken off")
    assert lines[4] == "before    us-east-1, epoch 1, closed"
    term = shown(capsys, *HAND_OVER)
    assert term["epoch"] == 2
    assert term["begins_ms"] < NOT_YET_MS


async def _break_off() -> Term:
    async with open_terms(os.environ) as group:
        first = await group.terms.get(group.name)
        assert first is not None
        closed = close_term(first, WEST, now_ms=SystemClock().now_ms(), approval="x")
        assert await group.terms.replace(closed, seen=first)
    return closed


@pytest.mark.parametrize("words", [(*HAND_OVER[:2], "eu-west-1", *HAND_OVER[3:]), ("found", "--home", "us-west2")])
def test_the_home_is_one_of_the_group(url: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """A slip of the pen would leave nobody at work."""
    if words[0] == "raise":
        told(capsys, "found", "--home", EAST)
    assert f"{words[2]} is none of the Regions us-east-1, us-west-2" in refused(capsys, *words, code=2)
    assert main(["regions"]) == (0 if words[0] == "raise" else 1)


def test_a_group_without_a_term_is_not_handed_over(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2: the group's name is wrong, or nobody has founded it."""
    assert "the group 'shop' has no term" in refused(capsys, *HAND_OVER, code=2)


def test_words_stand_in_for_settings(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after the action; a look at the term needs no list of Regions, whatever Region this machine is in."""
    for name in SETTINGS:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    place = ("--group", "other", "--terms-table", "regions")
    told(capsys, *place, "found", "--home", WEST, "--regions", f"{EAST},{WEST}", "--terms-region", THIRD)
    assert shown(capsys, *place, "--terms-region", THIRD)["group"] == "other"
    assert "not found" in refused(capsys, "show", *place, "--terms-region", EAST, code=2).lower()
    assert "REGIONS is not set" in refused(capsys, *HAND_OVER, *place, "--terms-region", THIRD, code=2)


@pytest.mark.parametrize("name", ["REGION_GROUP", "TERMS_TABLE", "TERMS_REGION"])
def test_a_setting_that_is_missing_is_named(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Exit code 2 and one sentence."""
    monkeypatch.setenv(name, "")
    assert name in refused(capsys, code=2)


def test_the_local_cloud_is_asked_by_name_only(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--local` takes its address, whatever endpoint is set; without a cloud it says so."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "no local cloud runs" in refused(capsys, "--local", code=1)
    running = RunningState(os.getpid(), "t.yaml", WEST, "", {"aws": url}, outputs={}, functions={}, logs={})
    write_state(tmp_path / "state", running)
    assert shown(capsys, "--local", "found", "--home", EAST, "--state", str(tmp_path / "state"))["epoch"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["raise", "--to", WEST], "the following arguments are required: --approval"),
        (["raise", "--approval", "x"], "the following arguments are required: --to"),
        (["raise", "--to", WEST, "--approval", " "], "an approval names who decided it"),
        (["raise", "--to", WEST, "--approval", "x" * 1_025], "an approval names who decided it"),
        (["raise", "--to", WEST, "--approval", "x", "--ends", "0"], "an epoch is a whole number from 1"),
        (["found"], "the following arguments are required: --home"),
        (["found", "--home", EAST, "--lease-s", "901"], "a lease is a whole number from 1 to 900"),
        (["found", "--home", EAST, "--skew-s", "-1"], "a skew is a whole number from 0 to 900"),
        (["show", "--to", WEST], "unrecognized arguments: --to us-west-2"),
        (["drop"], "invalid choice: 'drop'"),
    ],
)
def test_words_that_are_not_taken_are_named(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """Exit code 2, and nothing is asked."""
    with pytest.raises(SystemExit) as ended:
        main(["regions", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
