"""codec.socket: proxy events of API Gateway WebSocket APIs."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import socket
from sluiceway.errors import Rejected
from sluiceway.events.socket import SocketEvent, SocketReply

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TOKENS = st.text(alphabet="abcXYZ019-._~!", min_size=1, max_size=12)


def context(kind: str, route: str, **more: object) -> dict[str, object]:
    """`requestContext` as the gateway makes it."""
    return {
        "routeKey": route,
        "eventType": kind,
        "extendedRequestId": "U8TkqEJmoAMFo3Q=",
        "messageDirection": "IN",
        "stage": "v1",
        "connectedAt": 1_795_770_903_118,
        "requestTimeEpoch": 1_795_770_903_120,
        "requestId": "U8TkqEJmoAMFo3Q=",
        "connectionId": "U8TkqcNJIAMCIFQ=",
        "apiId": "s1t2u3v4w5",
        "authorizer": {"principalId": "caller-1", "integrationLatency": 12},
        **more,
    }


def connect(**changes: object) -> dict[str, object]:
    """A handshake."""
    return {
        "headers": {"Host": "h", "Sec-WebSocket-Protocol": "sluiceway, bearer.a.b.c"},
        "multiValueHeaders": {"Host": ["h"], "Sec-WebSocket-Protocol": ["sluiceway, bearer.a.b.c"]},
        "requestContext": context("CONNECT", "$connect"),
        "isBase64Encoded": False,
        **changes,
    }


def message(**changes: object) -> dict[str, object]:
    """A message."""
    body = '{"action":"ask","req":"r1"}'
    return {
        "requestContext": context("MESSAGE", "ask", messageId="U8TkrcNJIAMCIFQ="),
        "body": body,
        "isBase64Encoded": False,
        **changes,
    }


def test_a_handshake_is_decoded() -> None:
    """Who, on which connection, since when, and what is offered."""
    assert socket.decode(connect()) == SocketEvent(
        kind="CONNECT",
        route="$connect",
        connection_id="U8TkqcNJIAMCIFQ=",
        caller="caller-1",
        body="",
        connected_ms=1_795_770_903_118,
        request_id="U8TkqEJmoAMFo3Q=",
        subprotocols=("sluiceway", "bearer.a.b.c"),
    )


def test_a_message_is_decoded() -> None:
    """The route that was chosen, and the text."""
    event = socket.decode(message())
    assert (event.kind, event.route, event.body) == ("MESSAGE", "ask", '{"action":"ask","req":"r1"}')
    assert (event.caller, event.subprotocols) == ("caller-1", ())


def test_a_disconnection_has_headers_of_its_own_and_no_offers() -> None:
    """What the gateway sends then is no handshake."""
    raw = {
        "headers": {"Host": "h", "x-api-key": "", "Sec-WebSocket-Protocol": "sluiceway"},
        "requestContext": context("DISCONNECT", "$disconnect", disconnectStatusCode=1001, disconnectReason=""),
    }
    event = socket.decode(raw)
    assert (event.kind, event.body, event.subprotocols) == ("DISCONNECT", "", ())


@given(offers=st.lists(st.lists(TOKENS, min_size=1, max_size=3), max_size=3), padding=st.sampled_from(["", " ", "\t "]))
def test_offers_come_in_order_from_either_form(offers: list[list[str]], padding: str) -> None:
    """One header or several, with commas and white space (RFC 6455 section 11.3.4); any spelling of the name."""
    values = [f",{padding}".join(each) + padding for each in offers]
    expected = tuple(token for each in offers for token in each)
    several = {"multiValueHeaders": {"sec-websocket-PROTOCOL": values}} if values else {"multiValueHeaders": None}
    assert socket.decode(connect(headers={}, **several)).subprotocols == expected
    single = {"sec-websocket-protocol": ",".join(values)}
    assert socket.decode(connect(headers=single, multiValueHeaders=None)).subprotocols == expected


def test_a_route_without_authorizer_has_no_caller() -> None:
    """The empty text, never a guess."""
    assert socket.decode(message(requestContext=context("MESSAGE", "ask", authorizer=None))).caller == ""


@given(text=st.text())
def test_a_binary_message_that_is_text_is_text(text: str) -> None:
    """The gateway writes binary messages as base64."""
    encoded = base64.b64encode(text.encode()).decode()
    assert socket.decode(message(body=encoded, isBase64Encoded=True)).body == text


@pytest.mark.parametrize("body", ["%%%", base64.b64encode(b"\xff\xfe").decode()])
def test_a_binary_message_that_is_no_text_is_malformed(body: str) -> None:
    """Base64 that is none, and bytes that are no UTF-8."""
    with pytest.raises(Rejected) as caught:
        socket.decode(message(body=body, isBase64Encoded=True))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", "body")


@pytest.mark.parametrize(
    ("name", "value"),
    [("eventType", "OPEN"), ("connectedAt", "1"), ("connectedAt", True), ("connectionId", None), ("routeKey", 1)],
)
def test_a_context_that_is_none_is_malformed(name: str, value: object) -> None:
    """The member is named."""
    with pytest.raises(Rejected) as caught:
        socket.decode(message(requestContext=context("MESSAGE", "ask", **{name: value})))
    assert (caught.value.reason, caught.value.field) == ("malformed-event", f"requestContext.{name}")


@given(raw=JSON)
def test_any_other_json_is_malformed(raw: object) -> None:
    """A function attached to the wrong trigger says so, whatever it is sent."""
    with pytest.raises(Rejected) as caught:
        socket.decode(raw)
    assert caught.value.reason == "malformed-event"


@given(changes=st.dictionaries(st.sampled_from([*connect(), "body"]), JSON, min_size=1, max_size=3))
def test_a_damaged_event_is_decoded_or_malformed(changes: dict[str, object]) -> None:
    """No member's type can raise anything but Rejected."""
    with contextlib.suppress(Rejected):
        socket.decode(connect(**changes))


