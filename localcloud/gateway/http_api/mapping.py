"""Parameter mappings of HTTP APIs: `append:header.x: $request.querystring.y` and their like. Pure.

A value is text with variables in it: `$request.header.x` alone, or any number of `${request.header.x}`.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from localcloud.gateway.http_api.exchange import Exchange
from localcloud.gateway.jsonpath import Absent, JsonPathError, find
from localcloud.gateway.message import HttpResponse, final_status
from localcloud.gateway.vtl import as_text
from localcloud.json_text import MalformedJson, parse_json

__all__ = [
    "Mapped",
    "check_request_mapping",
    "check_response_mapping",
    "check_value",
    "evaluate",
    "map_request",
    "map_response",
    "read_variable",
]

MAX_BODY_READ: Final = 100 * 1024  # the page above: a body is cut here before a path is looked up in it

_TARGET: Final = re.compile(r"(append|overwrite|remove):(header|querystring)\.(.+)")
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_LONE: Final = re.compile(r"\$((?:request|response|context|stageVariables)\..+)", re.DOTALL)
_REQUEST: Final = re.compile(r"request\.(header\..+|querystring\..+|body(\..+)?|path(\..+)?)")
_RESPONSE: Final = re.compile(r"response\.(header\..+|body(\..+)?)")
_OTHER: Final = re.compile(r"(context|stageVariables)\.[\w.:-]+")
_RESERVED: Final = re.compile(
    r"access-control-.*|apigw-.*|authorization|connection|content-encoding|content-length|content-location|forwarded"
    r"|keep-alive|origin|proxy-authenticate|proxy-authorization|te|trailers|transfer-encoding|upgrade|x-amz-.*"
    r"|x-amzn-.*|x-forwarded-for|x-forwarded-host|x-forwarded-proto|via",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A request after its mapping. `path` is "" where it stays as it came."""

    headers: list[tuple[str, str]]
    query: list[tuple[str, str]]
    path: str = ""
    is_query_new: bool = False

    @classmethod
    def unchanged(cls, exchange: Exchange) -> Mapped:
        """The request as it came."""
        return cls(exchange.headers, exchange.query)


# ---- at deployment


def check_value(value: str, side: str) -> None:
    """Raise ValueError where a variable of `value` is none of `side` (request or response)."""
    for name in _names(value):
        if not (_OTHER.fullmatch(name) or (_REQUEST if side == "request" else _RESPONSE).fullmatch(name)):
            raise ValueError(f"${{{name}}} is no variable of a {side}")
        _, _, path = name.partition(".body.")
        if path:
            try:
                find(None, f"$.{path}")
            except JsonPathError as error:
                raise ValueError(str(error)) from error


def check_request_mapping(parameters: Mapping[str, str]) -> None:
    """Raise ValueError where a line of a request's mapping makes no sense."""
    for target, value in parameters.items():
        found = _TARGET.fullmatch(target)
        if found is None and target != "overwrite:path":
            raise ValueError(f"{target!r} is no parameter of a request that can be mapped to")
        _check_line(found, value, "request")


def check_response_mapping(parameters: Mapping[str, str]) -> None:
    """Raise ValueError where a line of a response's mapping makes no sense."""
    for target, value in parameters.items():
        found = _TARGET.fullmatch(target)
        if target == "overwrite:statuscode":
            if final_status(value) is None and not _names(value):
                raise ValueError(f"{value!r} is no status from 200 to 599")
        elif found is None or found[2] != "header":
            raise ValueError(f"{target!r} is no parameter of a response that can be mapped to")
        _check_line(found, value, "response")


def _check_line(target: re.Match[str] | None, value: str, side: str) -> None:
    if target is not None and target[2] == "header" and _RESERVED.fullmatch(target[3]):
        raise ValueError(f"the header {target[3]} is reserved")
    if target is None or target[1] != "remove":
        check_value(value, side)


