"""CloudFormation's intrinsic functions: pure functions over a Scope.

A value is resolved inside out. Errors name the path inside the template. `resolve` wants every resource that a value
refers to; `resolve_known` leaves functions that wait for a resource as they are.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from localcloud.template.errors import TemplateError, join_path
from localcloud.template.properties import scalar_text
from localcloud.template.scope import NO_VALUE, NotYet, Scope

__all__ = ["evaluate_condition", "find_function", "resolve", "resolve_known", "sub_names"]

_Function = Callable[[Any, Scope, str], Any]

_SUB_NAME: Final = re.compile(r"\$\{([^}]*)\}")
_SUB_ALLOWED: Final = re.compile(r"[A-Za-z0-9_.:]+")
_DYNAMIC: Final = re.compile(r"\{\{resolve:([a-z-]+):([^}]*)\}\}")
ZONES: Final = ("a", "b", "c")  # every Region of the local cloud has three Availability Zones
MAX_TEXT_CHARS: Final = 1024 * 1024  # of what Fn::Sub makes; ours, as much as a whole template
MAX_CIDRS: Final = 256  # docs: "Fn::Cidr count: valid values 1 to 256"


def find_function(value: object) -> tuple[str, Any] | None:
    """The function that a map stands for: its name and argument; None for a plain value."""
    if not isinstance(value, dict):
        return None
    items = cast("dict[str, Any]", value)
    if len(items) != 1:
        return None
    name, argument = next(iter(items.items()))
    return (name, argument) if name == "Ref" or name.startswith("Fn::") else None


def resolve(value: Any, scope: Scope, path: str) -> Any:
    """`value` with every function applied. Raises TemplateError, and NotYet for a resource that is not made."""
    function = find_function(value)
    if function is not None:
        return _apply(function, scope, path)
    if isinstance(value, dict):
        return _resolve_map(cast("dict[str, Any]", value), scope, path, step=resolve)
    if isinstance(value, list):
        return _resolve_list(cast("list[Any]", value), scope, path, step=resolve)
    return _resolve_dynamic(value, scope) if isinstance(value, str) else value


def resolve_known(value: Any, scope: Scope, path: str) -> Any:
    """As `resolve`, and a function that waits for a resource stays as written. Raises TemplateError."""
    function = find_function(value)
    if function is not None:
        if function[0] == "Fn::If":
            return resolve_known(_branch(function[1], scope, join_path(path, "Fn::If")), scope, path)
        try:
            return _apply(function, scope, path)
        except NotYet:
            return value
    if isinstance(value, dict):
        return _resolve_map(cast("dict[str, Any]", value), scope, path, step=resolve_known)
    if isinstance(value, list):
        return _resolve_list(cast("list[Any]", value), scope, path, step=resolve_known)
    return _resolve_dynamic(value, scope) if isinstance(value, str) else value


def _apply(function: tuple[str, Any], scope: Scope, path: str) -> Any:
    name, argument = function
    where = join_path(path, name)
    run = _FUNCTIONS.get(name)
    if run is None:
        raise TemplateError(f"{name} is not served here", where=where)
    return run(argument, scope, where)


def _resolve_map(value: dict[str, Any], scope: Scope, path: str, *, step: _Function) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key.startswith("Fn::"):
            raise TemplateError(f"{key} must be the only key of its map", where=path)
        result = step(item, scope, join_path(path, key))
        if result is not NO_VALUE:
            found[key] = result
    return found


def _resolve_list(value: list[Any], scope: Scope, path: str, *, step: _Function) -> list[Any]:
    found = [step(item, scope, join_path(path, index)) for index, item in enumerate(value)]
    return [item for item in found if item is not NO_VALUE]


def _resolve_dynamic(text: str, scope: Scope) -> str:
    """`{{resolve:ssm:name}}` and its like, by the scope's `secrets`; else text, which the deployer answers."""
    secrets = scope.secrets
    if secrets is None or "{{resolve:" not in text:
        return text
    return _DYNAMIC.sub(lambda match: secrets(match[1], match[2]), text)


# ---------------------------------------------------------------- arguments


def _arguments(value: Any, path: str, *, low: int, high: int) -> list[Any]:
    if not isinstance(value, list) or not low <= len(cast("list[Any]", value)) <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        raise TemplateError(f"takes a list of {wanted} arguments", where=path)
    return cast("list[Any]", value)


def _text(value: Any, scope: Scope, path: str) -> str:
    text = scalar_text(resolve(value, scope, path))
    if text is None:
        raise TemplateError("must be text", where=path)
    return text


def _list(value: Any, scope: Scope, path: str) -> list[Any]:
    found = resolve(value, scope, path)
    if not isinstance(found, list):
        raise TemplateError("must be a list", where=path)
    return cast("list[Any]", found)


def _integer(value: Any, scope: Scope, path: str) -> int:
    text = _text(value, scope, path)
    if not re.fullmatch(r"\d+", text):
        raise TemplateError(f"must be a whole number, is {text!r}", where=path)
    return int(text)


# ---------------------------------------------------------------- references


