"""Metric math: what an expression is, read once, and its value over the metrics that it names. Pure.

A value is a number, a time series (its values by where their periods begin), or a list of series.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from localcloud.services.cloudwatch.expression_functions import (
    BINARY,
    COUNTS,
    FUNCTIONS,
    WORDS,
    BadExpression,
    Series,
    Span,
    Value,
    as_list,
    pair,
)

__all__ = ["BadExpression", "Expression", "NotServed", "Series", "Span", "Value", "parse_expression"]

MAX_CHARS: Final = 2048  # API_MetricDataQuery.html, Expression
MAX_DEPTH: Final = 50  # ours: parentheses and calls in one another
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]]))",
    re.ASCII,
)
_LEVELS: Final[Sequence[Mapping[str, str]]] = (
    {"OR": "OR", "||": "OR"},
    {"AND": "AND", "&&": "AND"},
    {sign: sign for sign in ("==", "!=", "<", "<=", ">", ">=")},
    {"+": "+", "-": "-"},
    {"*": "*", "/": "/"},
)  # the loosest first


class NotServed(Exception):
    """It names a function of CloudWatch's that is not evaluated here."""


Node: TypeAlias = "Number | Text | Name | Call"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A text as written, for METRICS."""

    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """The id of another query, or a word such as REPEAT."""

    value: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator with what it is applied to; `[` is a list."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that was read. `ids` are the queries it names; `all_metrics`: it asks for METRICS()."""

    text: str
    root: Node
    ids: frozenset[str]
    all_metrics: bool

    def value(self, known: Mapping[str, Value], metrics: Mapping[str, Series], span: Span) -> Value:
        """Its value. `known`: of every id; `metrics`: those of METRICS(). Raises BadExpression."""
        return _Evaluation(known, metrics, span).value(self.root)


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises BadExpression, NotServed."""
    if len(text) > MAX_CHARS:
        raise BadExpression(f"the expression has more than {MAX_CHARS} characters")
    root = _Parser(text).whole()
    nodes = list(_walk(root))
    ids = frozenset(node.value for node in nodes if isinstance(node, Name) and node.value not in WORDS)
    asks = any(isinstance(node, Call) and node.function in {"METRICS", "METRIC_COUNT"} for node in nodes)
    return Expression(text, root, ids, asks)


class _Parser:
    """One reading; the loosest operators first."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._operators(0)
        if self._peek() is not None:
            raise BadExpression(f"nothing is expected at {self._peek()}")
        return node

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        word = self._peek()
        if word is None:
            raise BadExpression("the expression ends too early")
        self._at += 1
        return word

    def _operators(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._power()
        node = self._operators(level + 1)
        while (sign := _LEVELS[level].get(self._peek() or "")) is not None:
            self._at += 1
            node = Call(sign, (node, self._operators(level + 1)))
        return node

    def _power(self) -> Node:
        if self._peek() == "-":
            self._at += 1
            return Call("-", (Number(0.0), self._nested(self._power)))
        base = self._single()
        if self._peek() != "^":
            return base
        self._at += 1
        return Call("^", (base, self._nested(self._power)))

    def _nested(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadExpression(f"the expression is nested more than {MAX_DEPTH} deep")
        node = read()
        self._depth -= 1
        return node

    def _single(self) -> Node:
        word = self._next()
        if word == "(":
            node = self._nested(lambda: self._operators(0))
            self._expect(")")
            return node
        if word == "[":
            return Call("[", self._list("]"))
        if word[0] in "\"'":
            return Text(word[1:-1])
        if word[0].isdigit():
            return Number(float(word))
        if not (word[0].isalpha() or word[0] == "_"):
            raise BadExpression(f"nothing is expected at {word}")
        if self._peek() != "(":
            return Name(word)
        self._at += 1
        return _call(word.upper(), self._list(")"))

    def _list(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while self._peek() != end:
            if found:
                self._expect(",")
            found.append(self._nested(lambda: self._operators(0)))
        self._at += 1
        return tuple(found)

    def _expect(self, sign: str) -> None:
        word = self._next()
        if word != sign:
            raise BadExpression(f"{sign} is expected at {word}")


class _Evaluation:
    """One evaluation over the metrics of a request."""

    def __init__(self, known: Mapping[str, Value], metrics: Mapping[str, Series], span: Span) -> None:
        self._known = known
        self._metrics = metrics
        self._span = span

    def value(self, node: Node) -> Value:
        """What a part of the expression gives."""
        if isinstance(node, Number | Text):
            return node.value
        if isinstance(node, Name):
            return self._named(node.value)
        if node.function == "METRICS":
            return self._all(node)
        if node.function in BINARY:
            return self._row(node)
        arguments = [self.value(each) for each in node.arguments]
        if node.function == "[":
            return [series for each in arguments for series in as_list(each)]
        return FUNCTIONS[node.function](arguments, self._span)

    def _row(self, node: Node) -> Value:
        """Operators in a row, from the left: a loop, for there may be a thousand."""
        row: list[Call] = []
        while isinstance(node, Call) and node.function in BINARY:
            row.append(node)
            node = node.arguments[0]
        found = self.value(node)
        for call in reversed(row):
            found = pair(BINARY[call.function], found, self.value(call.arguments[1]))
        return found

    def _named(self, name: str) -> Value:
        if name in WORDS:
            return name
        if name not in self._known:
            raise BadExpression(f"the id {name} is unknown")
        return self._known[name]

    def _all(self, node: Call) -> list[Series]:
        wanted = node.arguments[0].value if node.arguments and isinstance(node.arguments[0], Text) else ""
        return [series for name, series in self._metrics.items() if wanted in name]


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise BadExpression(f"the expression cannot be read from {text[at : at + 20]!r} on")
        at = found.end()
        word = found["name"]
        yield word.upper() if word is not None and word.upper() in {"AND", "OR"} else found[0].strip()


def _walk(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Call):
            waiting.extend(node.arguments)


def _call(function: str, arguments: tuple[Node, ...]) -> Call:
    if function not in COUNTS:
        raise NotServed(f"the metric math function {function}; it serves {', '.join(sorted(COUNTS))}")
    low, high = COUNTS[function]
    if not low <= len(arguments) <= high:
        raise BadExpression(f"{function} takes {low if low == high else f'{low} to {high}'} arguments")
    return Call(function, arguments)