def _names(value: str) -> list[str]:
    lone = _LONE.fullmatch(value)
    return [lone[1]] if lone is not None else _VARIABLE.findall(value)


# ---- at a request


def map_request(exchange: Exchange, parameters: Mapping[str, str]) -> Mapped:
    """The request after its mapping."""
    if not parameters:
        return Mapped.unchanged(exchange)
    headers, query, path = list(exchange.headers), list(exchange.query), ""
    is_query_new = False
    for target, expression in parameters.items():
        found = _TARGET.fullmatch(target)
        if found is None:
            path = evaluate(expression, lambda name: read_variable(name, exchange))
            continue
        value = "" if found[1] == "remove" else evaluate(expression, lambda name: read_variable(name, exchange))
        if found[2] == "header":
            headers = _change(headers, found[1], (found[3].lower(), value), same=_same_header)
        else:
            query = _change(query, found[1], (found[3], value), same=str.__eq__)
            is_query_new = True
    return Mapped(headers, query, path, is_query_new)


def map_response(exchange: Exchange, response: HttpResponse, parameters: Mapping[str, str]) -> HttpResponse:
    """The response after the mapping of its status."""
    status, headers = response.status, list(response.headers)
    for target, expression in parameters.items():
        value = evaluate(expression, lambda name: _read_response(name, exchange, response))
        found = _TARGET.fullmatch(target)
        if found is None:
            status = final_status(value) or status
        else:
            headers = _change(headers, found[1], (found[3], value), same=_same_header)
    return HttpResponse(status, tuple(headers), response.body, response.stream)


def _same_header(left: str, right: str) -> bool:
    return left.lower() == right.lower()


def _change(
    items: list[tuple[str, str]], act: str, item: tuple[str, str], *, same: Callable[[str, str], bool]
) -> list[tuple[str, str]]:
    if act == "append":
        return [*items, item]
    kept = [each for each in items if not same(each[0], item[0])]
    return kept if act == "remove" else [*kept, item]


def evaluate(value: str, read: Callable[[str], str | None]) -> str:
    """The text of a value; a variable that has none is "" in it."""
    lone = _LONE.fullmatch(value)
    if lone is not None:
        return read(lone[1]) or ""
    return _VARIABLE.sub(lambda found: read(found[1]) or "", value)


def read_variable(name: str, exchange: Exchange) -> str | None:
    """What a variable of a request says, None where it says nothing."""
    scope, _, rest = name.partition(".")
    if scope == "context":
        return _walk(exchange.context(), rest)
    if scope == "stageVariables":
        return exchange.stage.variables.get(rest)
    kind, _, key = rest.partition(".")
    if kind == "header":
        return _combined([value for each, value in exchange.headers if _same_header(each, key)])
    if kind == "querystring":
        return _combined([value for each, value in exchange.query if each == key])
    if kind == "path":
        return exchange.path_parameters.get(key) if key else exchange.path
    return _read_body(exchange.request.body, key)


def _read_response(name: str, exchange: Exchange, response: HttpResponse) -> str | None:
    scope, _, rest = name.partition(".")
    if scope != "response":
        return read_variable(name, exchange)
    kind, _, key = rest.partition(".")
    if kind == "header":
        return _combined([value for each, value in response.headers if _same_header(each, key)])
    return _read_body(response.body, key)


def _combined(values: list[str]) -> str | None:
    return ",".join(values) if values else None


def _read_body(body: bytes, path: str) -> str | None:
    if not path:
        return body.decode("utf-8", "replace")
    try:
        value = find(parse_json(body[:MAX_BODY_READ]), f"$.{path}")
    except (MalformedJson, JsonPathError):
        return None
    return None if value is None or isinstance(value, Absent) else as_text(value)


def _walk(values: Mapping[str, Any], path: str) -> str | None:
    current: Any = values
    for part in path.split("."):
        current = cast("Mapping[str, Any]", current).get(part) if isinstance(current, Mapping) else None
    return None if current is None else as_text(current)
