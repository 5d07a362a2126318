"""Thousands of generated patterns with events, to our matcher, moto's and MiniStack's; each difference is a named one.

moto's matcher runs here. MiniStack has an environment of its own (its pins are not ours): its answers are recorded
beside this file, and asked for again where MINISTACK_PYTHON names an interpreter that has MiniStack. Nothing listens
anywhere: the matchers are called. docs/fidelity/event-patterns.md explains each name; a difference without one fails.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPattern

from sluiceway.rules import patterns
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.patterns import InvalidPattern, Limits
from sluiceway.rules.patterns.decoding import read_event

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("event_pattern_cases", HERE / "event_pattern_cases.py")
assert SPEC is not None
assert SPEC.loader is not None
CASES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CASES)
RECORD = HERE / "event_patterns_ministack.json"
PAGE = HERE.parents[1] / "docs" / "fidelity" / "event-patterns.md"
SEEDS, COUNT = (1, 2), 6000
MATCH, MISS, REFUSED, CRASH = "1", "0", "r", "e"
ASK_MINISTACK = """
import json, logging, sys
from ministack.services import eventbridge
logging.disable(logging.CRITICAL)
for line in sys.stdin:
    pattern, event = json.loads(line)
    status, _, body = eventbridge._test_event_pattern({"EventPattern": pattern, "Event": event})
    print("r" if status != 200 else str(int(json.loads(body)["Result"])))
