"""codec.authorizer: Lambda authorizers of REST, HTTP and WebSocket APIs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import authorizer
from sluiceway.errors import Rejected
from sluiceway.events.authorizer import AuthorizerReply

ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1/GET/jobs/j1"


def event(**changes: object) -> dict[str, object]:
    """A request as the gateway asks about it."""
    return {
        "type": "REQUEST",
        "methodArn": ARN,
        "resource": "/jobs/{job_id}",
        "path": "/jobs/j1",
        "httpMethod": "GET",
        "headers": {"Authorization": "Bearer the.token.here"},
        "requestContext": {"requestId": "gateway-id"},
        **changes,
    }


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("value", ["Bearer t.o.k", "bearer t.o.k", "BEARER   t.o.k", " Bearer t.o.k "])
def test_the_token_follows_bearer_in_any_case(name: str, value: str):
    """Header names and the scheme have no case (RFC 9110 section 11.1)."""
    assert authorizer.decode(event(headers={name: value})).token == "t.o.k"
    assert authorizer.decode(event(headers=None, multiValueHeaders={name: [value]})).token == "t.o.k"


@pytest.mark.parametrize(
    "headers", [None, {}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"}, {"x": "y"}]
)
def test_without_a_bearer_token_the_token_is_empty(headers: object):
    """No token is not malformed: it is a refusal, and the flow's to make."""
    assert authorizer.decode(event(headers=headers)).token == ""


def test_two_authorization_headers_are_no_token():
    """Which of two would count is anybody's guess, so neither does."""
    two = {"Authorization": ["Bearer a.b.c", "Bearer d.e.f"]}
    assert authorizer.decode(event(multiValueHeaders=two)).token == ""
    assert (
        authorizer.decode(event(headers={"Authorization": "Bearer a.b.c", "authorization": "Bearer d.e.f"})).token == ""
    )


def test_a_request_never_shows_its_token():
    """The token is left out of the representation that ends in tracebacks."""
    assert "the.token.here" not in repr(authorizer.decode(event()))


@given(path=st.text(alphabet="abc/:*-", max_size=20), method=st.sampled_from(["GET", "POST"]))
def test_the_resource_covers_the_stage_and_nothing_else(path: str, method: str):
    """One cached answer serves every route of the stage, and no other stage or API."""
    arn = f"arn:aws-cn:execute-api:cn-north-1:123456789012:abc123/v1/{method}/{path}"
    assert authorizer.stage_resource(arn) == "arn:aws-cn:execute-api:cn-north-1:123456789012:abc123/v1/*"


@pytest.mark.parametrize(
    "arn",
    [
        None,
        "",
        "*",
        "arn:aws:execute-api:eu-west-1:123456789012:abc123",
        "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1",
        "arn:aws:execute-api:eu-west-1:123456789012:*/v1/GET/",
        "arn:aws:execute-api:eu-west-1:123456789012:abc123/*/GET/",
        "arn:aws:execute-api:eu-west-1:123456789012:/v1/GET/",
        "arn:aws:execute-api:*:123456789012:abc123/v1/GET/",
        "arn:aws:execute-api:eu-west-1:123456789012:abc12?/v1/GET/",
        "arn:aws:execute-api::123456789012:abc123/v1/GET/",
        "arn:aws:lambda:eu-west-1:123456789012:function:f/v1/GET",
    ],
)
def test_an_arn_that_would_widen_the_policy_is_malformed(arn: object):
    """A policy is never made from a part that is missing or a wild card."""
    with pytest.raises(Rejected) as caught:
        authorizer.decode(event(methodArn=arn))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", "methodArn")


def test_a_token_authorizers_event_has_the_token_alone():
    """Method and path are the ARN's; there is no request id."""
    request = authorizer.decode({"type": "TOKEN", "methodArn": ARN, "authorizationToken": "Bearer t.o.k"})
    assert (request.token, request.method, request.path, request.request_id) == ("t.o.k", "GET", "/jobs/j1", "")
    assert (request.method_arn, request.takes_simple) == (ARN, False)
    assert authorizer.decode({"type": "TOKEN", "methodArn": ARN, "authorizationToken": "Basic x"}).token == ""
    with pytest.raises(Rejected, match="authorizationToken"):
        authorizer.decode({"type": "TOKEN", "methodArn": ARN})


