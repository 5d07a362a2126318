"""Which route of an HTTP API takes a request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.http_api.definition import Route
from localcloud.gateway.http_api.routing import Routes, check_key

DOCUMENTED = ("GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default")


def match(keys: tuple[str, ...], method: str, path: str) -> tuple[str, dict[str, str]] | None:
    found = Routes(Route(key, key) for key in keys).match(method, path)
    return None if found is None else (found[0].key, found[1])


NONE: dict[str, str] = {}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/pets/dog/1", ("GET /pets/dog/1", NONE)),
        ("GET", "/pets/dog/2", ("GET /pets/dog/{id}", {"id": "2"})),
        ("GET", "/pets/cat/1", ("GET /pets/{proxy+}", {"proxy": "cat/1"})),
        ("POST", "/test/5", ("ANY /{proxy+}", {"proxy": "test/5"})),
        ("POST", "/pets/dog/1", ("ANY /{proxy+}", {"proxy": "pets/dog/1"})),
        ("GET", "/", ("$default", NONE)),
    ],
)
def test_the_documented_example_is_routed_as_documented(method: str, path: str, expected: Any) -> None:
    """The table of the page on routes, and `$default` for what no path takes."""
    assert match(DOCUMENTED, method, path) == expected


@pytest.mark.parametrize(
    ("keys", "method", "path", "expected"),
    [
        (("GET /a",), "GET", "/a/", None),
        (("GET /a/",), "GET", "/a/", ("GET /a/", NONE)),
        (("GET /",), "GET", "/", ("GET /", NONE)),
        (("GET /a/{id}",), "GET", "/a/", None),
        (("GET /a/{rest+}",), "GET", "/a/", None),
        (("GET /a/{rest+}",), "GET", "/a", None),
        (("GET /a",), "POST", "/a", None),
        (("ANY /a", "GET /a"), "GET", "/a", ("GET /a", NONE)),
        (("ANY /a", "GET /{x}"), "GET", "/a", ("ANY /a", NONE)),
        (("GET /a/{rest+}", "GET /{x}/b"), "GET", "/a/b", ("GET /{x}/b", {"x": "a"})),
        (("GET /{x}/b", "GET /a/{y}"), "GET", "/a/b", ("GET /a/{y}", {"y": "b"})),
        (("GET /{a+}",), "GET", "/x%2Fy/z%20", ("GET /{a+}", {"a": "x/y/z "})),
        (("GET /{a}",), "GET", "/x%2Fy", ("GET /{a}", {"a": "x/y"})),
        (("GET /a b",), "GET", "/a%20b", ("GET /a b", NONE)),
    ],
)
def test_the_most_specific_route_takes_the_request(
    keys: tuple[str, ...], method: str, path: str, expected: object
) -> None:
    """Whole paths before greedy ones, names before variables, methods before ANY; a slash at the end counts."""
    assert match(keys, method, path) == expected


@given(st.lists(st.sampled_from(["a", "b", "{x}", "{y+}"]), min_size=1, max_size=3), st.permutations(DOCUMENTED))
def test_the_order_of_routes_says_nothing(parts: list[str], keys: list[str]) -> None:
    """The same route takes a request whatever the order in which routes were made."""
    path = "/" + "/".join(part.strip("{}+") for part in parts)
    assert match(tuple(keys), "GET", path) == match(DOCUMENTED, "GET", path)


@pytest.mark.parametrize(
    "key",
    ["/a", "GET a", "TRACE /a", "get /a", "$connect", "GET /{a+}/b", "GET /a{b}", "GET /{}", "GET /{a}/{a}", "ANY", ""],
)
def test_what_is_no_route_key_is_refused(key: str) -> None:
    """With the key in words."""
    with pytest.raises(ValueError, match=r"route key|variable"):
        check_key(key)


@pytest.mark.parametrize("key", ["$default", "GET /", "ANY /{proxy+}", "PATCH /a/{b}/c", "OPTIONS /a.b-c"])
def test_route_keys_are_taken(key: str) -> None:
    """Those that AWS's documentation shows."""
    check_key(key)
