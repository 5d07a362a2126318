"""Update expressions: the actions, and their parser with AWS's checks.

Evaluates nothing: `update_effects` applies actions to items.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from localcloud.services.dynamodb.expressions.bindings import Bindings
from localcloud.services.dynamodb.expressions.conditions import Literal
from localcloud.services.dynamodb.expressions.faults import Fault, Faults
from localcloud.services.dynamodb.expressions.lexer import Cursor
from localcloud.services.dynamodb.expressions.paths import Path, check_disjoint, parse_path
from localcloud.services.dynamodb.values import Value

__all__ = ["Action", "Arithmetic", "IfNotExists", "ListAppend", "Source", "Update", "parse_update"]

_CONDITION_FUNCTIONS: Final = frozenset(
    {"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"}
)
_SECTIONS: Final = ("SET", "REMOVE", "ADD", "DELETE")
_TYPE_WORDS: Final = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "BOOL": "BOOLEAN",
    "NULL": "NULL",
    "SS": "STRING_SET",
    "NS": "NUMBER_SET",
    "BS": "BINARY_SET",
    "L": "LIST",
    "M": "MAP",
}
_SECTION_TYPES: Final = {"ADD": {"N", "SS", "NS", "BS"}, "DELETE": {"SS", "NS", "BS"}}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left + right` or `left - right`."""

    operator: str
    left: Source
    right: Source


@dataclass(frozen=True, slots=True)
class IfNotExists:
    """`if_not_exists(path, otherwise)`."""

    path: Path
    otherwise: Source


@dataclass(frozen=True, slots=True)
class ListAppend:
    """`list_append(first, second)`."""

    first: Source
    second: Source


Source = Path | Literal | Arithmetic | IfNotExists | ListAppend
"""Where a SET takes its value from."""


@dataclass(frozen=True, slots=True)
class Action:
    """One clause: `section` is SET, REMOVE, ADD or DELETE; `source` is None for REMOVE, a Literal for ADD, DELETE."""

    section: str
    path: Path
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """The clauses of an update expression, in the order of the text."""

    actions: tuple[Action, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The places that change."""
        return tuple(action.path for action in self.actions)


def parse_update(text: str, bindings: Bindings) -> Update:
    """The clauses of an UpdateExpression. Raises DynamoError in AWS's words."""
    faults = Faults("UpdateExpression")
    update = _Parser(Cursor(text, faults), bindings).parse_whole()
    check_disjoint(update.paths, faults)
    faults.settle()
    return update


class _Parser:
    def __init__(self, cursor: Cursor, bindings: Bindings) -> None:
        self._cursor = cursor
        self._bindings = bindings
        self._faults = cursor.faults

    def parse_whole(self) -> Update:
        actions: list[Action] = []
        seen: set[str] = set()
        while self._cursor.token.kind != "end":
            section = self._cursor.keyword()
            if section not in _SECTIONS:
                self._cursor.fail()
            self._cursor.take()
            if section in seen:
                message = f'The "{section}" section can only be used once in an update expression;'
                self._faults.note(Fault.SECTION_TWICE, message)
            seen.add(section)
            actions.append(self._parse_action(section))
            while self._cursor.accept(","):
                actions.append(self._parse_action(section))
        return Update(tuple(actions))

    def _parse_action(self, section: str) -> Action:
        path = self._parse_path()
        if section == "REMOVE":
            return Action(section, path)
        if section == "SET":
            self._cursor.expect("=")
            return Action(section, path, self._parse_sum())
        if self._cursor.token.kind != "value":
            self._cursor.fail()
        literal = self._parse_literal()
        if literal.value is not None and literal.value.type not in _SECTION_TYPES[section]:
            self._faults.note(
                Fault.SECTION_TYPE,
                f"Incorrect operand type for operator or function; operator: {section}, "
                f"operand type: {_TYPE_WORDS[literal.value.type]}, typeSet: ALLOWED_FOR_{section}_OPERAND",
            )
        return Action(section, path, literal)

    def _parse_sum(self) -> Source:
        left = self._parse_term()
        token = self._cursor.token
        if token.kind != "mark" or token.text not in {"+", "-"}:
            return left
        self._cursor.take()
        right = self._parse_term()
        for side in (left, right):
            kind = _source_type(side)
            if kind not in {None, "N"}:
                self._wrong_type(token.text, str(kind))
        return Arithmetic(token.text, left, right)

    def _parse_term(self) -> Source:
        token = self._cursor.token
        if token.kind == "mark" and token.text == "(":
            if self._cursor.is_double_group():
                self._faults.stop("The expression has redundant parentheses;")
            self._cursor.take()
            inner = self._parse_sum()
            self._cursor.expect(")")
            return inner
        if token.kind == "value":
            return self._parse_literal()
        if token.kind == "name" and self._cursor.ahead().text == "(":
            return self._parse_call()
        return self._parse_path()

    def _parse_call(self) -> Source:
        name = self._cursor.take().text
        self._cursor.expect("(")
        operands = [self._parse_term()]
        while self._cursor.accept(","):
            operands.append(self._parse_term())
        self._cursor.expect(")")
        if name not in {"if_not_exists", "list_append"}:
            known = name in _CONDITION_FUNCTIONS
            message = "The function is not allowed in an update expression" if known else "Invalid function name"
            self._faults.note(Fault.FUNCTION_NAME, f"{message}; function: {name}")
            return Literal(None)
        if len(operands) != 2:
            self._faults.note(
                Fault.OPERAND_COUNT,
                "Incorrect number of operands for operator or function; "
                f"operator or function: {name}, number of operands: {len(operands)}",
            )
            return Literal(None)
        return self._make_call(name, operands[0], operands[1])

    def _make_call(self, name: str, first: Source, second: Source) -> Source:
        if isinstance(second, ListAppend) or (name == "list_append" and isinstance(first, ListAppend)):
            message = "The function is not allowed to be used this way in an expression; function: list_append"
            self._faults.note(Fault.MISUSED_FUNCTION, message)
        if name == "list_append":
            for side in (first, second):
                kind = _source_type(side)
                if kind not in {None, "L"}:
                    self._wrong_type(name, str(kind))
            return ListAppend(first, second)
        if not isinstance(first, Path):
            message = f"Operator or function requires a document path; operator or function: {name}"
            self._faults.note(Fault.NEEDS_PATH, message)
            return Literal(None)
        return IfNotExists(first, second)

    def _parse_literal(self) -> Literal:
        return Literal(self._bindings.value(self._cursor.take().text, self._faults))

    def _parse_path(self) -> Path:
        if self._cursor.keyword() in _SECTIONS:
            self._cursor.fail()
        return parse_path(self._cursor, self._bindings)

    def _wrong_type(self, operator: str, kind: str) -> None:
        self._faults.note(
            Fault.OPERAND_TYPE,
            f"Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}",
        )


def _source_type(source: Source) -> str | None:
    """The type that is known before any item is seen."""
    match source:
        case Literal(Value(kind, _)):
            return kind
        case ListAppend():
            return "L"
        case Arithmetic():
            return "N"
        case _:
            return None
