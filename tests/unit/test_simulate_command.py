"""`sluiceway simulate`: its sums, its story of one seed, its exit code, and what it says of wrong words."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud.cli.main import main
from localcloud.simulation import run
from localcloud.simulation.checker import Fault, Verdict
from localcloud.simulation.setting import Setting


@pytest.fixture(autouse=True)
def logs_again() -> Iterator[None]:
    """The command turns logs off for its process; the tests after this one want theirs."""
    yield
    logging.disable(logging.NOTSET)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["simulate", *words])
    return code, capsys.readouterr().out


def test_a_fenced_mode_holds_and_the_sums_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Every count has its line; nothing is named as broken."""
    code, out = said(capsys, "--seeds", "3", "--keys", "5")
    assert code == 0
    rows = dict(line.rsplit(maxsplit=1) for line in out.splitlines())
    assert (rows["mode"], rows["seeds"], rows["keys"]) == ("home", "3", "15")
    assert (rows["keys run twice"], rows["seeds that broke a property"]) == ("0", "0")


def test_naive_breaks_and_the_command_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """It is there to break: the seeds are named with their property, the exit code is 0."""
    code, out = said(capsys, "--mode", "naive", "--seeds", "8", "--seed", "40", "--json")
    told = json.loads(out)
    assert (code, told["mode"], told["first_seed"], told["seeds"]) == (0, "naive", 40, 8)
    assert told["twice"] > 0
    assert 1 in {fault["number"] for broken in told["broken"] for fault in broken["faults"]}


@pytest.mark.parametrize(("mode", "expected"), [("home", 1), ("strong", 1), ("naive", 0)])
def test_a_broken_property_of_a_fenced_mode_is_a_failure(
    mode: str, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the seed with its property, and how to see it."""
    verdict = Verdict(20, 1, 0, 0, 0, 0, 21, 20, (Fault(1, "order-3", "begun 2 times"),))
    monkeypatch.setattr(run, "_result_of", lambda seed, _setting: run.Result(seed, verdict))
    code, out = said(capsys, "--mode", mode, "--seeds", "30", "--jobs", "1")
    assert code == expected
    assert "seed 0: property 1: order-3 begun 2 times" in out
    assert "... and 10 seeds more" in out
    assert f"sluiceway simulate --mode {mode} --keys 20 --seed 0" in out


def test_one_seed_tells_its_story(capsys: pytest.CaptureFixture[str]) -> None:
    """A line an event, then the sums; as JSON, the same events with their fields. The same each time."""
    code, out = said(capsys, "--seed", "5", "--keys", "2")
    assert (code, out) == said(capsys, "--seed", "5", "--keys", "2")
    lines = out.splitlines()
    assert lines[0] == "    0.000 s  epoch 1 is us-east-1's (founding)"
    assert any("BEGINS, epoch" in line for line in lines)
    _, text = said(capsys, "--seed", "5", "--keys", "2", "--json")
    history: list[dict[str, Any]] = json.loads(text)["history"]
    assert len(history) == lines.index("")
    assert set(history[0]) == {"at_s", "kind", "region", "key", "value", "epoch"}


def test_processes_give_what_one_gives() -> None:
    """The results, in the order of the seeds, whoever made them."""
    setting = Setting(keys=3)
    assert list(run.run_seeds(range(60), setting, jobs=2)) == list(run.run_seeds(range(60), setting))


def test_a_weather_that_there_is_not_is_no_calm() -> None:
    """A kind with a slip of the pen would break nothing, and hold everything."""
    with pytest.raises(ValueError, match="no weather: 'splitt'"):
        run.play(0, Setting(weather="splitt"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seeds", "0"], "a number of seeds is a whole number from 1 to 1,000,000, not '0'"),
        (["--seeds", "many"], "not 'many'"),
        (["--seed", "-1"], "a seed is a whole number from 0 to"),
        (["--seed", "9" * 40], "a seed is a whole number from 0 to"),
        (["--seed", "\u0661"], "a seed is a whole number"),
        (["--keys", "1000000"], "a number of keys is a whole number from 1 to 10,000"),
        (["--jobs", "0"], "a number of processes"),
        (["--mode", "hope"], "invalid choice: 'hope'"),
        (["--sede", "1"], "unrecognized arguments: --sede 1"),
    ],
)
def test_wrong_words_get_a_sentence(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what is wanted instead."""
    with pytest.raises(SystemExit) as caught:
        main(["simulate", *words])
    error = capsys.readouterr().err
    assert (caught.value.code, expected in error) == (2, True)
