"""Which route takes a request: the most specific path that has its method, at last `$default`. Pure.

A path that fits whole comes before one with a greedy variable; then, part by part from the left, a name before a
variable; then a method before ANY. A slash at the end is a part of its own, which is empty: `/pets/` is not `/pets`.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from urllib.parse import unquote

from localcloud.gateway.http_api.definition import DEFAULT, Route

__all__ = ["Routes", "check_key"]

_KEY: Final = re.compile(r"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|ANY) (/.*)")
_VARIABLE: Final = re.compile(r"\{([A-Za-z0-9._:-]+)(\+?)\}")


class _Kind(IntEnum):
    NAME = 0
    VARIABLE = 1
    GREEDY = 2


@dataclass(frozen=True, slots=True)
class _Path:
    """A route's method and parts; a greedy variable is the last one."""

    route: Route
    method: str
    parts: tuple[tuple[_Kind, str], ...]

    @property
    def rank(self) -> tuple[bool, tuple[_Kind, ...], bool]:
        return self.parts[-1][0] is _Kind.GREEDY, tuple(kind for kind, _ in self.parts), self.method == "ANY"

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The variables, still encoded; None where the path is another."""
        greedy = self.parts[-1][0] is _Kind.GREEDY
        if len(segments) < len(self.parts) or (len(segments) > len(self.parts) and not greedy):
            return None
        found: dict[str, str] = {}
        for index, (kind, name) in enumerate(self.parts):
            segment = "/".join(segments[index:]) if kind is _Kind.GREEDY else segments[index]
            if (kind is _Kind.NAME and unquote(segment) != name) or not (segment or kind is _Kind.NAME):
                return None
            if kind is not _Kind.NAME:
                found[name] = segment
        return found


class Routes:
    """The routes of one definition, most specific first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        known = list(routes)
        self._default = next((route for route in known if route.key == DEFAULT), None)
        self._paths = sorted((_read(route) for route in known if route.key != DEFAULT), key=lambda path: path.rank)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a request and its decoded variables; None where there is none. `path` is percent-encoded."""
        segments = path.removeprefix("/").split("/")
        for each in self._paths:
            if each.method in {method, "ANY"}:
                found = each.match(segments)
                if found is not None:
                    return each.route, {name: unquote(value) for name, value in found.items()}
        return (self._default, {}) if self._default is not None else None


def check_key(key: str) -> None:
    """Raise ValueError where this is no route key of an HTTP API."""
    if key == DEFAULT:
        return
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is no route key: `METHOD /path`, `ANY /path` or {DEFAULT}")
    segments = found[2].removeprefix("/").split("/")
    names: list[str] = []
    for index, segment in enumerate(segments):
        variable = _VARIABLE.fullmatch(segment)
        if variable is None and ("{" in segment or "}" in segment):
            raise ValueError(f"{key!r}: {segment!r} is neither a name nor a variable")
        if variable is not None:
            names.append(variable[1])
            if variable[2] and index != len(segments) - 1:
                raise ValueError(f"{key!r}: the greedy variable {segment} is not at the end")
    if len(set(names)) < len(names):
        raise ValueError(f"{key!r} has a variable twice")


def _read(route: Route) -> _Path:
    method, _, path = route.key.partition(" ")
    return _Path(route, method, tuple(_part(segment) for segment in path.removeprefix("/").split("/")))


def _part(segment: str) -> tuple[_Kind, str]:
    variable = _VARIABLE.fullmatch(segment)
    if variable is None:
        return _Kind.NAME, segment
    return (_Kind.GREEDY if variable[2] else _Kind.VARIABLE), variable[1]
