"""What a target is given of an event: paths, templates, predefined variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.json_text import MalformedJson
from localcloud.services.events.envelope import Entry, Event, make_event
from localcloud.services.events.json_paths import MISSING, parse_path
from localcloud.services.events.json_values import Numeral, decode, encode
from localcloud.services.events.templates import MAX_FILLED_CHARS, InputTooLarge
from localcloud.services.events.transform import BadTemplate, RuleName, Transformer

RULE = RuleName(
    "arn:aws:events:eu-west-1:123456789012:rule/bus/example",
    "example",
    "arn:aws:events:eu-west-1:123456789012:event-bus/bus",
)
DETAIL = {
    "instance-id": "i-0123456789",
    "state": "RUNNING",
    "count": 3,
    "on": True,
    "nothing": None,
    "list": ["a", "b", 1],
    "items": [{"id": "x", "n": 1}, {"id": "y"}],
    "said": 'he said "hi"',
}


def event(detail: Mapping[str, Any] = DETAIL) -> Event:
    entry = Entry(source="shop", detail_type="change", detail=json.dumps(detail), time_s=1_447_277_394)
    return make_event(entry, "eu-west-1", event_id="7bf73129", now_s=1_800_000_000.0)


def fill(template: str, detail: Mapping[str, Any] = DETAIL, **paths: str) -> str:
    parsed = {name: parse_path(path) for name, path in paths.items()}
    assert None not in parsed.values()
    return Transformer(template, {name: path for name, path in parsed.items() if path}).fill(event(detail), RULE)


PATHS = {
    "time": "$.time",
    "instance": "$.detail.instance-id",
    "state": "$.detail.state",
    "count": "$.detail.count",
    "on": "$.detail.on",
    "nothing": "$.detail.nothing",
    "list": "$.detail.list",
    "items": "$.detail.items",
    "missing": "$.detail.missing",
    "said": "$.detail.said",
    "ids": "$.detail.items[*].id",
    "second": "$.detail.items[1].id",
}


@pytest.mark.parametrize(
    ("template", "output"),
    [  # the examples of the user guide
        ('"instance <instance> is in <state>"', '"instance i-0123456789 is in RUNNING"'),
        ('"instance \\"<instance>\\" is in <state>"', '"instance \\"i-0123456789\\" is in RUNNING"'),
        ('{"instance" : <instance>, "state": <state>}', '{"instance":"i-0123456789","state":"RUNNING"}'),
        (
            '{"instance" : <instance>, "state": "<state>", "s": "instance \\"<instance>\\" is in <state>"}',
            '{"instance":"i-0123456789","state":"RUNNING","s":"instance \\"i-0123456789\\" is in RUNNING"}',
        ),
        (
            '{\n "instance" : <instance>,\n "state": [ 9, <state>, true ],\n "Transformed" : "Yes"\n}',
            '{"instance":"i-0123456789","state":[9,"RUNNING",true],"Transformed":"Yes"}',
        ),
        ('"<aws.events.rule-name> triggered"', '"example triggered"'),
        # values that are no text
        ('{"a": <count>, "b": "<count>", "c": <on>, "d": <nothing>}', '{"a":3,"b":"3","c":true,"d":null}'),
        ('{"a": <list>, "b": <items>}', '{"a":["a","b",1],"b":[{"id":"x","n":1},{"id":"y"}]}'),
        ('{"a": "<list>", "b": "<items>"}', '{"a":"[a,b,1]","b":"[{id:x,n:1},{id:y}]"}'),
        ('"<list>"', '"[a,b,1]"'),
        ('{"a": <ids>, "b": <second>}', '{"a":["x","y"],"b":"y"}'),
        # paths that lead nowhere
        ('{"a": <missing>, "b": "<missing>", "c": "x<missing>y"}', '{"a":"","b":"","c":"xy"}'),
        ('"[<missing>]"', '"[]"'),
        # text outside of quotes is quoted; text inside of them is not escaped
        ("<instance> is in <state>", '"i-0123456789" is in "RUNNING"'),
        ('{"a": <said>}', '{"a":"he said \\"hi\\""}'),
        ('"<said>"', '"he said "hi""'),
        ('{"a": "<said>"}', '{"a": "he said "hi""}'),
        # several lines, as for SNS
        ('"one <state>"\n"two"', '"one RUNNING"\n"two"'),
        # nothing to fill
        ('{"a" : 1.10}', '{"a":1.10}'),
        ('"a < b and c > d"', '"a < b and c > d"'),
    ],
)
def test_templates(template: str, output: str) -> None:
    """JSON comes out minified, anything else as it stands."""
    assert fill(template, **PATHS) == output


def test_predefined_variables() -> None:
    """The rule's ARN and name, the time of arrival, the event with and without its detail."""
    template = (
        '{"arn": <aws.events.rule-arn>, "name": "<aws.events.rule-name>", "at": <aws.events.event.ingestion-time>, '
        '"event": <aws.events.event>, "json": <aws.events.event.json>}'
    )
    filled = json.loads(fill(template, {"n": 1}))
    named = {
        "id": "7bf73129",
        "account": "123456789012",
        "time": "2015-11-11T21:29:54Z",
        "source": "shop",
        "region": "eu-west-1",
        "resources": [],
        "version": "0",
    }
    assert filled == {
        "arn": RULE.arn,
        "name": "example",
        "at": "2027-01-15T08:00:00Z",
        "event": {**named, "detailType": "change"},
        "json": {**named, "detail-type": "change", "detail": {"n": 1}},
    }
    assert list(filled["event"]) == ["id", "account", "detailType", "time", "source", "region", "resources", "version"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("<unknown>", "InputTemplate for target t contains invalid placeholder unknown."),
        ("<aws.events.rule>", "InputTemplate for target t contains invalid placeholder aws.events.rule."),
        (
            "[<aws.events.event.json>]",
            "InputTemplate for target t contains placeholder aws.events.event.json valid only for JSON template.",
        ),
        ("{<state>: 1}", "InputTemplate for target t contains invalid placeholder state."),
    ],
)
def test_templates_that_are_refused(template: str, message: str) -> None:
    """In AWS's words."""
    state = parse_path("$.detail.state")
    assert state is not None
    with pytest.raises(BadTemplate) as caught:
        Transformer(template, {"state": state})
    assert caught.value.describe("t") == message


