"""The tree of a parsed template: plain data. Owns the shapes; knows nothing of how they are read or evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Binary",
    "Block",
    "Break",
    "Call",
    "Define",
    "EscapedReference",
    "Expression",
    "Foreach",
    "If",
    "Index",
    "Interpolated",
    "ListOf",
    "Literal",
    "MapOf",
    "Not",
    "Property",
    "RangeOf",
    "Reference",
    "Set",
    "Statement",
    "Step",
    "Stop",
    "Text",
]


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a boolean or a string without references."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A double-quoted string that is a template of its own."""

    block: Block


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class RangeOf:
    """`[1..n]`, both ends included, falling where the first is the larger."""

    first: Expression
    last: Expression
    line: int


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{"k": v}`."""

    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class Property:
    """`.name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`.name(arguments)`."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`[key]`."""

    key: Expression


@dataclass(frozen=True, slots=True)
class Reference:
    """`$name` and its steps; `quiet` is the `!`; `source` is how it is written, for messages."""

    name: str
    steps: tuple[Step, ...]
    quiet: bool
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """`left operator right`; the operator in its symbol form."""

    operator: str
    left: Expression
    right: Expression
    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is written as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class EscapedReference:
    """`\\$name`: written without its backslash where the reference has a value, as it stands where it has none."""

    reference: Reference
    backslashes: int


@dataclass(frozen=True, slots=True)
class Set:
    """`#set($target = value)`."""

    target: Reference
    value: Expression


@dataclass(frozen=True, slots=True)
class Define:
    """`#define($name)`: the block stands for itself, and is rendered wherever `$name` is."""

    name: str
    body: Block


@dataclass(frozen=True, slots=True)
class If:
    """`#if` and `#elseif` branches in order, and the `#else` block (empty where absent)."""

    branches: tuple[tuple[Expression, Block], ...]
    otherwise: Block


@dataclass(frozen=True, slots=True)
class Foreach:
    """`#foreach($name in source)`."""

    name: str
    source: Expression
    body: Block
    line: int


@dataclass(frozen=True, slots=True)
class Stop:
    """`#stop`: the template ends here."""


@dataclass(frozen=True, slots=True)
class Break:
    """`#break`: the innermost `#foreach` ends here (the template, outside one)."""


Step: TypeAlias = Property | Call | Index
Expression: TypeAlias = Literal | Interpolated | ListOf | RangeOf | MapOf | Reference | Not | Binary
Statement: TypeAlias = Text | EscapedReference | Reference | Set | If | Foreach | Define | Stop | Break
Block: TypeAlias = tuple[Statement, ...]
