"""docs/authorizer.md: its lists are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sluiceway.rules.tokens.refusals import REASONS
from sluiceway.rules.tokens.signatures import ALGORITHMS
from sluiceway.rules.tokens.trust import read_trust

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "authorizer.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    """The text below one heading."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def first_column(name: str) -> str:
    """The first cells of a section's table."""
    return "".join(re.findall(r"^\| .*? \|", section(name), flags=re.MULTILINE))


def test_the_reasons_are_those_of_the_code():
    """Each has its line, once."""
    listed = re.findall(r"^\| `([a-z-]+)` \|", section("Reasons"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(REASONS)


def test_the_algorithms_are_those_of_the_code():
    """As they are listed in the first guarantee."""
    found = re.search(r"closed list \((.*?) with Ed25519\)", TEXT, flags=re.DOTALL)
    assert found is not None
    assert set(re.findall(r"\w+\d+|EdDSA", found[1])) == set(ALGORITHMS)


def test_the_settings_are_those_that_are_read():
    """Every variable that the code names is in the table, and the other way round."""
    listed = set(
        re.findall(r"`([A-Z_]+)`", "".join(re.findall(r"^\| .*? \|", section("Settings"), flags=re.MULTILINE)))
    )
    layer = ROOT / "layers" / "sluiceway" / "sluiceway" / "flows" / "authorize" / "opening.py"
    code = layer.read_text() + (ROOT / "functions" / "authorize_request" / "app.py").read_text()
    read = set(re.findall(r'settings\.\w+\(\s*"([A-Z_]+)"', code))
    assert listed == read


def test_the_example_is_read():
    """The list of issuers that is shown is one."""
    example: Any = re.search(r"```json\n(.*?)```", section("Settings"), flags=re.DOTALL)
    (issuer,) = read_trust(json.loads(example[1]), "TOKEN_ISSUERS")
    assert issuer.keys_url == "https://login.example/jwks.json"


def test_the_metrics_are_those_that_are_counted():
    """By name, in every file of the flow."""
    listed = set(
        re.findall(r"`([A-Z]\w+)`", "".join(re.findall(r"^\| .*? \|", section("Metrics and log"), flags=re.MULTILINE)))
    )
    folder = ROOT / "layers" / "sluiceway" / "sluiceway" / "flows" / "authorize"
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    assert listed == set(re.findall(r'count\("(\w+)"', code))
