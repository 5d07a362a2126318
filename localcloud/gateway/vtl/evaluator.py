"""Runs a template's tree: variables in, text out.

Strict where Velocity is silent: a variable that nobody set, a method or property that is not there, arithmetic on
something else than numbers are errors that name the reference and its line, because AWS would send the template's own
text to the integration. `$!x` stays silent, and `#if($x)` on an undefined variable is false. What is missing in known
data is the empty string, as on API Gateway. Bounded in iterations and output, so that no template holds the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from localcloud.gateway.vtl.errors import VtlError
from localcloud.gateway.vtl.methods import call_method, get_index, get_property, set_index, set_property
from localcloud.gateway.vtl.nodes import (
    Binary,
    Block,
    Break,
    Define,
    EscapedReference,
    Expression,
    Foreach,
    If,
    Index,
    Interpolated,
    ListOf,
    Literal,
    MapOf,
    Not,
    Property,
    RangeOf,
    Reference,
    Set,
    Step,
    Stop,
    Text,
)
from localcloud.gateway.vtl.values import (
    MISSING,
    Missing,
    Unknown,
    add,
    arithmetic,
    as_text,
    compare,
    equals,
    kind_of,
    truth,
)

__all__ = ["MAX_ITERATIONS", "MAX_OUTPUT_CHARACTERS", "render"]

MAX_ITERATIONS: Final = 1000  # of one #foreach, https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_OUTPUT_CHARACTERS: Final = 3 * 10 * 1024 * 1024  # ours: a payload of 10 MB with every byte percent-encoded
_MAX_STEPS: Final = 250_000  # ours: statements of one rendering, loops within loops included


class _Stopped(Exception):
    """`#stop`."""


class _Broken(Exception):
    """`#break`."""


def render(block: Block, variables: Mapping[str, Any]) -> str:
    """The template's text. `variables` is not changed, the values in it may be. Raises VtlError."""
    rendering = _Rendering(dict(variables))
    try:
        rendering.run(block)
    except (_Stopped, _Broken):
        pass
    except RecursionError as error:
        raise VtlError("the template nests too deeply", line=0) from error
    return "".join(rendering.output)


