"""Filter policies against moto's: the corpus of the unit tests and thousands of generated ones, both scopes.

moto's own check and matcher are called, nothing listens anywhere. docs/fidelity/sns.md explains each name; a difference
without one fails.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.core.exceptions import ServiceException
from moto.sns.models import SNSBackend
from moto.sns.utils import FilterPolicyMatcher

from sluiceway.rules.filter_policies import FilterPolicy, Scope
from sluiceway.rules.patterns import InvalidPattern
from tests.unit.test_filter_policies import ATTRIBUTES, BODIES, INVALID, Value, value

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "sns.md"
SEEDS, COUNT = (1, 2), 4000
KEPT, DROPPED, REFUSED, CRASH = "1", "0", "r", "e"
Case = tuple[str, Scope, str, dict[str, Value]]  # policy, scope, body, attributes
Explains = Callable[[Case, str, str], bool]


def ask_us(case: Case) -> str:
    policy, scope, body, attributes = case
    try:
        return KEPT if FilterPolicy(policy, scope).keep(body, attributes) else DROPPED
    except InvalidPattern:
        return REFUSED


def ask_moto(case: Case) -> str:
    policy, scope, body, attributes = case
    try:
        decoded = json.loads(policy)
        backend: Any = SNSBackend("us-east-1", "123456789012")
        backend._validate_filter_policy(decoded, scope)
        told = {name: {"Type": each.data_type, "Value": each.value} for name, each in attributes.items()}
        return KEPT if FilterPolicyMatcher(decoded, scope).matches(told, body) else DROPPED
    except (ServiceException, json.JSONDecodeError):
        return REFUSED
    except Exception:  # noqa: BLE001 - whatever moto raises is moto's crash
        return CRASH


def said(case: Case) -> str:
    """Everything that a message says."""
    return case[2] + json.dumps([str(each) for each in case[3].values()])


def is_array(case: Case) -> bool:
    return "[" in case[2] or any(each.data_type.endswith(".Array") for each in case[3].values())


MOTO: dict[str, Explains] = {
    "moto-never-refuses": lambda _case, ours, theirs: ours == REFUSED and theirs in {KEPT, DROPPED},
    "moto-crashes": lambda _case, _ours, theirs: theirs == CRASH,
    "moto-no-cidr-no-wildcard": lambda case, _ours, theirs: (
        theirs == REFUSED and ('{"cidr"' in case[0] or '{"wildcard"' in case[0])
    ),
    "moto-anything-but-prefix-only": lambda case, _ours, _theirs: (
        '"anything-but": {"wildcard"' in case[0] or '"anything-but": {"prefix": [' in case[0]
    ),
    "moto-or": lambda case, _ours, _theirs: '"$or"' in case[0],
    "moto-null": lambda case, _ours, _theirs: "null" in case[0] or "null" in case[2],
    "moto-booleans": lambda case, _ours, _theirs: (
        any(word in case[0] for word in ("true,", "true]", "false,", "false]")) or "true" in said(case)
    ),
    "moto-no-attribute": lambda case, _ours, _theirs: (
        '"exists"' in case[0]
        and (case[2] in {"", "{}"} and not any(each.value.__class__ is str for each in case[3].values()))
    ),
    "moto-first-condition-ends": lambda case, ours, theirs: (
        (ours, theirs) == (KEPT, DROPPED)
        and ('"exists": false' in case[0] or re.search(r"\[(-?[\d.]+, )+[{\"]", case[0]) is not None)
    ),
    "moto-ignore-case": lambda case, _ours, _theirs: "ignore-case" in case[0],
    "moto-dots": lambda case, _ours, _theirs: "a.b" in case[0] or "object.nested" in case[0],
    "moto-arrays": lambda case, _ours, _theirs: is_array(case),
    "moto-empty-exists": lambda case, _ours, _theirs: '"exists"' in case[0] and '""' in case[2],
    "moto-empty-object": lambda case, _ours, _theirs: "{}" in case[2] and '"exists"' in case[0],
    "moto-prefix-of-numbers": lambda case, ours, theirs: (
        '"anything-but": {"prefix"' in case[0] and (ours, theirs) == (KEPT, DROPPED)
    ),
    "moto-numbers": lambda case, _ours, _theirs: (
        "e400" in case[2] or any(each.data_type.startswith("Number.") for each in case[3].values())
    ),
}


def corpus() -> Iterator[Case]:
    for policy, good, bad in ATTRIBUTES:
        for each in (*good, *bad):
            yield json.dumps(policy), "MessageAttributes", "", {name: value(given) for name, given in each.items()}
    for policy, good, bad in BODIES:
        for each in (*good, *bad):
            yield json.dumps(policy), "MessageBody", each if isinstance(each, str) else json.dumps(each), {}
    for policy, scope, _, _ in INVALID:
        yield policy if isinstance(policy, str) else json.dumps(policy), scope, "{}", {}


WORDS = ("x", "xy", "yx", "X", "test-1", "10.0.0.1", "é")
NUMBERS = (0, 1, 1.5, 2, -3, 100)


class Generator:
    """Policies and messages over few names and values, so that they meet; one policy in eight is not a valid one."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def cases(self, count: int) -> Iterator[Case]:
        for _ in range(count):
            if self.chance.random() < 0.5:
                attributes = {name: value(self.scalar()) for name in "abc" if self.chance.random() < 0.6}
                if self.chance.random() < 0.3:
                    attributes["a"] = value([self.scalar() for _ in range(self.chance.randint(0, 3))])
                yield json.dumps(self.policy(nested=False)), "MessageAttributes", "", attributes
            else:
                yield json.dumps(self.policy(nested=True)), "MessageBody", json.dumps(self.body(2)), {}

    def scalar(self) -> Any:
        return self.chance.choice((*WORDS, *NUMBERS))

    def body(self, depth: int) -> Any:
        body: dict[str, Any] = {}
        for name in "abc":
            roll = self.chance.random()
            if roll < 0.2:
                continue
            if roll < 0.4 and depth:
                body[name] = self.body(depth - 1)
            elif roll < 0.55:
                body[name] = [self.scalar() for _ in range(self.chance.randint(0, 3))]
            elif roll < 0.6 and depth:
                body[name] = [self.body(depth - 1) for _ in range(2)]
            else:
                body[name] = self.chance.choice((None, True, "")) if roll > 0.97 else self.scalar()
        return body

    def policy(self, *, nested: bool) -> dict[str, Any]:
        names = self.chance.sample("abc", self.chance.randint(1, 2))
        policy: dict[str, Any] = {}
        for name in names:
            if nested and self.chance.random() < 0.3:
                policy[name] = {self.chance.choice("abc"): self.conditions()}
            else:
                policy[name] = self.conditions()
        if self.chance.random() < 0.1:
            policy["$or"] = [{"a": self.conditions()}, {"b": self.conditions()}]
        if self.chance.random() < 0.05:
            policy["c"] = self.chance.choice(("x", {}, [], [["x"]], [{"wrong": 1}], [{"prefix": 1}], {"b": {"a": "x"}}))
        return policy

    def conditions(self) -> list[Any]:
        return [self.condition() for _ in range(self.chance.choice((1, 1, 2, 3)))]

    def condition(self) -> Any:
        words = [self.chance.choice(WORDS) for _ in range(2)]
        low, high = sorted(self.chance.sample(NUMBERS, 2))
        return self.chance.choice(
            (
                *(self.scalar(), self.scalar()),
                self.chance.choice((None, True)),
                {"prefix": words[0][:1]},
                {"suffix": words[0][-1:]},
                {"equals-ignore-case": words[0]},
                {"exists": self.chance.random() < 0.5},
                {"anything-but": words[0]},
                {"anything-but": words},
                {"anything-but": [low, high]},
                {"anything-but": {"prefix": words[0][:1]}},
                {"anything-but": {"suffix": "x"}},
                {"anything-but": {"wildcard": "*x"}},
                {"numeric": [self.chance.choice(("=", "<", "<=", ">", ">=")), low]},
                {"numeric": [">", low, "<=", high]},
                {"numeric": [">", high, "<", low]},
                {"wildcard": "*x*"},
                {"cidr": "10.0.0.0/8"},
            )
        )


