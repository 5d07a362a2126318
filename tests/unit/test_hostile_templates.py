"""Templates written to hang, to exhaust or to escape: each is refused in words, at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud.services.logs.files import LogFiles, log_path
from localcloud.services.logs.model import LogEvent
from localcloud.template.errors import TemplateError
from localcloud.template.parameters import read_parameters
from localcloud.template.source import MAX_DEPTH, parse_template

NINE = ",".join(["*{0}"] * 9)
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{NINE.format(chr(97 + level))}]\n" for level in range(12)
)
MERGES = "a: &a {k: x}\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} {{<<: [{NINE.format(chr(97 + level))}]}}\n" for level in range(12)
)


def _nested_merges() -> str:
    text = "{k: x}"
    for level in range(12):
        text = f"{{<<: [&z{level} {text}{f', *z{level}' * 8}]}}"
    return text


def test_an_alias_bomb_is_measured_and_not_written_out() -> None:
    """A few lines that stand for billions: each object is looked at once, and the size is that of the whole."""
    with pytest.raises(TemplateError, match=r"t\.yaml: has \d{13,} characters with its aliases written out"):
        parse_template(BOMB, name="t.yaml")


@pytest.mark.parametrize("text", [MERGES, _nested_merges()], ids=["one after the other", "inside each other"])
def test_merges_do_not_multiply(text: str) -> None:
    """A key that is merged a thousand times is there once."""
    assert '"k": "x"' in json.dumps(parse_template(text, name="t.yaml"))


def test_a_merge_of_keys_that_are_no_text_is_named() -> None:
    """Merged keys are keys as any other."""
    with pytest.raises(TemplateError, match="a key must be text"):
        parse_template("a: {<<: {[b]: c}}", name="t.yaml")


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 5000])
def test_a_template_without_a_floor_is_refused(depth: int) -> None:
    """Whatever reads it after this recurses."""
    with pytest.raises(TemplateError, match=r"t\.yaml: is nested"):
        parse_template("[" * depth + "]" * depth, name="t.yaml")


def test_aliases_and_depth_within_reason_are_served() -> None:
    """Sharing a few values is what aliases are for."""
    assert parse_template("{a: &a [1], b: [*a, *a]}", name="t") == {"a": [1], "b": [[1], [1]]}
    parse_template("[" * MAX_DEPTH + "]" * MAX_DEPTH, name="t")


def test_a_pattern_that_is_no_regular_expression_is_named() -> None:
    """The parameter and the place in its pattern, not a traceback."""
    with pytest.raises(TemplateError, match=r"P\.AllowedPattern: is not a regular expression: missing \)"):
        read_parameters({"Parameters": {"P": {"Type": "String", "AllowedPattern": "(("}}})


def test_the_file_of_a_log_group_stays_in_its_folder_and_fits(tmp_path: Path) -> None:
    """Names with dots and slashes do not climb; names of 512 characters have files of their own."""
    long = "/" + "g" * 510
    files = LogFiles(tmp_path / "logs")
    for group in ("/../../x", f"{long}1", f"{long}2"):
        files.write(LogEvent(group, "s", 0, group))
        assert log_path(tmp_path / "logs", group).read_text() == f"{group}\n"
    files.close()
    assert {path.parent for path in tmp_path.rglob("*.log")} == {tmp_path / "logs"}