@pytest.mark.parametrize("changes", [{"type": "SOMETHING"}, {"type": None}, {"version": "3.0"}, {"version": 2}])
def test_an_event_of_another_kind_is_malformed(changes: dict[str, object]):
    """It is told, and nobody is let in or refused by a guess."""
    with pytest.raises(Rejected) as caught:
        authorizer.decode(event(**changes))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", next(iter(changes)))


def http_event(**changes: object) -> dict[str, object]:
    """A request as an HTTP API asks about it, payload 2.0."""
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-west-1:123456789012:abc123/$default/GET/jobs/j1",
        "identitySource": ["Bearer t.o.k"],
        "routeKey": "GET /jobs/{job_id}",
        "rawPath": "/jobs/j1",
        "headers": {"authorization": "Bearer t.o.k", "accept": "*/*"},
        "requestContext": {
            "http": {"method": "GET", "path": "/jobs/j1", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"},
            "requestId": "gateway-id",
            "stage": "$default",
        },
        **changes,
    }


def test_an_http_apis_event_is_decoded():
    """Payload 2.0 alone may want a simple response; payload 1.0 has a REST API's members."""
    request = authorizer.decode(http_event())
    assert (request.token, request.method, request.path) == ("t.o.k", "GET", "/jobs/j1")
    assert (request.request_id, request.takes_simple) == ("gateway-id", True)
    assert authorizer.stage_resource(request.method_arn).endswith(":abc123/$default/*")
    first = authorizer.decode(event(version="1.0", identitySource="x", authorizationToken="x"))
    assert (first.token, first.takes_simple) == ("the.token.here", False)


def test_two_authorization_headers_of_an_http_api_are_no_good_token():
    """It joins them with a comma, which no token has in it."""
    two = http_event(headers={"authorization": "Bearer a.b.c,Bearer d.e.f"})
    assert authorizer.decode(two).token == "a.b.c,Bearer d.e.f"


@pytest.mark.parametrize(
    ("member", "changes"),
    [
        ("routeArn", {"routeArn": ARN.replace("abc123", "*")}),
        ("routeArn", {"routeArn": None, "methodArn": ARN}),
        ("requestContext.http", {"requestContext": {"requestId": "r"}}),
        ("requestContext", {"requestContext": []}),
    ],
)
def test_an_http_apis_event_without_its_members_is_malformed(member: str, changes: dict[str, object]):
    """The member is named."""
    with pytest.raises(Rejected) as caught:
        authorizer.decode(http_event(**changes))
    assert caught.value.field == member


def test_an_allowance_ends_with_its_token():
    """Whatever time the answer is kept for: the gateway holds the date against each request."""
    reply = AuthorizerReply("caller", "arn/*", allow=True, until_s=1_800_000_030)
    document: Any = authorizer.encode(reply)["policyDocument"]
    assert document["Statement"][0]["Condition"] == {"DateLessThan": {"aws:CurrentTime": "2027-01-15T08:00:30Z"}}
    latest: Any = authorizer.encode(AuthorizerReply("c", "arn/*", allow=True, until_s=10**12))["policyDocument"]
    assert latest["Statement"][0]["Condition"] == {"DateLessThan": {"aws:CurrentTime": "9999-12-31T23:59:59Z"}}