def test_replies_say_status_and_the_chosen_subprotocol() -> None:
    """The header is there only where one is chosen: a client that offered none must not be told any."""
    assert socket.encode(SocketReply()) == {"statusCode": 200}
    assert socket.encode(SocketReply(403)) == {"statusCode": 403}
    chosen = socket.encode(SocketReply(200, "sluiceway"))
    assert chosen == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "sluiceway"}}


@pytest.mark.parametrize(
    "reply", [SocketReply(99), SocketReply(600), SocketReply(200, "a\r\nb: c"), SocketReply(200, "é")]
)
def test_replies_that_break_http_are_refused(reply: SocketReply) -> None:
    """A header that ends its line would write the next one."""
    with pytest.raises(ValueError):
        socket.encode(reply)


def test_the_correlation_id_is_the_gateways() -> None:
    """Each event has its own."""
    assert socket.correlation_id(socket.decode(message())) == "U8TkqEJmoAMFo3Q="


def test_groups_and_tenant_come_from_the_authorizers_context() -> None:
    """With every message of the connection; who has none is nobody in particular."""
    event = connect()
    event["requestContext"]["authorizer"].update({"groups": '["a","b"]', "tenant": "acme"})
    decoded = socket.decode(event)
    assert (decoded.groups, decoded.tenant) == (("a", "b"), "acme")
    assert (socket.decode(connect()).groups, socket.decode(connect()).tenant) == ((), "")


@pytest.mark.parametrize("groups", ["a,b", '"a"', "[1]", 5, "[" * 9999])
def test_groups_that_cannot_be_told_are_a_malformed_event(groups: object) -> None:
    """Nobody is taken for somebody with fewer denials."""
    event = connect()
    event["requestContext"]["authorizer"]["groups"] = groups
    with pytest.raises(Rejected) as caught:
        socket.decode(event)
    assert caught.value.reason == "malformed-event"


@pytest.mark.parametrize(
    ("told", "expected"), [(None, 0), (1_795_774_503, 1_795_774_503), ("1795774503", 1_795_774_503)]
)
def test_when_the_callers_token_is_over(told: object, expected: int):
    """A number that the authorizer gives arrives as one, or as text; 0 where it gives none."""
    authorizer = {"principalId": "caller-1"} | ({} if told is None else {"expires_s": told})
    event = socket.decode(message(requestContext=context("MESSAGE", "ask", authorizer=authorizer)))
    assert event.expires_s == expected


@pytest.mark.parametrize("told", [True, 1.5, "soon", "-5", "", [1], "9" * 13])
def test_an_end_that_cannot_be_told_is_no_event(told: object):
    """Else a connection would outlive its token."""
    authorizer = {"principalId": "caller-1", "expires_s": told}
    with pytest.raises(Rejected) as caught:
        socket.decode(message(requestContext=context("MESSAGE", "ask", authorizer=authorizer)))
    assert caught.value.field == "requestContext.authorizer.expires_s"
