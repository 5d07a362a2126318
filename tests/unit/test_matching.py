"""Patterns that would try for ever are ended, wherever a template may bring one."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.errors import DefinitionError, GatewayError
from localcloud.gateway.policies import judge
from localcloud.gateway.validation import BodyValidator
from localcloud.gateway.vtl.strings import STRING_METHODS
from localcloud.gateway.vtl.values import Unknown
from localcloud.matching import PatternTooSlow, compile_pattern, limit_matching, match_runs
from localcloud.services.iam.wildcards import fill_variables, match_action, match_resource, match_text
from localcloud.services.logs.patterns import parse_pattern
from localcloud.services.states.choice import COMPARISONS
from localcloud.template.errors import TemplateError
from localcloud.template.parameters import read_parameters, resolve_parameters
from tests.unit.gateway_setup import FakeFunctions, allow, ask, make_stage, mock, proxy

SLOW = "(a+)+$"
HOSTILE = "a" * 60 + "!"
BROKEN = ["(", "a{99999999999}", "(" * 3000 + ")" * 3000]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that a test can wait for."""
    monkeypatch.setattr("localcloud.matching.LIMIT_S", 0.02)


def test_a_match_that_would_take_ages_is_ended() -> None:
    """The timer and the handler are as they were before, and quick patterns work on."""
    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(PatternTooSlow, match=r"more than 0\.02 s"), limit_matching():
        re.search(SLOW, HOSTILE)
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    with limit_matching():
        assert re.search(SLOW, "aaa")


@pytest.mark.parametrize("text", BROKEN, ids=["unbalanced", "too many", "too deep"])
def test_what_is_no_pattern_is_said_in_words(text: str) -> None:
    """Whatever the compiler raises."""
    with pytest.raises(ValueError, match="regular expression"):
        compile_pattern(text)


def test_a_parameters_pattern_is_bounded() -> None:
    """The parameter is named, and its value is not held to be wrong."""
    declared = read_parameters({"Parameters": {"P": {"Type": "String", "AllowedPattern": SLOW}}})
    with pytest.raises(TemplateError, match=r"Parameters\.P\.AllowedPattern: the pattern takes more than"):
        resolve_parameters(declared, {"P": HOSTILE})


@pytest.mark.parametrize("pattern", BROKEN, ids=["unbalanced", "too many", "too deep"])
def test_a_pattern_that_is_none_is_refused_where_it_stands(pattern: str) -> None:
    """In a parameter and in a model, at deployment: no request finds it."""
    with pytest.raises(TemplateError, match=r"P\.AllowedPattern: is n"):
        read_parameters({"Parameters": {"P": {"Type": "String", "AllowedPattern": pattern}}})
    schemas: list[dict[str, Any]] = [
        {"pattern": pattern},
        {"patternProperties": {pattern: {}}},
        {"items": {"pattern": pattern}},
    ]
    for schema in schemas:
        with pytest.raises(DefinitionError, match="regular expression"):
            make_stage(_checked(schema))


def test_a_models_properties_may_be_named_pattern() -> None:
    """And its examples may hold anything."""
    make_stage(_checked({"properties": {"pattern": {"type": "string"}}, "example": {"pattern": "("}}))


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    operation = {**mock(), "requestBody": {"content": {"application/json": {"schema": schema}}}}
    return {"/a": {"post": operation}}


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"properties": {"a": {"pattern": SLOW}}}, b'{"a":"' + HOSTILE.encode() + b'"}'),
        ({"patternProperties": {SLOW: {}}}, b'{"' + HOSTILE.encode() + b'":1}'),
        ({"patternProperties": {SLOW: {}}, "additionalProperties": False}, b'{"' + HOSTILE.encode() + b'":1}'),
    ],
)
def test_a_models_pattern_is_bounded(schema: dict[str, Any], body: bytes) -> None:
    """The body cannot be judged, so it is refused."""
    with pytest.raises(GatewayError) as caught:
        BodyValidator(schema).check(body)
    assert (caught.value.kind, caught.value.validation) == ("BAD_REQUEST_BODY", "[Pattern takes too long]")


