"""JSONPath as mapping templates use it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from localcloud.gateway.jsonpath import ABSENT, JsonPathError, find

DOCUMENT = {
    "a": {"b": [10, 20, 30], "c d": "spaced", "e.f": "dotted", "null": None},
    "list": [{"n": 1}, {"n": 2}, {"m": 3}],
    "n": 0,
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", DOCUMENT),
        ("$.n", 0),
        ("n", 0),
        ("$.a.b", [10, 20, 30]),
        ("$.a.b[0]", 10),
        ("$.a.b[-1]", 30),
        ("$.a.b[3]", ABSENT),
        ("$.a.b[0,2]", [10, 30]),
        ("$.a.b[1:]", [20, 30]),
        ("$.a.b[:1]", [10]),
        ("$.a.b[*]", [10, 20, 30]),
        ("$['a']['c d']", "spaced"),
        ('$["a"]["e.f"]', "dotted"),
        ("$.a['b'][1]", 20),
        ("$.a.null", None),
        ("$.nosuch", ABSENT),
        ("$.n.deeper", ABSENT),
        ("$.list.n", ABSENT),
        ("$.list[*].n", [1, 2]),
        ("$.list[0].n", 1),
        ("$..n", [0, 1, 2]),
        ("$..m", [3]),
        ("$..nosuch", []),
        ("$.*", list(DOCUMENT.values())),
        ("$['n','list']", [{"n": 0, "list": DOCUMENT["list"]}]),
    ],
)
def test_paths(path: str, expected: Any) -> None:
    """A definite path gives its value or nothing, an indefinite one a list."""
    assert find(DOCUMENT, path) == expected


def test_every_value_below() -> None:
    """`$..*` gives each value once."""
    assert len(find(DOCUMENT, "$..*")) == 16


@pytest.mark.parametrize("path", ["$[?(@.n)]", "$.a.length()", "$.", "$..", "$[", "$.a[b]", "$.a b", "$x"])
def test_what_is_not_served_is_refused(path: str) -> None:
    """Filters, functions and nonsense name themselves."""
    with pytest.raises(JsonPathError):
        find(DOCUMENT, path)


def test_a_path_that_goes_everywhere_again_and_again_has_an_end() -> None:
    """A request may bring the path: towers of `..` and `*` stand for more than there is time."""
    document: Any = list(range(1000))
    for _ in range(50):
        document = [document]
    for path in ("$" + "..*" * 30, "$..[0]..[0]..[0]..[0]..[0]", "$" + "..[0:]" * 20):
        begun = time.process_time()
        with pytest.raises(JsonPathError, match="leads over more than 1000000 values"):
            find(document, path)
        assert time.process_time() - begun < 5.0


@pytest.mark.parametrize("path", ["$[" + "9" * 5000 + "]", "$[" + "9" * 5000 + ":]", "$" + ".a(" * 1000])
def test_a_path_of_any_length_is_refused_in_a_short_sentence(path: str) -> None:
    """What a request brings is quoted only as far as it tells something."""
    with pytest.raises(JsonPathError, match="is not served here") as raised:
        find({}, path)
    assert len(str(raised.value)) < 400
