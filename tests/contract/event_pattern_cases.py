"""Generated event patterns with events, for the differential tests: the same for a seed on every Python.

Events are EventBridge's: an envelope, and a `detail` of small vocabulary, so that about one pair in five matches. Some
patterns are refused ones. Patterns and events are JSON text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

TEXTS = ["", "a", "ab", "abc", "ABC", "Abd", "b", "bc", "a*b", "a\nb", "straße", "STRASSE", "Ⱥ"]
ADDRESSES = ["10.0.0.1", "10.0.0.200", "192.0.2.1", "2001:db8::1", "2001:0db8:0:0:0:0:0:1", "::ffff:a00:1", "010.0.0.1"]
NUMBERS = [0, 1, -1, 5, 300, 2.5, 9007199254740992, 9007199254740993]
RANGES = [["=", 300], ["<", 5], [">", 0], [">=", 0, "<", 300], [">", -5, "<=", 5]]
NAMES = ["a", "b", "c", "d"]


class Generator:
    """Pairs of a pattern and an event."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pairs(self, count: int) -> Iterator[tuple[str, str]]:
        """`count` of them."""
        for _ in range(count):
            yield json.dumps(self.pattern()), json.dumps(self.event())

    def scalar(self) -> Any:
        return self.random.choice(
            [self.text, self.text, lambda: self.random.choice(NUMBERS), lambda: self.random.choice([None, True, False])]
        )()

    def text(self) -> str:
        return self.random.choice(TEXTS if self.random.random() < 0.8 else ADDRESSES)

    def value(self, depth: int) -> Any:
        kind = self.random.random()
        if depth == 0 or kind < 0.65:
            return self.scalar()
        if kind < 0.8:
            return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        return {self.name(): self.value(depth - 1) for _ in range(self.random.randrange(4))}

    def name(self) -> str:
        return "a.b" if self.random.random() < 0.03 else self.random.choice(NAMES)

    def event(self) -> dict[str, Any]:
        return {
            "version": "0",
            "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
            "detail-type": self.random.choice(["Order", "order", "Refund"]),
            "source": self.random.choice(["shop", "shop.eu", "till"]),
            "account": "123456789012",
            "time": "2026-11-27T18:43:48Z",
            "region": "us-east-1",
            "resources": self.random.sample(["arn:1", "arn:2", "arn:3"], self.random.randrange(3)),
            "detail": {name: self.value(3) for name in NAMES[: self.random.randrange(1, 5)]},
        }

    def pattern(self) -> dict[str, Any]:
        made: dict[str, Any] = {"detail": self.fields(2)}
        if self.random.random() < 0.3:
            made["source"] = [self.random.choice(["shop", {"prefix": "shop"}, {"anything-but": "till"}])]
        if self.random.random() < 0.1:
            made["resources"] = ["arn:1"]
        if self.random.random() < 0.05:
            made["$or"] = [{"detail-type": ["Order"]}, {"detail": self.fields(1)}]
        return made

    def fields(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for _ in range(self.random.choice([1, 1, 2])):
            inner = depth > 0 and self.random.random() < 0.25
            made[self.name()] = self.fields(depth - 1) if inner else self.list()
        if depth > 0 and self.random.random() < 0.1:
            made["$or"] = [self.fields(depth - 1) for _ in range(self.random.choice([2, 2, 3]))]
        return made

    def list(self) -> list[Any]:
        return [self.alternative() for _ in range(self.random.choice([1, 1, 1, 2, 3]))]

    def alternative(self) -> Any:
        if self.random.random() < 0.35:
            return self.scalar()
        if self.random.random() < 0.03:
            return self.random.choice(WRONG)
        return self.random.choice(OPERATORS)(self)

    def several(self) -> Any:
        texts = [self.text() or "x" for _ in range(self.random.choice([1, 2]))]
        return texts[0] if self.random.random() < 0.5 else texts


def folded(name: str) -> Callable[[Generator], Any]:
    return lambda make: {name: {"equals-ignore-case": make.text()}}


def excluded(name: str) -> Callable[[Generator], Any]:
    return lambda make: {"anything-but": {name: make.several()}}


OPERATORS: list[Callable[[Generator], Any]] = [
    lambda make: {"prefix": make.text()},
    lambda make: {"suffix": make.text()},
    folded("prefix"),
    folded("suffix"),
    lambda make: {"equals-ignore-case": make.text()},
    lambda make: {"wildcard": make.random.choice(["*", "a*", "*c", "a*b", "*b*", "abc", "a\\*b", "*\\\\*", "A*"])},
    lambda make: {"anything-but": make.several()},
    lambda make: {"anything-but": make.random.choice([300, [0, 1], [5, 2.5]])},
    excluded("prefix"),
    excluded("suffix"),
    excluded("equals-ignore-case"),
    lambda make: {"anything-but": {"wildcard": make.random.choice(["a*", "*b*", ["*c", "x*"]])}},
    lambda make: {
        "numeric": make.random.choice([["=", 300], ["<", 5], [">", 0], [">=", 0, "<", 300], [">", -5, "<=", 5]])
    },
    lambda make: {"exists": make.random.random() < 0.5},
    lambda make: {"exists": make.random.random() < 0.5},
    lambda make: {"cidr": make.random.choice(["10.0.0.0/24", "10.0.0.77/24", "0.0.0.0/0", "2001:db8::/32", "::/0"])},
    lambda make: {"exactly": make.text()},
]
WRONG: list[Any] = [
    {},
    [],
    ["a"],
    {"prefix": 1},
    {"prefix": ["a"]},
    {"suffix": None},
    {"wildcard": "a**b"},
    {"wildcard": "a\\b"},
    {"wildcard": ["a*"]},
    {"wildcard": "*:*:*:*:*:event-bus/*"},
    {"numeric": []},
    {"numeric": ["<", "5"]},
    {"numeric": [">", 5, "<", 1]},
    {"numeric": ["<", 5, ">", 1]},
    {"numeric": ["=", 9007199254740993]},
    {"anything-but": []},
    {"anything-but": ["a", 1]},
    {"anything-but": [None]},
    {"anything-but": {"prefix": ""}},
    {"anything-but": {"exists": True}},
    {"anything-but": {"prefix": []}},
    {"exists": "true"},
    {"cidr": "10.0.0.0/32"},
    {"cidr": "10.0.0.0"},
    {"cidr": "2001:db8::1/128"},
    {"regex": "a"},
    {"prefix": "a", "suffix": "b"},
    {"equals-ignore-case": ["a"]},
]
