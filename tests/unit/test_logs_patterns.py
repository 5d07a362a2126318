"""Filter patterns of CloudWatch Logs: what matches a message, and what is no pattern."""

from __future__ import annotations

import pytest

from localcloud.services.logs.errors import LogsError
from localcloud.services.logs.patterns import bounded, parse_pattern

MESSAGE = "[ERROR 401] UNAUTHORIZED REQUEST by user-7, 100% sure"
EVENT = '{"a":{"b":[1,{"c":"x"}]},"n":-3.5,"s":"hello world","t":true,"z":null,"e":"ERROR: 7","big-key":"k"}'


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("", True),
        ("ERROR", True),
        ("error", False),
        ("ERR", False),
        ("AUTHORIZED", False),
        ("%AUTHORIZED%", True),
        ("%4[0-9]+%", True),
        ("ERROR REQUEST", True),
        ("ERROR MISSING", False),
        ("?MISSING ?ERROR", True),
        ("?MISSING ?GONE", False),
        ("ERROR -REQUEST", False),
        ("ERROR -MISSING", True),
        ('"ERROR 401"', True),
        ('"401 ERROR"', False),
        ('"user-7"', True),
        ("user-7", True),
        ('"100%"', True),
        ("-MISSING", True),
        ('-"ERROR 401"', False),
    ],
)
def test_terms_phrases_and_expressions(pattern: str, *, matches: bool) -> None:
    """All terms, any of those with ?, none of those with -; a term is a whole word, in its case."""
    assert parse_pattern(pattern)(MESSAGE) is matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ('{ $.s = "hello world" }', True),
        ('{ $.s = "hello*" }', True),
        ("{ $.s = hello* }", True),
        ('{ $.s != "hello" }', True),
        ('{ $.missing != "hello" }', False),
        ("{ $.n = -3.5 }", True),
        ("{ $.n < 0 }", True),
        ("{ $.n >= 0 }", False),
        ("{ $.s > 0 }", False),
        ("{ $.a.b[0] = 1 }", True),
        ('{ $.a.b[1].c = "x" }', True),
        ("{ $.t IS TRUE }", True),
        ("{ $.t IS FALSE }", False),
        ("{ $.z IS NULL }", True),
        ("{ $.missing IS NULL }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.z NOT EXISTS }", False),
        ("{ $.e = %ERROR.+7% }", True),
        ('{ $["big-key"] = "k" }', True),
        ("{ ($.n = 1) || ($.t IS TRUE && $.n < 0) }", True),
        ("{ ($.n = 1 || $.t IS TRUE) && $.n > 0 }", False),
        ("{ $.n = 1 || $.t IS TRUE && $.n < 0 }", True),
    ],
)
def test_json_events_are_compared_by_their_members(pattern: str, *, matches: bool) -> None:
    """Paths, texts with *, numbers, expressions, presence, and && before ||."""
    test = parse_pattern(pattern)
    assert (test(EVENT), test("no JSON"), test("{broken")) == (matches, False, False)


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a }",
        "{ $.a = }",
        "{ $.a = 1",
        "{ a = 1 }",
        "{ ($.a = 1 }",
        "{ $.a = 1 } x }",
        "{ $.a > text }",
        "{ $.a IS EXISTS }",
        "{ $.a NOT NULL }",
        "{" + "(" * 30 + "$.a = 1" + ")" * 30 + "}",
        "[ip, user]",
        '"open',
        "%(a+)+%",
        "%" + "a*" * 9 + "%",
        "%a!%",
        "(a",
        "x" * 1025,
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """With InvalidParameterException, never passed over."""
    with pytest.raises(LogsError) as caught:
        parse_pattern(pattern)
    assert caught.value.code == "InvalidParameterException"


def test_an_expression_that_takes_ages_matches_nothing_that_is_written() -> None:
    """Eight repetitions in a row against letters that nearly fit: ended after a second."""
    pattern = "%" + "a*" * 8 + "b%"
    assert bounded(parse_pattern(pattern))("x" + "a" * 3 + "b")
    assert not bounded(parse_pattern(pattern))("a" * 300)
