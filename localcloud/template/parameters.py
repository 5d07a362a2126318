"""A template's Parameters section: types, defaults, constraints, and the values that a deployment gives.

Owns the rules that CloudFormation checks before it starts. A value given for a NoEcho parameter appears in no message.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from localcloud.matching import PatternTooSlow, compile_pattern, limit_matching
from localcloud.template.errors import TemplateError, join_path
from localcloud.template.properties import Properties

__all__ = ["Parameter", "ParameterValue", "read_parameters", "resolve_parameters"]

MAX_PARAMETERS: Final = 200  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_VALUE_BYTES: Final = 4096  # same page

ParameterValue = str | list[str]
"""What `Ref` gives: text, or a list of texts for the list types."""

_ATTRIBUTES: Final = frozenset({
    "Type", "Default", "AllowedPattern", "AllowedValues", "ConstraintDescription", "Description", "MaxLength",
    "MaxValue", "MinLength", "MinValue", "NoEcho",
})  # fmt: skip
_STORED: Final = re.compile(r"AWS::SSM::Parameter::Value<(.+)>")
_AWS_TYPE: Final = re.compile(r"AWS::[A-Za-z0-9]+(::[A-Za-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter. `kind` is its Type; `default` None where a value must be given."""

    name: str
    kind: str
    default: str | None = None
    hidden: bool = False
    allowed_pattern: str | None = None
    allowed_values: tuple[str, ...] = ()
    bounds: tuple[Decimal | None, Decimal | None] = (None, None)
    lengths: tuple[int | None, int | None] = (None, None)
    constraint: str = ""

    @property
    def is_list(self) -> bool:
        """Whether `Ref` gives a list."""
        return self.kind == "CommaDelimitedList" or "List<" in self.kind

    @property
    def is_stored(self) -> bool:
        """Whether the value names an SSM parameter that holds the real one."""
        return _STORED.fullmatch(self.kind) is not None


def read_parameters(body: Mapping[str, Any]) -> dict[str, Parameter]:
    """The declared parameters by name. Raises TemplateError naming the parameter that is declared wrongly."""
    declared = Properties(body, where="").mapping("Parameters")
    if len(declared) > MAX_PARAMETERS:
        raise TemplateError(f"has {len(declared)} entries, CloudFormation takes {MAX_PARAMETERS}", where="Parameters")
    return {name: _read_parameter(name, entry) for name, entry in declared.items()}


def _read_parameter(name: str, entry: Any) -> Parameter:
    where = f"Parameters.{name}"
    if not isinstance(entry, dict):
        raise TemplateError("must be a map with a Type", where=where)
    read = Properties(cast("dict[str, Any]", entry), where=where)
    if unknown := sorted(set(read.values) - _ATTRIBUTES):
        raise TemplateError(f"is no attribute of a parameter (known: {', '.join(sorted(_ATTRIBUTES))})",
                            where=join_path(where, unknown[0]))  # fmt: skip
    kind = read.text("Type")
    _check_kind(kind, where)
    return Parameter(
        name=name,
        kind=kind,
        default=_read_default(read),
        hidden=read.flag("NoEcho", default=False),
        allowed_pattern=_pattern(read),
        allowed_values=tuple(read.texts("AllowedValues")),
        bounds=(_decimal(read, "MinValue"), _decimal(read, "MaxValue")),
        lengths=(_length(read, "MinLength"), _length(read, "MaxLength")),
        constraint=read.text("ConstraintDescription", ""),
    )


def _check_kind(kind: str, where: str) -> None:
    inner = kind
    if match := _STORED.fullmatch(kind):
        inner = match[1]
    if inner in {"String", "Number", "List<Number>", "List<String>", "CommaDelimitedList"}:
        return
    if match := re.fullmatch(r"List<(.+)>", inner):
        inner = match[1]
    if not _AWS_TYPE.fullmatch(inner):
        raise TemplateError(f"{kind} is no parameter type of CloudFormation", where=f"{where}.Type")


def _read_default(read: Properties) -> str | None:
    value = read.values.get("Default")
    if value is None:
        return None
    if isinstance(value, list):
        raise read.error("Default", "must be text; a list is written with commas")
    return read.text("Default")