def name_differences(cases: list[Case]) -> Counter[str]:
    """How often each name explains a difference. Fails for a difference that none explains."""
    named = Counter[str]()
    for case in cases:
        ours, theirs = ask_us(case), ask_moto(case)
        if ours == theirs:
            continue
        names = [name for name, explains in MOTO.items() if explains(case, ours, theirs)]
        assert names, (case, ours, theirs)
        named[names[0]] += 1
    return named


def test_every_difference_of_the_corpus_is_a_named_one() -> None:
    """Of both scopes, refusals among them; most of the corpus is where moto is known to err."""
    cases = list(corpus())
    named = name_differences(cases)
    assert sum(named.values()) < len(cases) // 2, named


@pytest.mark.parametrize("seed", SEEDS)
def test_every_difference_of_generated_policies_is_a_named_one(seed: int) -> None:
    """Of 4,000 a seed, those of operators and shapes that moto has are nearly all the same."""
    cases = list(Generator(seed).cases(COUNT))
    named = name_differences(cases)
    known_lacks = ("moto-never-refuses", "moto-crashes", "moto-no-cidr-no-wildcard", "moto-anything-but-prefix-only")
    rest = sum(named.values()) - sum(named[name] for name in (*known_lacks, "moto-or", "moto-null", "moto-arrays"))
    assert rest < COUNT // 12, named


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cases_are_telling(seed: int) -> None:
    """Enough are kept, enough are refused, and each operator decides."""
    cases = list(Generator(seed).cases(COUNT))
    answers = Counter(ask_us(case) for case in cases)
    assert min(answers[KEPT], answers[REFUSED]) > COUNT // 20
    kept = "".join(case[0] for case in cases if ask_us(case) == KEPT)
    operators = (
        "prefix",
        "suffix",
        "equals-ignore-case",
        "exists",
        "anything-but",
        "numeric",
        "wildcard",
        "cidr",
        "$or",
    )
    assert [name for name in operators if f'"{name}"' not in kept] == []


def test_every_named_difference_is_on_the_page() -> None:
    """The page of known differences explains each name that these tests accept, and the tests need each."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in MOTO if f"`{name}`" not in page] == []
    used = name_differences([*corpus(), *(case for seed in SEEDS for case in Generator(seed).cases(COUNT))])
    assert [name for name in MOTO if not used[name]] == []