def _ref(value: Any, scope: Scope, path: str) -> Any:
    if not isinstance(value, str) or not value:
        raise TemplateError("takes the name of a parameter or resource", where=path)
    return scope.reference(value, path)


def _get_att(value: Any, scope: Scope, path: str) -> Any:
    if isinstance(value, str):
        value = value.split(".", 1)
    parts = cast("list[Any]", value) if isinstance(value, list) else []
    if len(parts) < 2 or not all(parts):
        raise TemplateError("takes two non-empty parameters, the resource and the attribute", where=path)
    if not isinstance(parts[0], str):
        raise TemplateError("the name of the resource must be text", where=path)
    attribute = ".".join(_text(part, scope, path) for part in parts[1:])
    return scope.attribute(parts[0], attribute, path)


def _sub(value: Any, scope: Scope, path: str) -> str:
    if isinstance(value, str):
        template, variables = value, cast("dict[str, Any]", {})
    else:
        pair = _arguments(value, path, low=2, high=2)
        if not isinstance(pair[0], str) or not isinstance(pair[1], dict):
            raise TemplateError("takes text, or text and a map of variables", where=path)
        template, variables = pair[0], cast("dict[str, Any]", pair[1])

    known: dict[str, str] = {}
    left = MAX_TEXT_CHARS

    def fill(match: re.Match[str]) -> str:
        nonlocal left
        name = match[1]
        if name not in known:  # once, or variables inside variables would multiply
            known[name] = _sub_value(name, variables, scope=scope, path=path)
        left -= len(known[name])
        if left < 0:
            raise TemplateError(f"makes a text of more than {MAX_TEXT_CHARS} characters", where=path)
        return known[name]

    return _resolve_dynamic(_SUB_NAME.sub(fill, template), scope)


def _sub_value(name: str, variables: Mapping[str, Any], *, scope: Scope, path: str) -> str:
    if name.startswith("!"):
        return "${" + name[1:] + "}"
    if not _SUB_ALLOWED.fullmatch(name):
        raise TemplateError(
            f"${{{name}}}: a variable name has letters, digits, underscores, periods and colons only", where=path
        )
    if name in variables:
        return _text(variables[name], scope, join_path(path, name))
    owner, dot, attribute = name.partition(".")
    found = scope.attribute(owner, attribute, path) if dot else scope.reference(name, path)
    text = scalar_text(found)
    if text is None:
        raise TemplateError(f"${{{name}}} is no text", where=path)
    return text


def sub_names(value: Any) -> Iterator[str]:
    """The names that a `Fn::Sub` argument takes from outside its own map, attributes included (`Queue.Arn`)."""
    parts = cast("list[Any]", value) if isinstance(value, list) else [value]
    own = cast("dict[str, Any]", parts[1]) if len(parts) > 1 and isinstance(parts[1], dict) else {}
    if isinstance(parts[0], str):
        for match in _SUB_NAME.finditer(parts[0]):
            if not match[1].startswith("!") and match[1] not in own:
                yield match[1]


def _import_value(value: Any, scope: Scope, path: str) -> str:
    name = _text(value, scope, path)
    if name not in scope.exports:
        if scope.growing:
            raise NotYet(f"the export {name}")
        raise TemplateError(f"no export named {name} found: those of this deployment are known, no others", where=path)
    return scope.exports[name]


def _find_in_map(value: Any, scope: Scope, path: str) -> Any:
    parts = _arguments(value, path, low=3, high=4)
    keys = (_text(parts[0], scope, path), _text(parts[1], scope, path), _text(parts[2], scope, path))
    found = scope.mapped(keys, path)
    if found is not None:
        return resolve(found, scope, path)
    if len(parts) == 4 and isinstance(parts[3], dict) and set(cast("dict[str, Any]", parts[3])) == {"DefaultValue"}:
        _extension("DefaultValue", scope, path)
        return resolve(parts[3]["DefaultValue"], scope, join_path(path, "DefaultValue"))
    raise TemplateError(f"unable to get mapping for {'::'.join(keys)}", where=path)


# ---------------------------------------------------------------- text and lists


def _join(value: Any, scope: Scope, path: str) -> str:
    delimiter, items = _arguments(value, path, low=2, high=2)
    if not isinstance(delimiter, str):
        raise TemplateError("the delimiter must be literal text", where=path)
    texts = [_text(item, scope, join_path(path, index)) for index, item in enumerate(_list(items, scope, path))]
    return _resolve_dynamic(delimiter.join(texts), scope)


def _select(value: Any, scope: Scope, path: str) -> Any:
    parts = _arguments(value, path, low=2, high=2)
    index = _integer(parts[0], scope, join_path(path, 0))
    items = _list(parts[1], scope, join_path(path, 1))
    if index >= len(items):
        raise TemplateError(f"cannot select item {index} of a list of {len(items)}", where=path)
    return items[index]


def _split(value: Any, scope: Scope, path: str) -> list[str]:
    delimiter, text = _arguments(value, path, low=2, high=2)
    if not isinstance(delimiter, str) or not delimiter:
        raise TemplateError("the delimiter must be literal, non-empty text", where=path)
    return _text(text, scope, path).split(delimiter)


