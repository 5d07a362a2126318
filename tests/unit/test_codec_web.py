"""codec.web: HTTP requests of payload 1.0 and 2.0 through one source."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.function_url_event import Arrival, make_event
from localcloud.gateway.message import HttpRequest as GatewayRequest
from sluiceway.codec import rest, web
from sluiceway.errors import Rejected
from sluiceway.events.http import HttpReply, HttpRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def rest_event(**changes: object) -> dict[str, object]:
    """A request as a REST API sends it."""
    return {
        "httpMethod": "POST",
        "path": "/answers",
        "headers": {"Last-Event-ID": "1.5"},
        "multiValueHeaders": {"Last-Event-ID": ["1.5"]},
        "queryStringParameters": {"a": "2"},
        "multiValueQueryStringParameters": {"a": ["1", "2"]},
        "pathParameters": None,
        "requestContext": {"requestId": "gateway-id", "authorizer": {"principalId": "caller-1"}},
        "body": "{}",
        "isBase64Encoded": False,
        **changes,
    }


def url_event(**changes: object) -> dict[str, object]:
    """The same as a Function URL, or an HTTP API, sends it."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/answers",
        "rawQueryString": "a=1&a=2",
        "headers": {"last-event-id": "1.5"},
        "queryStringParameters": {"a": "1,2"},
        "requestContext": {
            "http": {"method": "POST", "path": "/answers", "protocol": "HTTP/1.1"},
            "authorizer": {"lambda": {"principalId": "caller-1"}},
            "requestId": "gateway-id",
            "stage": "$default",
        },
        "body": "{}",
        "isBase64Encoded": False,
        **changes,
    }


def test_both_payloads_give_the_same_request() -> None:
    """A flow does not know where it is attached."""
    expected = HttpRequest(
        method="POST",
        path="/answers",
        headers={"last-event-id": "1.5"},
        query={"a": "2"},
        path_parameters={},
        body=b"{}",
        caller="caller-1",
        request_id="gateway-id",
    )
    assert web.decode(rest_event()) == web.decode(rest_event(version="1.0")) == expected
    assert web.decode(url_event()) == expected


@given(
    path=st.text(alphabet="abc/._~-%20", max_size=20).map("/".__add__),
    query=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4),
    body=st.binary(max_size=50),
    kind=st.sampled_from(["application/json", "application/octet-stream"]),
)
def test_requests_at_a_local_function_url_come_through(
    path: str, query: list[tuple[str, str]], body: bytes, kind: str
) -> None:
    """Path, the last value of each parameter, cookies and body are the client's."""
    body = body.decode("latin-1").encode()
    headers = (("Cookie", "a=1; b=2"), ("Content-Type", kind), ("X-Twice", "1"), ("x-twice", "2"))
    request = GatewayRequest("PUT", path, urlencode(query), headers, body)
    arrival = Arrival(request=request, domain="d.lambda-url", request_id="id", trace_id="t", at_s=0.0)
    found = web.decode(json.loads(make_event(arrival)))
    assert (found.method, found.path, found.query, found.body) == ("PUT", path, dict(query), body)
    assert (found.headers["cookie"], found.headers["x-twice"]) == ("a=1; b=2", "1,2")
    assert (found.caller, found.request_id) == ("", "id")


@pytest.mark.parametrize(
    ("stage", "raw", "path"),
    [
        ("$default", "/answers", "/answers"),
        ("$default", "/$default/answers", "/$default/answers"),
        ("v1", "/v1/answers", "/answers"),
        ("v1", "/v1", "/"),
        ("v1", "/v1x/answers", "/v1x/answers"),
        ("", "/answers", "/answers"),
    ],
)
def test_the_path_is_the_one_within_the_stage(stage: str, raw: str, path: str) -> None:
    """An HTTP API puts its stage in front of the raw path; payload 1.0 of a REST API does not."""
    context = {"http": {"method": "GET"}, "requestId": "r", "stage": stage}
    assert web.decode(url_event(rawPath=raw, requestContext=context)).path == path


@pytest.mark.parametrize(
    "authorizer", [None, {}, {"iam": {"userArn": "arn"}}, {"jwt": {"claims": {"sub": "x"}}}, {"lambda": None}]
)
def test_without_a_lambda_authorizer_there_is_no_caller(authorizer: object) -> None:
    """The empty text, never another kind of name."""
    context = {"http": {"method": "GET"}, "requestId": "r", "authorizer": authorizer}
    assert web.decode(url_event(requestContext=context)).caller == ""


@given(body=st.binary())
def test_a_base64_body_comes_byte_for_byte(body: bytes) -> None:
    """As in payload 1.0."""
    assert web.decode(url_event(body=base64.b64encode(body).decode(), isBase64Encoded=True)).body == body


def test_parameters_without_values_are_kept() -> None:
    """They are there; what is encoded is decoded."""
    assert web.decode(url_event(rawQueryString="flag&x=a%20b+c&=y")).query == {"flag": "", "x": "a b c", "": "y"}


@pytest.mark.parametrize("version", [None, 2, "3.0", ["2.0"]])
def test_other_versions_are_malformed(version: object) -> None:
    """What is not known is not guessed."""
    with pytest.raises(Rejected) as caught:
        web.decode(url_event(version=version))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", "version")


@given(raw=JSON)
def test_any_other_json_is_malformed(raw: object) -> None:
    """A function attached to the wrong trigger says so."""
    with pytest.raises(Rejected):
        web.decode(raw)


@given(
    changes=st.dictionaries(st.sampled_from([*url_event(), "cookies", "pathParameters"]), JSON, min_size=1, max_size=3),
    context=st.dictionaries(st.sampled_from(["http", "authorizer", "requestId", "stage"]), JSON, max_size=2),
)
def test_a_damaged_event_is_decoded_or_malformed(changes: dict[str, object], context: dict[str, object]) -> None:
    """No member's type can raise anything but Rejected."""
    event: dict[str, Any] = url_event()
    event["requestContext"] |= context
    with contextlib.suppress(Rejected):
        web.decode({**event, **changes})


def test_replies_are_those_of_payload_1() -> None:
    """Function URLs and HTTP APIs take the same form."""
    reply = HttpReply(202, "x", {"a": "b"})
    assert web.encode(reply) == rest.encode(reply)
    assert web.correlation_id(web.decode(url_event())) == "gateway-id"
