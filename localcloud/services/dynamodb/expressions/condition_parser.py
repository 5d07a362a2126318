"""Parser of condition, filter and key condition expressions, with AWS's checks of their operands.

Precedence, high to low: comparison, IN, BETWEEN, functions, parentheses, NOT, AND, OR. Evaluates nothing.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from localcloud.services.dynamodb.expressions.bindings import Bindings
from localcloud.services.dynamodb.expressions.conditions import (
    ORDERED_TYPES,
    Between,
    Call,
    Combined,
    Compare,
    Condition,
    In,
    Literal,
    Not,
    Operand,
    Size,
)
from localcloud.services.dynamodb.expressions.faults import Fault, Faults
from localcloud.services.dynamodb.expressions.lexer import Cursor
from localcloud.services.dynamodb.expressions.paths import Path, parse_path
from localcloud.services.dynamodb.values import Value, encode_value

__all__ = ["operand_type", "parse_condition"]

MAX_CHOICES: Final = 100  # Constraints.html, "Maximum number of operands for the IN comparator"
MAX_OPERATORS: Final = 300  # Constraints.html, "Maximum number of operators or functions"
_COMPARATORS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_OPERAND_COUNT: Final = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
_UPDATE_FUNCTIONS: Final = frozenset({"if_not_exists", "list_append"})
_TYPE_NAMES: Final = ("B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M")
_ANY_TYPE: Final = "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"  # how AWS names the type of a path


def parse_condition(text: str, bindings: Bindings, *, parameter: str) -> Condition:
    """The tree of an expression; `parameter` names it in errors (`FilterExpression`). Raises DynamoError."""
    faults = Faults(parameter)
    parser = _Parser(Cursor(text, faults), bindings)
    condition = parser.parse_whole()
    faults.settle()
    return condition


def operand_type(operand: Operand) -> str | None:
    """The type that is known before any item is seen; None for a path."""
    match operand:
        case Literal(value):
            return None if value is None else value.type
        case Size():
            return "N"
        case _:
            return None


class _Parser:
    """Recursive descent. A parenthesis may hold a condition or an operand, so `_parse_*` may return either."""

    def __init__(self, cursor: Cursor, bindings: Bindings) -> None:
        self._cursor = cursor
        self._bindings = bindings
        self._faults = cursor.faults
        self._operators = 0

    def parse_whole(self) -> Condition:
        condition = self._condition(self._parse_or())
        if self._cursor.token.kind != "end":
            self._cursor.fail()
        return condition

    def _parse_or(self) -> Condition | Operand:
        return self._parse_joined("OR")

    def _parse_joined(self, word: str) -> Condition | Operand:
        parse_part = self._parse_not if word == "AND" else self._parse_and
        part = parse_part()
        if self._cursor.keyword() != word:
            return part
        parts = [self._condition(part)]
        while self._cursor.keyword() == word:
            self._cursor.take()
            self._count_operator()
            parts.append(self._condition(parse_part()))
        return Combined(word, tuple(parts))

    def _parse_and(self) -> Condition | Operand:
        return self._parse_joined("AND")

    def _parse_not(self) -> Condition | Operand:
        if self._cursor.keyword() != "NOT":
            return self._parse_comparison()
        self._cursor.take()
        self._count_operator()
        return Not(self._condition(self._parse_not()))

    def _parse_comparison(self) -> Condition | Operand:
        left = self._parse_primary()
        token = self._cursor.token
        if token.kind == "mark" and token.text in _COMPARATORS:
            self._cursor.take()
            return self._compare(token.text, self._operand(left), self._parse_operand())
        word = self._cursor.keyword()
        if word == "BETWEEN":
            self._cursor.take()
            return self._parse_between(self._operand(left))
        if word == "IN":
            self._cursor.take()
            return self._parse_in(self._operand(left))
        return left

    def _parse_primary(self) -> Condition | Operand:
        cursor = self._cursor
        token = cursor.token
        if token.text == "(" and token.kind == "mark":
            if cursor.is_double_group():
                self._faults.stop("The expression has redundant parentheses;")
            cursor.take()
            inner = self._parse_or()
            cursor.expect(")")
            return inner
        if token.kind == "value":
            return Literal(self._bindings.value(cursor.take().text, self._faults))
        if token.kind == "name" and cursor.ahead().text == "(":
            return self._parse_call()
        if cursor.keyword() in {"AND", "OR", "NOT", "BETWEEN", "IN"}:
            cursor.fail()
        return parse_path(cursor, self._bindings)

    def _parse_operand(self) -> Operand:
        return self._operand(self._parse_primary())

    def _parse_between(self, operand: Operand) -> Between:
        low = self._parse_operand()
        if self._cursor.keyword() != "AND":
            self._cursor.fail()
        self._cursor.take()
        high = self._parse_operand()
        self._count_operator()
        for side in (operand, low, high):
            self._check_ordered("BETWEEN", side)
        self._check_bounds(low, high)
        self._check_distinct("BETWEEN", operand, (low, high))
        return Between(operand, low, high)

    def _parse_in(self, operand: Operand) -> In:
        self._cursor.expect("(")
        choices = [self._parse_operand()]
        while self._cursor.accept(","):
            choices.append(self._parse_operand())
        self._cursor.expect(")")
        self._count_operator()
        if len(choices) > MAX_CHOICES:
            count = len(choices)
            message = f"The IN operator is provided with too many operands; number of operands: {count}"
            self._faults.note(Fault.OPERAND_COUNT, message)
        self._check_distinct("IN", operand, choices)
        return In(operand, tuple(choices))

    def _parse_call(self) -> Condition | Operand:
        name = self._cursor.take().text
        self._cursor.expect("(")
        operands = [self._parse_operand()]
        while self._cursor.accept(","):
            operands.append(self._parse_operand())
        self._cursor.expect(")")
        self._count_operator()
        if name not in _OPERAND_COUNT:
            known = name in _UPDATE_FUNCTIONS
            message = "The function is not allowed in a condition expression" if known else "Invalid function name"
            self._faults.note(Fault.FUNCTION_NAME, f"{message}; function: {name}")
        elif len(operands) != _OPERAND_COUNT[name]:
            self._faults.note(
                Fault.OPERAND_COUNT,
                "Incorrect number of operands for operator or function; "
                f"operator or function: {name}, number of operands: {len(operands)}",
            )
        else:
            self._check_call(name, operands)
        return Size(operands[0]) if name == "size" else Call(name, tuple(operands))

    def _compare(self, operator: str, left: Operand, right: Operand) -> Compare:
        self._count_operator()
        if operator not in {"=", "<>"}:
            self._check_ordered(operator, left)
            self._check_ordered(operator, right)
        self._check_distinct(operator, left, (right,))
        return Compare(operator, left, right)

    def _condition(self, node: Condition | Operand) -> Condition:
        """`node` where a condition must stand."""
        if isinstance(node, Size):
            self._misused("size")
            return Call("size", (node.operand,))
        if isinstance(node, Path | Literal):
            self._cursor.fail()
        return node

    def _operand(self, node: Condition | Operand) -> Operand:
        """`node` where an operand must stand."""
        if isinstance(node, Call):
            self._misused(node.name)
            return Literal(None)
        if not isinstance(node, Path | Literal | Size):
            self._cursor.fail()
        return node

    def _misused(self, name: str) -> None:
        if name not in _OPERAND_COUNT:  # an unknown function is the earlier fault
            return
        self._faults.note(
            Fault.MISUSED_FUNCTION,
            f"The function is not allowed to be used this way in an expression; function: {name}",
        )

    def _check_call(self, name: str, operands: Sequence[Operand]) -> None:
        first = operand_type(operands[0])
        if name == "size" and first in {"N", "BOOL", "NULL"}:
            self._wrong_type(name, first)
        elif name == "begins_with":
            for operand in operands:
                kind = operand_type(operand)
                if kind is not None and kind not in {"S", "B"}:
                    self._wrong_type(name, kind)
        elif name == "attribute_type":
            self._check_type_name(operands[1])
        elif name.startswith("attribute_") and not isinstance(operands[0], Path):
            message = f"Operator or function requires a document path; operator or function: {name}"
            self._faults.note(Fault.NEEDS_PATH, message)
        if len(operands) > 1:
            self._check_distinct(name, operands[0], operands[1:])

    def _check_type_name(self, operand: Operand) -> None:
        if not isinstance(operand, Literal):
            self._wrong_type("attribute_type", operand_type(operand) or _ANY_TYPE)
        elif operand.value is not None and operand.value.type != "S":
            self._wrong_type("attribute_type", operand.value.type)
        elif operand.value is not None and operand.value.data not in _TYPE_NAMES:
            names = ",".join(_TYPE_NAMES)
            message = f"Invalid attribute type name found; type: {operand.value.data}, valid types: {{{names}}}"
            self._faults.note(Fault.OPERAND_TYPE, message)

    def _check_ordered(self, operator: str, operand: Operand) -> None:
        kind = operand_type(operand)
        if kind is not None and kind not in ORDERED_TYPES:
            self._wrong_type(operator, kind)

    def _check_bounds(self, low: Operand, high: Operand) -> None:
        if not isinstance(low, Literal) or not isinstance(high, Literal) or low.value is None or high.value is None:
            return
        shown = (
            f"lower bound operand: AttributeValue: {_show(low.value)}, "
            f"upper bound operand: AttributeValue: {_show(high.value)}"
        )
        if low.value.type != high.value.type:
            message = f"The BETWEEN operator requires same data type for lower and upper bounds; {shown}"
            self._faults.note(Fault.BOUNDS, message)
        elif low.value.type in ORDERED_TYPES and low.value.data > high.value.data:
            message = f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {shown}"
            self._faults.note(Fault.BOUNDS, message)

    def _check_distinct(self, operator: str, first: Operand, others: Sequence[Operand]) -> None:
        if isinstance(first, Path) and first in others:
            self._faults.note(
                Fault.NOT_DISTINCT,
                "The first operand must be distinct from the remaining operands for this operator or function; "
                f"operator: {operator}, first operand: {first}",
            )

    def _wrong_type(self, operator: str, kind: str) -> None:
        self._faults.note(
            Fault.OPERAND_TYPE,
            f"Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}",
        )

    def _count_operator(self) -> None:
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            self._faults.stop(
                f"The expression contains too many operators; number of operators: {self._operators}, "
                f"maximum allowed: {MAX_OPERATORS}"
            )


def _show(value: Value) -> str:
    """How AWS writes a value into a message: `{S:abc}`."""
    ((kind, data),) = encode_value(value).items()
    return f"{{{kind}:{data}}}"