"""
Explains = Callable[[str, dict[str, Any], str, str], bool]


def ask_us(pattern: str, event: str) -> str:
    try:
        return MATCH if patterns.compile(pattern).matches(event) else MISS
    except InvalidPattern:
        return REFUSED


def ask_moto(pattern: str, event: str) -> str:
    try:
        return MATCH if EventPattern.load(pattern).matches_event(json.loads(event)) else MISS
    except InvalidEventPatternException:
        return REFUSED
    except Exception:  # noqa: BLE001 - whatever moto raises is moto's crash
        return CRASH


def values_of(value: Any) -> Iterator[Any]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from values_of(each)


def holds(event: dict[str, Any], test: Callable[[Any], bool]) -> bool:
    return any(map(test, values_of(event)))


def texts_of(event: dict[str, Any]) -> set[str]:
    return {value for value in values_of(event) if isinstance(value, str)}


def is_address(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+){3}|[0-9a-f:]*:[0-9a-f:]*", value) is not None


def holds_more(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict | list) for each in value)


def is_empty(value: Any) -> bool:
    return isinstance(value, dict | list) and not value


def is_inexact(value: Any) -> bool:
    return value == 2**53 + 1


MOTO: dict[str, Explains] = {
    "moto-never-refuses": lambda _pattern, _event, ours, theirs: ours == REFUSED and theirs in {MATCH, MISS},
    "moto-crashes": lambda _pattern, _event, ours, theirs: ours == REFUSED and theirs == CRASH,
    "moto-exactly": lambda pattern, _event, _ours, _theirs: '"exactly"' in pattern,
    "moto-or-beside-path": lambda pattern, _event, _ours, _theirs: '"$or"' in pattern,
    "moto-array-elements": lambda _pattern, event, _ours, _theirs: holds(event, holds_more),
    "moto-empty-is-value": lambda _pattern, event, _ours, _theirs: holds(event, is_empty),
    "moto-inexact": lambda _pattern, event, _ours, _theirs: holds(event, is_inexact),
    "moto-booleans": lambda _pattern, event, _ours, _theirs: holds(event, lambda value: isinstance(value, bool)),
    "moto-addresses": lambda _pattern, event, _ours, _theirs: holds(event, is_address),
    "moto-newline": lambda pattern, event, _ours, _theirs: "wildcard" in pattern and "a\nb" in texts_of(event),
}
MINISTACK: dict[str, Explains] = {
    "ministack-complexity": lambda pattern, _event, ours, _theirs: ours == REFUSED and "*:*:*:*:*:" in pattern,
    "ministack-sharp-s": lambda pattern, event, _ours, _theirs: (
        "ignore-case" in pattern and not {"STRASSE", "straße"}.isdisjoint(texts_of(event))
    ),
    "ministack-inexact": lambda pattern, event, _ours, _theirs: "numeric" in pattern and holds(event, is_inexact),
    "ministack-mapped": lambda pattern, event, _ours, _theirs: "cidr" in pattern and "::ffff:a00:1" in texts_of(event),
    "ministack-zeros": lambda pattern, event, _ours, _theirs: "cidr" in pattern and "010.0.0.1" in texts_of(event),
    "ministack-path-and-below": lambda pattern, _event, _ours, _theirs: '"$or"' in pattern,
}


def name_differences(known: dict[str, Explains], theirs: list[str], pairs: list[tuple[str, str]]) -> Counter[str]:
    """How often each name explains a difference. Fails for a difference that none explains."""
    named = Counter[str]()
    for (pattern, event), their in zip(pairs, theirs, strict=True):
        ours = ask_us(pattern, event)
        if ours == their:
            continue
        names = [name for name, explains in known.items() if explains(pattern, json.loads(event), ours, their)]
        assert names, (pattern, event, ours, their)
        named[names[0]] += 1
    return named


@pytest.fixture(params=SEEDS)
def generated(request: pytest.FixtureRequest) -> tuple[int, list[tuple[str, str]]]:
    """A seed and its pairs of pattern and event."""
    return request.param, list(CASES.Generator(request.param).pairs(COUNT))


def test_every_difference_from_moto_is_a_named_one(generated: tuple[int, list[tuple[str, str]]]) -> None:
    """Of 6,000 pairs a seed one in ten at most differs, most of them patterns that moto should have refused."""
    pairs = generated[1]
    named = name_differences(MOTO, [ask_moto(*pair) for pair in pairs], pairs)
    assert sum(named.values()) < 600, named
    assert sum(named.values()) - named["moto-never-refuses"] - named["moto-crashes"] < 240, named


def test_every_difference_from_ministack_is_a_named_one(generated: tuple[int, list[tuple[str, str]]]) -> None:
    """Of 6,000 pairs a seed, one in three hundred at most differs from what MiniStack answered."""
    seed, pairs = generated
    recorded: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    named = name_differences(MINISTACK, list(recorded["answers"][str(seed)]), pairs)
    assert sum(named.values()) < COUNT // 300, named


def test_the_record_is_what_ministack_answers(generated: tuple[int, list[tuple[str, str]]]) -> None:
    """Where MINISTACK_PYTHON names its interpreter; RECORD_MINISTACK=1 writes what it says."""
    python = os.environ.get("MINISTACK_PYTHON")
    if not python:
        pytest.skip("MINISTACK_PYTHON does not name an interpreter with MiniStack")
    seed, pairs = generated
    done = subprocess.run(
        [python, "-c", ASK_MINISTACK],
        input="\n".join(map(json.dumps, pairs)),
        capture_output=True,
        text=True,
        check=True,
        env={"BIND_HOST": "127.0.0.1", "PATH": os.environ["PATH"]},
    )
    said = "".join(done.stdout.split())
    recorded = (
        json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"version": "1.5.33", "answers": {}}
    )
    if os.environ.get("RECORD_MINISTACK"):
        recorded["answers"][str(seed)] = said
        RECORD.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")
    assert said == recorded["answers"][str(seed)]


def test_the_index_answers_as_its_patterns_do(generated: tuple[int, list[tuple[str, str]]]) -> None:
    """All the patterns of a seed in one index, asked with some of its events."""
    pairs = generated[1]
    index, single = PatternIndex[int](), {}
    for number, (pattern, _) in enumerate(pairs):
        if ask_us(pattern, "{}") != REFUSED:
            index.add(number, pattern)
            single[number] = patterns.compile(pattern)
    for _, event in pairs[:100]:
        decoded = read_event(event)
        assert index.match(event) == {number for number, pattern in single.items() if pattern.matches(decoded)}


def test_the_cases_are_telling(generated: tuple[int, list[tuple[str, str]]]) -> None:
    """Enough match, enough are refused, and each operator decides."""
    pairs = generated[1]
    answers = Counter(ask_us(*pair) for pair in pairs)
    assert answers[MATCH] > COUNT // 15
    assert answers[REFUSED] > COUNT // 30
    matched = "".join(pattern for pattern, event in pairs if ask_us(pattern, event) == MATCH)
    assert [name for name in patterns.OPERATORS if not all(f'"{word}"' in matched for word in name.split())] == []
    assert Limits().wildcard_complexity == 10


def test_every_named_difference_is_on_the_page() -> None:
    """The page of known differences explains each name that these tests accept."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in (*MOTO, *MINISTACK) if f"`{name}`" not in page] == []
