"""Selection expressions of WebSocket APIs, as their documentation describes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.gateway.websocket.selection import find_in_body, parse_selection


def _evaluate(expression: str, body: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)

    def look_up(name: str) -> str | None:
        return find_in_body(json.loads(text), name.removeprefix("request.body").lstrip("."))

    return parse_selection(expression, variables=("request.body",)).evaluate(look_up)


@pytest.mark.parametrize(
    ("expression", "body", "key"),
    [
        ("$request.body.action", {"action": "ask"}, "ask"),
        ("${request.body.action}", {"action": "ask"}, "ask"),
        ("$request.body.meta.kind", {"meta": {"kind": "a"}}, "a"),
        ("${request.body.version}-beta", {"version": 2}, "2-beta"),
        ("${request.body.a}/${request.body.b}", {"a": "x", "b": True}, "x/true"),
        ("$request.body.action", {"other": 1}, ""),
        ("$request.body.action", [1], ""),
        ("$request.body.list[1]", {"list": ["a", "b"]}, "b"),
        (r"\$default", {}, "$default"),
        ("$default", {}, "$default"),
        ("plain", {}, "plain"),
        ("$request.body.x", {"x": "${request.body.y}", "y": "no"}, "${request.body.y}"),
    ],
)
def test_an_expression_comes_to_a_key(expression: str, body: Any, key: str) -> None:
    """Variables with and without braces, several of them, escapes, no second evaluation, nothing where nothing is."""
    assert _evaluate(expression, body) == key


@pytest.mark.parametrize("expression", ["$context.routeKey", "$", "a $ b", "${request.header.x}", "$nothing"])
def test_variables_that_are_not_served_are_refused(expression: str) -> None:
    """At deployment, by name."""
    with pytest.raises(ValueError, match=r"\$"):
        parse_selection(expression, variables=("request.body",))