def test_a_template_cannot_make_a_small_event_huge() -> None:
    """Beyond what any target takes, filling ends."""
    template = "{" + ",".join(f'"{n}":<aws.events.event.json>' for n in range(250)) + "}"
    with pytest.raises(InputTooLarge):
        fill(template, {"text": "x" * (MAX_FILLED_CHARS // 200)})
    assert len(template) < 8192


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": {"b-c": [1, {"d": None}]}, "e": [[1, 2], [3]]}),
        ("$.a.b-c", [1, {"d": None}]),
        ("$.a.b-c[0]", 1),
        ("$.a.b-c[1].d", None),
        ("$.a.b-c[2]", MISSING),
        ("$.a.b-c.d", MISSING),
        ("$.a[0]", MISSING),
        ("$.x", MISSING),
        ("$.e[*][0]", [1, 3]),
        ("$.e[*].x", []),
        ("$.*", [{"b-c": [1, {"d": None}]}, [[1, 2], [3]]]),
        ("$.a.b-c[0].x", MISSING),
    ],
)
def test_paths(path: str, found: object) -> None:
    """Names, indices and stars; null is found, what is not there is not."""
    parsed = parse_path(path)
    assert parsed is not None
    assert parsed.find({"a": {"b-c": [1, {"d": None}]}, "e": [[1, 2], [3]]}) == found


@pytest.mark.parametrize("path", ["", "a", ".a", "$a", "$..a", "$.", "$.a[", "$.a[x]", "$.a['b']", "$.a[-1]", "$ .a"])
def test_what_is_no_path(path: str) -> None:
    """Quotes, filters, slices and deep scans are none of EventBridge's."""
    assert parse_path(path) is None


@pytest.mark.parametrize("text", ["1.10", "1e400", "-0.0", "123456789012345678901234567890", "1E+2", "9" * 5000])
def test_numbers_keep_their_digits(text: str) -> None:
    """Through decoding and encoding."""
    assert encode(decode(f'{{"n": {text}}}')) == f'{{"n":{text}}}'
    assert decode(text) == Numeral(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_goes_in_and_out(value: object) -> None:
    """What is encoded is the same JSON."""
    assert json.loads(encode(decode(json.dumps(value)))) == value


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", '"\\ud800"', "[" * 201 + "]" * 201, "[" * 100_000])
def test_what_is_no_json(text: str) -> None:
    """Constants of JavaScript, halves of characters and what is too deep are refused as well."""
    with pytest.raises(MalformedJson):
        decode(text)
