"""Which resource a path is: static segments before `{name}`, those before `{name+}`, at every level.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-settings-method-request.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

__all__ = ["Resources"]


@dataclass(slots=True)
class _Node:
    path: str | None = None
    static: dict[str, _Node] = field(default_factory=dict)
    variable: tuple[str, _Node] | None = None
    greedy: tuple[str, str] | None = None  # its name, the resource's path


class Resources:
    """The tree of an API's resource paths (`/jobs/{job_id}`)."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._root = _Node()
        for path in paths:
            self._add(path)

    def _add(self, path: str) -> None:
        node = self._root
        for segment in _segments(path):
            if segment.startswith("{") and segment.endswith("+}"):
                node.greedy = (segment[1:-2], path)
                return
            if segment.startswith("{") and segment.endswith("}"):
                name = segment[1:-1]
                if node.variable is None:
                    node.variable = (name, _Node())
                elif node.variable[0] != name:
                    raise ValueError(f"{path} names the variable {name} where another path names it {node.variable[0]}")
                node = node.variable[1]
            else:
                node = node.static.setdefault(segment, _Node())
        node.path = path

    def match(self, path: str) -> tuple[str, dict[str, str]] | None:
        """The resource's path and its decoded variables; None where there is none. `path` is percent-encoded."""
        found = _match(self._root, _segments(path))
        if found is None:
            return None
        resource, variables = found
        return resource, {name: unquote(value) for name, value in variables}  # a `+` stays a `+`


def _segments(path: str) -> list[str]:
    segments = path.lstrip("/").split("/")
    if segments and not segments[-1]:
        segments.pop()
    return segments


def _match(node: _Node, segments: list[str]) -> tuple[str, list[tuple[str, str]]] | None:
    if not segments:
        return (node.path, []) if node.path is not None else None
    head, rest = segments[0], segments[1:]
    if head in node.static and (found := _match(node.static[head], rest)) is not None:
        return found
    if node.variable is not None and head and (found := _match(node.variable[1], rest)) is not None:
        return found[0], [(node.variable[0], head), *found[1]]
    if node.greedy is not None:
        return node.greedy[1], [(node.greedy[0], "/".join(segments))]
    return None