def test_a_simple_response_is_a_truth_value():
    """A real one: an HTTP API takes the text `true` for an error."""
    reply = AuthorizerReply("caller", "arn/*", allow=True, context={"a": "b"}, until_s=5, simple=True)
    assert authorizer.encode(reply) == {"isAuthorized": True, "context": {"a": "b"}}
    assert authorizer.encode(AuthorizerReply("", "", allow=False, simple=True)) == {
        "isAuthorized": False,
        "context": {},
    }


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_a_reply_is_a_policy(effect: str):
    """Principal, policy and context, as the gateway reads them."""
    reply = AuthorizerReply(principal="caller", resource="arn/*", allow=effect == "Allow", context={"tier": "a"})
    assert authorizer.encode(reply) == {
        "principalId": "caller",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": ["arn/*"]}],
        },
        "context": {"tier": "a"},
    }


def test_the_refusals_text_is_the_one_that_means_401():
    """API Gateway answers 401 to exactly `Unauthorized`; the reason is for logs only."""
    refusal = authorizer.Unauthorized(reason="expired")
    assert (str(refusal), refusal.reason) == ("Unauthorized", "expired")


# -------------------------------------------------------------------- connections of WebSocket APIs

SOCKET_ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1/$connect"


def connect(**changes: object) -> dict[str, object]:
    """A handshake as the gateway asks about it."""
    return {
        "type": "REQUEST",
        "methodArn": SOCKET_ARN,
        "headers": {},
        "multiValueHeaders": {},
        "requestContext": {
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "connectionId": "U8TkqcNJIAMCIFQ=",
            "requestId": "gateway-id",
        },
        **changes,
    }


def test_a_handshake_is_decoded():
    """It has neither method nor path: the event and the route stand for them, and the policy is the stage's."""
    request = authorizer.decode(connect())
    assert (request.method, request.path, request.request_id) == ("CONNECT", "$connect", "gateway-id")
    assert authorizer.stage_resource(request.method_arn) == "arn:aws:execute-api:eu-west-1:123456789012:abc123/v1/*"


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Authorization": ["Bearer t.o.k"]}, "t.o.k"),
        ({"Sec-WebSocket-Protocol": ["sluiceway, bearer.t.o.k"]}, "t.o.k"),
        ({"sec-websocket-protocol": ["bearer.t.o.k,sluiceway"]}, "t.o.k"),
        ({"Sec-WebSocket-Protocol": ["sluiceway", " bearer.t.o.k "]}, "t.o.k"),
        ({"Authorization": ["Bearer a.b.c"], "Sec-WebSocket-Protocol": ["bearer.d.e.f"]}, "a.b.c"),
        ({"Authorization": ["Basic dTpw"], "Sec-WebSocket-Protocol": ["bearer.d.e.f"]}, ""),
        ({"Authorization": ["Bearer a", "Bearer b"], "Sec-WebSocket-Protocol": ["bearer.d.e.f"]}, ""),
        ({"Sec-WebSocket-Protocol": ["bearer.a.b.c, bearer.d.e.f"]}, ""),
        ({"Sec-WebSocket-Protocol": ["bearer.a.b.c", "bearer.a.b.c"]}, ""),
        ({"Sec-WebSocket-Protocol": ["sluiceway, bearer."]}, ""),
        ({"Sec-WebSocket-Protocol": ["sluiceway"]}, ""),
        ({"Sec-WebSocket-Protocol": ["bearer, t.o.k"]}, ""),
        ({}, ""),
    ],
)
def test_a_handshakes_token_comes_from_either_header(headers: dict[str, list[str]], token: str):
    """Authorization where it is sent, whatever it holds; else the one subprotocol that carries a token."""
    assert authorizer.decode(connect(multiValueHeaders=headers)).token == token
    if all(len(values) == 1 for values in headers.values()):
        single = {name: values[0] for name, values in headers.items()}
        assert authorizer.decode(connect(headers=single, multiValueHeaders=None)).token == token


def test_a_request_has_no_token_in_a_subprotocol():
    """An HTTP client can send Authorization; what it says elsewhere does not let it in."""
    headers = {"Sec-WebSocket-Protocol": "bearer.t.o.k"}
    assert authorizer.decode(event(headers=headers)).token == ""
    with pytest.raises(Rejected, match="httpMethod"):
        authorizer.decode({name: value for name, value in event(headers=headers).items() if name != "httpMethod"})


@pytest.mark.parametrize("name", ["routeKey", "eventType", "requestId"])
def test_a_handshake_without_its_members_is_malformed(name: str):
    """The member is named."""
    context = {"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "c", "requestId": "r", name: None}
    with pytest.raises(Rejected) as caught:
        authorizer.decode(connect(requestContext=context))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", f"requestContext.{name}")