def _base64(value: Any, scope: Scope, path: str) -> str:
    return base64.b64encode(_text(value, scope, path).encode()).decode()


def _get_zones(value: Any, scope: Scope, path: str) -> list[str]:
    region = _text(value, scope, path) or scope.context.region
    return [f"{region}{zone}" for zone in ZONES]


def _cidr(value: Any, scope: Scope, path: str) -> list[str]:
    parts = _arguments(value, path, low=3, high=3)
    count, host_bits = _integer(parts[1], scope, join_path(path, 1)), _integer(parts[2], scope, join_path(path, 2))
    try:
        block = ipaddress.ip_network(_text(parts[0], scope, join_path(path, 0)))
    except ValueError as error:
        raise TemplateError(str(error), where=path) from error
    prefix = block.max_prefixlen - host_bits
    if not 1 <= count <= MAX_CIDRS or prefix < block.prefixlen or 2 ** (prefix - block.prefixlen) < count:
        raise TemplateError(f"{block} does not hold {count} blocks of {host_bits} bits", where=path)
    subnets = block.subnets(new_prefix=prefix)
    return [str(next(subnets)) for _ in range(count)]


def _extension(what: str, scope: Scope, path: str) -> None:
    if not scope.extensions:
        raise TemplateError(f"{what} needs Transform: AWS::LanguageExtensions", where=path)


def _length(value: Any, scope: Scope, path: str) -> int:
    _extension("Fn::Length", scope, path)
    return len(_list(value, scope, path))


def _to_json(value: Any, scope: Scope, path: str) -> str:
    _extension("Fn::ToJsonString", scope, path)
    found = resolve(value, scope, path)
    if not isinstance(found, (dict, list)):
        raise TemplateError("takes a map or a list", where=path)
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


# ---------------------------------------------------------------- conditions


def _branch(value: Any, scope: Scope, path: str) -> Any:
    name, then, otherwise = _arguments(value, path, low=3, high=3)
    if not isinstance(name, str):
        raise TemplateError("the first argument must be the name of a condition", where=path)
    return then if scope.condition(name, path, evaluate_condition) else otherwise


def _if(value: Any, scope: Scope, path: str) -> Any:
    return resolve(_branch(value, scope, path), scope, path)


def evaluate_condition(value: Any, scope: Scope, path: str) -> bool:
    """The truth of a condition expression: And, Or, Not, Equals, Condition. Raises TemplateError."""
    if not isinstance(value, dict) or len(cast("dict[str, Any]", value)) != 1:
        raise TemplateError("must be one of Fn::And, Fn::Or, Fn::Not, Fn::Equals, Condition", where=path)
    name, argument = next(iter(cast("dict[str, Any]", value).items()))
    where = join_path(path, name)
    if name == "Condition":
        if not isinstance(argument, str):
            raise TemplateError("takes the name of a condition", where=where)
        return scope.condition(argument, where, evaluate_condition)
    if name == "Fn::Equals":
        return _equals(argument, scope, where)
    return _combine(name, argument, scope=scope, path=where)


def _combine(name: str, argument: Any, *, scope: Scope, path: str) -> bool:
    if name == "Fn::Not":
        return not evaluate_condition(_arguments(argument, path, low=1, high=1)[0], scope, join_path(path, 0))
    if name not in {"Fn::And", "Fn::Or"}:
        raise TemplateError(f"{name} is no condition function", where=path)
    parts = _arguments(
        argument, path, low=2, high=10
    )  # docs: "the minimum number of conditions is 2, the maximum is 10"
    found = [evaluate_condition(part, scope, join_path(path, index)) for index, part in enumerate(parts)]
    return all(found) if name == "Fn::And" else any(found)


def _equals(value: Any, scope: Scope, path: str) -> bool:
    bare = replace(scope, resources={})  # a condition sees no resource
    left, right = (
        resolve(part, bare, join_path(path, index)) for index, part in enumerate(_arguments(value, path, low=2, high=2))
    )
    left_text, right_text = scalar_text(left), scalar_text(right)
    return left == right if left_text is None or right_text is None else left_text == right_text


def _only_in_conditions(_value: Any, _scope: Scope, path: str) -> Any:
    raise TemplateError("stands in the Conditions section only", where=path)


def _refuse_transform(value: Any, _scope: Scope, path: str) -> Any:
    name = cast("dict[str, Any]", value).get("Name") if isinstance(value, dict) else value
    raise TemplateError(f"the macro {name} is not served here", where=path)


_FUNCTIONS: Final[Mapping[str, _Function]] = {
    "Ref": _ref,
    "Fn::And": _only_in_conditions,
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
    "Fn::Equals": _only_in_conditions,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": _get_zones,
    "Fn::GetAtt": _get_att,
    "Fn::If": _if,
    "Fn::ImportValue": _import_value,
    "Fn::Join": _join,
    "Fn::Length": _length,
    "Fn::Not": _only_in_conditions,
    "Fn::Or": _only_in_conditions,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
    "Fn::ToJsonString": _to_json,
    "Fn::Transform": _refuse_transform,
}
