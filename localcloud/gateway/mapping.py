"""Parameter mappings: `integration.request.header.X: method.request.querystring.y` and their like.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-parameter-mapping.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.jsonpath import Absent, JsonPathError, find
from localcloud.gateway.vtl import as_text, json_text

__all__ = ["Sources", "check_expression", "check_target", "evaluate_expression", "split_target"]

_STATIC: Final = re.compile(r"'(.*)'", re.DOTALL)
_PARAMETER: Final = re.compile(r"(multivalue)?(header|querystring|path)\.(.+)")
_TARGET: Final = re.compile(r"(integration\.request|method\.response)\.(multivalue)?(header|querystring|path)\.(.+)")


@dataclass(frozen=True, slots=True)
class Sources:
    """What expressions read. Header names are matched whatever their case.

    `body` is the document in the body of the request or answer, `text` the body as it is (None: as the document reads).
    """

    headers: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    query: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    path: Mapping[str, str] = field(default_factory=dict[str, str])
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stage_variables: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    text: str | None = None


def check_target(target: str, scope: str, *, where: str) -> None:
    """Raise DefinitionError where `target` is no parameter of `scope` (integration.request or method.response)."""
    found = _TARGET.fullmatch(target)
    if found is None or found[1] != scope or (scope == "method.response" and found[3] != "header"):
        raise DefinitionError("is not a parameter that can be mapped to", where=f"{where}.{target}")


def split_target(target: str) -> tuple[str, str]:
    """`integration.request.header.X` -> (`header`, `X`)."""
    found = _TARGET.fullmatch(target)
    return (found[3], found[4]) if found is not None else ("", target)


def check_expression(expression: str, scope: str, *, where: str) -> None:
    """Raise DefinitionError where `expression` reads nothing that exists in `scope`."""
    if _STATIC.fullmatch(expression) or expression.startswith(("context.", "stageVariables.")):
        return
    rest = expression.removeprefix(scope + ".")
    if rest != expression and (_PARAMETER.fullmatch(rest) or rest == "body" or rest.startswith("body.")):
        return
    raise DefinitionError(f"{expression!r} is not an expression that is served here", where=where)


def evaluate_expression(expression: str, sources: Sources) -> str | list[str] | None:
    """The expression's value: text, several texts for a multi-value parameter, None where there is none."""
    if static := _STATIC.fullmatch(expression):
        return static[1]
    scope, _, name = expression.partition(".")
    if scope == "context":
        value = _walk(sources.context, name)
        return None if value is None else as_text(value)
    if scope == "stageVariables":
        return sources.stage_variables.get(name)
    return _evaluate_parameter(name.partition(".")[2], sources)


def _walk(values: Mapping[str, Any], path: str) -> Any:
    current: Any = values
    for part in path.split("."):
        current = cast("Mapping[str, Any]", current).get(part) if isinstance(current, Mapping) else None
    return current


def _body_part(name: str, sources: Sources) -> Any:
    if name == "body":
        return sources.body if sources.text is None else sources.text
    try:
        return find(sources.body, "$." + name.removeprefix("body.").removeprefix("$."))
    except JsonPathError:
        return None


def _as_parameter(value: Any) -> str:
    return json_text(value) if isinstance(value, (dict, list)) else as_text(value)


def _evaluate_parameter(name: str, sources: Sources) -> str | list[str] | None:
    if name == "body" or name.startswith("body."):
        value = _body_part(name, sources)
        return None if value is None or isinstance(value, Absent) else _as_parameter(value)
    found = _PARAMETER.fullmatch(name)
    if found is None:
        return None
    multiple, place, key = found.groups()
    if place == "path":
        return sources.path.get(key)
    if place == "header":
        values = next((each for header, each in sources.headers.items() if header.lower() == key.lower()), None)
    else:
        values = sources.query.get(key)
    if not values:
        return None
    return values if multiple else values[-1]
