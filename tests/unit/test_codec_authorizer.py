"""codec.authorizer: REQUEST authorizers of API Gateway REST APIs."""

from __future__ import annotations

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


def test_a_token_authorizers_event_is_malformed():
    """TOKEN authorizers have another event; the template says REQUEST."""
    with pytest.raises(Rejected, match="type"):
        authorizer.decode({"type": "TOKEN", "methodArn": ARN, "authorizationToken": "Bearer x"})


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