async def test_a_token_authorizers_expression_is_bounded() -> None:
    """A token that cannot be judged is none: 401, and the function is not asked."""
    scheme = {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "custom",
        "x-amazon-apigateway-authorizer": {
            "type": "token",
            "identitySource": "method.request.header.Authorization",
            "identityValidationExpression": SLOW,
            "authorizerUri": proxy("check")["x-amazon-apigateway-integration"]["uri"],
        },
    }
    functions = FakeFunctions({"check": allow()})
    operation: dict[str, Any] = {**mock(), "security": [{"s": []}]}
    stage = make_stage({"/a": {"get": operation}}, functions=functions, components={"securitySchemes": {"s": scheme}})
    assert (await ask(stage, "GET", "/a", Authorization=HOSTILE)).status == 401
    assert functions.events == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: STRING_METHODS["matches"][2](HOSTILE, SLOW),
        lambda: STRING_METHODS["replaceAll"][2](HOSTILE, SLOW, ""),
        lambda: STRING_METHODS["replaceFirst"][2](HOSTILE, SLOW, ""),
        lambda: STRING_METHODS["split"][2](HOSTILE, SLOW),
    ],
    ids=["matches", "replaceAll", "replaceFirst", "split"],
)
def test_a_mapping_templates_pattern_is_bounded(call: Callable[[], object]) -> None:
    """The template is at fault, and its message says so."""
    with pytest.raises(Unknown, match="takes more than"):
        call()


def test_wildcards_of_policies_take_no_time() -> None:
    """Many stars against a long name that nearly fits: each part is looked for once."""
    stars, name = "*a" * 40 + "b", "a" * 4000
    assert not match_text(stars, name)
    assert not match_resource(f"arn:aws:s3:::{stars}", f"arn:aws:s3:::{name}")
    assert not match_action(f"s3:{stars}", f"s3:{name}")
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": stars}
    judge({"Version": "2012-10-17", "Statement": statement}, name, {})
    assert fill_variables("${" + " " * 50_000 + "}", {}) is None
    assert fill_variables("${" + " " * 50_000 + ",}", {}) is None


def _slowly(pattern: str, text: str) -> bool:
    """Wildcards the way they are defined, for short texts."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_slowly(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in {text[0], "?"} and _slowly(pattern[1:], text[1:])


@given(st.text("ab*?", max_size=7), st.text("ab", max_size=7))
def test_wildcards_match_as_they_are_defined(pattern: str, text: str) -> None:
    """Looking for each part once finds what trying everything finds."""
    assert match_text(pattern, text) == _slowly(pattern, text)


@given(st.text("ab*:", max_size=8), st.text("ab:", max_size=8))
def test_wildcards_in_arns_match_as_the_expression_does(pattern: str, text: str) -> None:
    """A star that does not end its segment stays in it."""
    parts = [
        (".*" if pattern[at + 1 : at + 2] in ("", ":", "*") else "[^:]*") if letter == "*" else re.escape(letter)
        for at, letter in enumerate(pattern)
    ]
    expected = re.fullmatch("arn:" + "".join(parts), f"arn:{text}", re.DOTALL) is not None
    assert match_resource(f"arn:{pattern}", f"arn:{text}") == expected


@given(st.text("ab*", max_size=7), st.text("ab", max_size=7))
def test_runs_match_as_they_are_defined(pattern: str, text: str) -> None:
    """Looking for each part once finds what trying everything finds."""
    assert match_runs(pattern.split("*"), text) == _slowly(pattern, text)


def test_stars_of_choices_and_filter_patterns_take_no_time() -> None:
    """Many stars against a long text that nearly fits."""
    stars, text = "*a" * 40 + "b", "a" * 4000
    assert not COMPARISONS["StringMatches"](text, stars)
    assert COMPARISONS["StringMatches"](r"a*b\c", r"*\**\\c")
    assert not parse_pattern(f'{{ $.m = "{stars}" }}')(f'{{"m": "{text}"}}')
