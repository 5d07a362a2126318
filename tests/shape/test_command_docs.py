"""The commands on the pages are taken by `sluiceway`, and the page of the simulation has what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from localcloud.cli.main import _parser
from localcloud.simulation.checker import __doc__ as properties
from tests.sim.test_regions_teeth import MUTATIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("authorizer.md", "failover.md", "regions.md", "simulation.md")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """The words of each command, without `sluiceway` and the comment behind them."""
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    whole = [block.replace("\\\n", " ") for block in blocks]  # a line that goes on
    said = [part.strip() for block in whole for line in block.splitlines() for part in re.split("[;|]", line)]
    return [shlex.split(part, comments=True)[1:] for part in said if part.startswith("sluiceway ")]


@pytest.mark.parametrize(("page", "words"), [(page, words) for page in PAGES for words in commands(page)])
def test_a_command_on_a_page_is_taken(page: str, words: list[str]) -> None:
    """Its action, flags and values, to the last word."""
    del page
    _, rest = _parser().parse_known_args(words)
    assert rest == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_for_people_has_commands(page: str) -> None:
    """So that the test above sees some."""
    assert len(commands(page)) >= 4


def test_the_simulations_options_are_all_on_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    """And no others."""
    with pytest.raises(SystemExit):
        _parser().parse_args(["simulate", "--help"])
    told = set(re.findall(r"(?<!\S)(--[a-z]+)", capsys.readouterr().out)) - {"--help"}
    page = (DOCS / "simulation.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(--[a-z]+)`", page, re.MULTILINE)) == told


def test_the_simulations_page_has_each_property_and_each_tooth() -> None:
    """As many as the checker judges; a row for each part that is taken out, and for three settings beyond it."""
    page = (DOCS / "simulation.md").read_text(encoding="utf-8")
    told, judged = (re.findall(r"^(\d)\. ", text, re.MULTILINE) for text in (page, properties or ""))
    assert told == judged
    rows = re.findall(r"^\| (.+) \|$", page.partition("## Teeth")[2], re.MULTILINE)
    assert len(rows[1:]) == len(MUTATIONS) + 3