def _pattern(read: Properties) -> str | None:
    pattern = read.text("AllowedPattern", "")
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise read.error("AllowedPattern", str(error)) from error
    return pattern or None


def _decimal(read: Properties, name: str) -> Decimal | None:
    if name not in read:
        return None
    try:
        return Decimal(read.text(name))
    except InvalidOperation:
        raise read.error(name, "must be a number") from None


def _length(read: Properties, name: str) -> int | None:
    return read.integer(name, low=0) if name in read else None


def resolve_parameters(
    parameters: Mapping[str, Parameter],
    given: Mapping[str, str],
    *,
    stored: Callable[[str], str] | None = None,
    pending: Collection[str] = (),
) -> dict[str, ParameterValue]:
    """The value of every parameter: given, else its default. `stored` reads an SSM parameter by name.

    `pending`: those whose value is made later (of a nested stack); something of their kind stands for it.

    Raises TemplateError that names what is unknown, missing or against a constraint.
    """
    given = {**given, **{name: _stand_in(parameters[name]) for name in pending if name in parameters}}
    if unknown := sorted({*given, *pending} - set(parameters)):
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template", where="Parameters")
    missing = [name for name, parameter in parameters.items() if name not in given and parameter.default is None]
    if missing:
        said = f"Parameters: [{', '.join(missing)}] must have values: --parameter-overrides {missing[0]}=VALUE"
        raise TemplateError(f"{said}, or --config-env with an environment of samconfig.toml", where="Parameters")
    return {
        name: _resolve_parameter(parameter, given.get(name, parameter.default or ""), stored, exact=name not in pending)
        for name, parameter in parameters.items()
    }


def _stand_in(parameter: Parameter) -> str:
    if parameter.default is not None and not parameter.is_stored:
        return parameter.default
    if parameter.allowed_values:
        return parameter.allowed_values[0]
    return str(parameter.bounds[0] or 1) if "Number" in parameter.kind else f"pending-{parameter.name}"


def _resolve_parameter(
    parameter: Parameter, text: str, stored: Callable[[str], str] | None, *, exact: bool
) -> ParameterValue:
    where = f"Parameters.{parameter.name}"
    if len(text.encode()) > MAX_VALUE_BYTES:
        raise TemplateError(f"the value has more than {MAX_VALUE_BYTES} bytes", where=where)
    if parameter.is_stored and exact:
        if stored is None:
            raise TemplateError(f"{parameter.kind} needs the SSM parameter {text!r}, which is not here", where=where)
        text = stored(text)
    items = [item.strip() for item in text.split(",")] if parameter.is_list else [text]
    for item in items if exact else ():
        _check(parameter, item, where)
    return items if parameter.is_list else text


def _check(parameter: Parameter, text: str, where: str) -> None:
    shown = "the value" if parameter.hidden else repr(text)
    problem = _number_problem(parameter, text) or _text_problem(parameter, text)
    if problem:
        said = f" ({parameter.constraint})" if parameter.constraint else ""
        raise TemplateError(f"{shown} {problem}{said}", where=where)


def _number_problem(parameter: Parameter, text: str) -> str:
    if "Number" not in parameter.kind:
        return ""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return "must be a number"
    low, high = parameter.bounds
    if low is not None and number < low:
        return f"must be at least {low}"
    if high is not None and number > high:
        return f"must be at most {high}"
    return ""


def _text_problem(parameter: Parameter, text: str) -> str:
    low, high = parameter.lengths
    if low is not None and len(text) < low:
        return f"must have at least {low} characters"
    if high is not None and len(text) > high:
        return f"must have at most {high} characters"
    if parameter.allowed_values and text not in parameter.allowed_values:
        return f"must be one of {', '.join(parameter.allowed_values)}"
    if parameter.allowed_pattern is not None and not _fits(parameter, parameter.allowed_pattern, text):
        return f"must match {parameter.allowed_pattern}"
    return ""


def _fits(parameter: Parameter, pattern: str, text: str) -> bool:
    try:
        with limit_matching():
            return re.fullmatch(pattern, text) is not None
    except PatternTooSlow as error:
        raise TemplateError(str(error), where=f"Parameters.{parameter.name}.AllowedPattern") from error