class _Rendering:
    def __init__(self, variables: dict[str, Any]) -> None:
        self.output: list[str] = []
        self._variables = variables
        self._size = 0
        self._steps = 0
        self._statements: dict[type, Callable[[Any], None]] = {
            Text: lambda node: self._write(node.text, 0),
            Reference: lambda node: self._write(self._printed(node), node.line),
            EscapedReference: self._run_escaped,
            Set: self._run_set,
            If: self._run_if,
            Foreach: self._run_foreach,
            Define: self._run_define,
            Stop: _stop,
            Break: _break,
        }
        self._expressions: dict[type, Callable[[Any], Any]] = {
            Literal: lambda node: node.value,
            Interpolated: lambda node: self._nested_text(node.block),
            ListOf: lambda node: [self._value(item) for item in node.items],
            MapOf: lambda node: {self._value(key): self._value(value) for key, value in node.entries},
            RangeOf: self._range,
            Reference: self._lookup,
            Not: lambda node: not truth(self._value(node.operand)),
            Binary: self._binary,
        }

    def run(self, block: Block) -> None:
        for statement in block:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise VtlError(f"the template runs more than {_MAX_STEPS} statements", line=0)
            self._statements[type(statement)](statement)

    def _write(self, text: str, line: int) -> None:
        self._size += len(text)
        if self._size > MAX_OUTPUT_CHARACTERS:
            raise VtlError(f"the output is larger than {MAX_OUTPUT_CHARACTERS} characters", line=line)
        self.output.append(text)

    # ---- statements

    def _printed(self, node: Reference) -> str:
        value = self._lookup(node)
        if value is None:
            if node.quiet:
                return ""
            raise VtlError(
                f"{node.source} has no value (API Gateway would write the reference itself; $!... writes nothing)",
                line=node.line,
            )
        return as_text(value)

    def _run_escaped(self, node: EscapedReference) -> None:
        written, odd = divmod(node.backslashes, 2)
        if self._is_without_value(node.reference) and not node.reference.quiet:
            self._write("\\" * node.backslashes + node.reference.source, node.reference.line)
        else:
            text = node.reference.source if odd else self._printed(node.reference)
            self._write("\\" * written + text, node.reference.line)

    def _run_set(self, node: Set) -> None:
        value = self._value(node.value)
        if value is None:
            return  # Velocity 1.7: a null right-hand side leaves the left-hand side as it was
        target = node.target
        if not target.steps:
            self._variables[target.name] = value
            return
        owner = self._follow(target, target.steps[:-1])
        if owner is None or isinstance(owner, Missing):
            raise VtlError(f"{target.source} cannot be set: what it belongs to has no value", line=target.line)
        try:
            self._assign(owner, target.steps[-1], value)
        except Unknown as error:
            raise VtlError(f"{target.source}: {error}", line=target.line) from error

    def _assign(self, owner: Any, step: Step, value: Any) -> None:
        if isinstance(step, Property):
            set_property(owner, step.name, value)
        elif isinstance(step, Index):
            set_index(owner, self._value(step.key), value)
        else:
            raise Unknown("a method's answer cannot be set")

    def _run_if(self, node: If) -> None:
        for condition, block in node.branches:
            if truth(self._value(condition)):
                self.run(block)
                return
        self.run(node.otherwise)

    def _run_define(self, node: Define) -> None:
        self._variables[node.name] = node

    def _run_foreach(self, node: Foreach) -> None:
        items = self._items(node)
        saved = {name: self._variables.get(name) for name in (node.name, "foreach", "velocityCount")}
        for index, item in enumerate(items):
            self._variables[node.name] = item
            self._variables["velocityCount"] = index + 1
            last = index == len(items) - 1
            self._variables["foreach"] = {
                "index": index,
                "count": index + 1,
                "hasNext": not last,
                "first": index == 0,
                "last": last,
                **({"parent": saved["foreach"]} if saved["foreach"] is not None else {}),
            }
            try:
                self.run(node.body)
            except _Broken:
                break
        for name, value in saved.items():
            self._variables.pop(name, None)
            if value is not None:
                self._variables[name] = value

    def _items(self, node: Foreach) -> list[Any]:
        source = self._value(node.source)
        if source is None or isinstance(source, Missing):
            if isinstance(node.source, Reference) and node.source.name not in self._variables:
                raise VtlError(f"{node.source.source} is not defined", line=node.line)
            return []
        if isinstance(source, dict):
            source = list(cast("dict[Any, Any]", source).values())
        if not isinstance(source, list):
            raise VtlError(f"#foreach needs a list or a map, not {kind_of(source)}", line=node.line)
        items = cast("list[Any]", source)
        if len(items) > MAX_ITERATIONS:
            raise VtlError(f"#foreach would run {len(items)} times; {MAX_ITERATIONS} is the most", line=node.line)
        return list(items)

    # ---- expressions

    def _value(self, node: Expression) -> Any:
        return self._expressions[type(node)](node)

    def _nested_text(self, block: Block) -> str:
        outer, self.output = self.output, []
        try:
            self.run(block)
            return "".join(self.output)
        finally:
            self.output = outer

    def _range(self, node: RangeOf) -> list[int]:
        first, last = self._value(node.first), self._value(node.last)
        if not (isinstance(first, int) and isinstance(last, int)):
            raise VtlError("a range needs two integers", line=node.line)
        if abs(last - first) >= MAX_ITERATIONS:
            raise VtlError(f"a range of more than {MAX_ITERATIONS} numbers", line=node.line)
        return list(range(first, last + 1)) if first <= last else list(range(first, last - 1, -1))

    def _binary(self, node: Binary) -> Any:
        if node.operator == "&&":
            return truth(self._value(node.left)) and truth(self._value(node.right))
        if node.operator == "||":
            return truth(self._value(node.left)) or truth(self._value(node.right))
        left, right = self._value(node.left), self._value(node.right)
        if node.operator == "==":
            return equals(left, right)
        if node.operator == "!=":
            return not equals(left, right)
        try:
            if node.operator in {"<", "<=", ">", ">="}:
                return compare(node.operator, left, right)
            return add(left, right) if node.operator == "+" else arithmetic(node.operator, left, right)
        except Unknown as error:
            raise VtlError(f"{error}{_blame(node)}", line=node.line) from error

    def _lookup(self, node: Reference) -> Any:
        """The reference's value; None where its variable is undefined or null, MISSING where there is nothing in it."""
        return self._follow(node, node.steps)

    def _is_without_value(self, node: Reference) -> bool:
        value = self._lookup(node)
        return value is None or isinstance(value, Missing)

    def _follow(self, node: Reference, steps: tuple[Step, ...]) -> Any:
        value = self._variables.get(node.name)
        if isinstance(value, Define):
            value = self._nested_text(value.body)
        for step in steps:
            if value is None:
                return None
            try:
                value = self._take(value, step)
            except Unknown as error:
                if node.quiet:
                    return None
                if not isinstance(value, Missing):
                    raise VtlError(f"{node.source}: {error}", line=node.line) from error
            value = MISSING if value is None else value
        return value

    def _take(self, value: Any, step: Step) -> Any:
        if isinstance(step, Property):
            return get_property(value, step.name)
        if isinstance(step, Index):
            return get_index(value, self._value(step.key))
        return call_method(value, step.name, [self._value(argument) for argument in step.arguments])


def _blame(node: Binary) -> str:
    sources = [side.source for side in (node.left, node.right) if isinstance(side, Reference)]
    return f" ({' and '.join(sources)})" if sources else ""


def _stop(_: Stop) -> None:
    raise _Stopped


def _break(_: Break) -> None:
    raise _Broken
