"""codec.rest: proxy events of API Gateway REST APIs."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import rest
from sluiceway.codec.http import problem
from sluiceway.errors import Rejected
from sluiceway.events.http import HttpReply, Problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFG-", min_size=1)


def event(**changes: object) -> dict[str, object]:
    """A GET as the gateway sends it."""
    return {
        "httpMethod": "GET",
        "path": "/jobs/j1",
        "headers": {"Accept": "*/*"},
        "multiValueHeaders": {"Accept": ["*/*"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"job_id": "j1"},
        "requestContext": {"requestId": "gateway-id", "authorizer": {"principalId": "caller-1"}},
        "body": None,
        "isBase64Encoded": False,
        **changes,
    }


def test_a_request_is_decoded():
    """Method, path, parameters, caller and ids come from where the gateway puts them."""
    request = rest.decode(event())
    assert (request.method, request.path, request.path_parameters) == ("GET", "/jobs/j1", {"job_id": "j1"})
    assert (request.caller, request.request_id, request.body) == ("caller-1", "gateway-id", b"")
    assert (request.headers, request.query) == ({"accept": "*/*"}, {})


@given(headers=st.dictionaries(NAMES, st.lists(st.text(), min_size=1, max_size=3), max_size=5))
def test_header_names_are_lower_case_and_the_last_value_wins(headers: dict[str, list[str]]):
    """HTTP header names have no case; what a gateway repeats is reduced to its last value."""
    single = {name: values[-1] for name, values in headers.items()}
    expected = {name.lower(): value for name, value in single.items()}
    assert rest.decode(event(headers=single, multiValueHeaders=headers)).headers == expected
    assert rest.decode(event(headers=single, multiValueHeaders=None)).headers == expected


@given(body=st.binary())
def test_a_base64_body_comes_byte_for_byte(body: bytes):
    """What the gateway encoded is what the flow sees."""
    assert rest.decode(event(body=base64.b64encode(body).decode(), isBase64Encoded=True)).body == body


@given(body=st.text())
def test_a_text_body_comes_as_utf8(body: str):
    """A prompt with &, +, %, quotes, new lines and emoji is its UTF-8."""
    assert rest.decode(event(body=body)).body == body.encode()


def test_a_false_base64_claim_is_malformed():
    """The error names the member and does not quote the body."""
    with pytest.raises(Rejected) as caught:
        rest.decode(event(body="%%%secret", isBase64Encoded=True))
    assert (caught.value.reason, caught.value.field, "secret" in str(caught.value)) == (
        "malformed-event",
        "body",
        False,
    )


def test_a_route_without_authorizer_has_no_caller():
    """No authorizer, no caller: the empty text, never a guess."""
    assert rest.decode(event(requestContext={"requestId": "r"})).caller == ""


@given(raw=JSON)
def test_any_other_json_is_malformed(raw: object):
    """A function attached to the wrong trigger says so, whatever it is sent."""
    with pytest.raises(Rejected) as caught:
        rest.decode(raw)
    assert caught.value.reason == "malformed-event"


@given(changes=st.dictionaries(st.sampled_from(sorted(event())), JSON, min_size=1, max_size=3))
def test_a_damaged_event_is_decoded_or_malformed(changes: dict[str, object]):
    """No member's type can raise anything but Rejected."""
    with contextlib.suppress(Rejected):
        rest.decode(event(**changes))


@given(status=st.integers(100, 599), body=st.text(), headers=st.dictionaries(NAMES, NAMES))
def test_text_replies_travel_as_text(status: int, body: str, headers: dict[str, str]):
    """The proxy response holds JSON types only."""
    reply = rest.encode(HttpReply(status=status, body=body, headers=headers))
    assert json.loads(json.dumps(reply)) == {
        "statusCode": status,
        "headers": headers,
        "body": body,
        "isBase64Encoded": False,
    }


@given(body=st.binary())
def test_byte_replies_travel_as_base64(body: bytes):
    """Bytes survive JSON."""
    reply = rest.encode(HttpReply(status=200, body=body))
    assert (base64.b64decode(str(reply["body"])), reply["isBase64Encoded"]) == (body, True)


@pytest.mark.parametrize(
    "reply",
    [
        HttpReply(99),
        HttpReply(600),
        HttpReply(200, headers={"a": "b\r\nset-cookie: c"}),
        HttpReply(200, headers={"": "b"}),
    ],
)
def test_replies_that_break_http_are_refused(reply: HttpReply):
    """A header that ends its line would write the next one; a status out of range is ours to mend."""
    with pytest.raises(ValueError):
        rest.encode(reply)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("abc-1", "abc-1"), ("", "gateway-id"), ("x" * 129, "gateway-id"), ("a b", "gateway-id"), ("a\n", "gateway-id")],
)
def test_the_correlation_id_is_the_clients_if_it_fits_a_log_line(sent: str, expected: str):
    """A caller names its request, within 128 plain characters."""
    assert rest.correlation_id(rest.decode(event(multiValueHeaders={"X-Correlation-Id": [sent]}))) == expected


def test_a_problem_is_rfc_9457():
    """Media type, members and no cache; an empty detail is left out; own headers are kept."""
    reply = problem(Problem("/problems/job-not-found", "No such job", 404), headers={"vary": "origin"})
    assert json.loads(reply.body) == {"type": "/problems/job-not-found", "title": "No such job", "status": 404}
    assert reply.headers == {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
        "vary": "origin",
    }
    assert json.loads(problem(Problem("/p", "T", 400, "why")).body)["detail"] == "why"
