"""What stands here for the addresses that APIs and Function URLs have on AWS."""

from __future__ import annotations

import pytest

from localcloud.urls import Reach, Urls

REACH = Reach("eu-west-1", lambda: "http://aws", lambda: "http://http", {"sock1"}.__contains__)
URLS = Urls("http://aws", "http://http", "ws://socket", "http://console", "eu-west-1", frozenset({"sock1"}))


@pytest.mark.parametrize(
    ("value", "here"),
    [
        ("https://api1.execute-api.eu-west-1.amazonaws.com/prod/x?y=1", "http://http/api1/prod/x?y=1"),
        ("https://sock1.execute-api.eu-west-1.amazonaws.com/live", "http://aws/sock1/live"),
        ("https://abc.lambda-url.eu-west-1.on.aws/", "http://http/lambda-url/abc/"),
        (
            '{"a": "https://api1.execute-api.eu-west-1.amazonaws.com", "b": "https://x.lambda-url.eu-west-1.on.aws"}',
            '{"a": "http://http/api1", "b": "http://http/lambda-url/x"}',
        ),
    ],
)
def test_an_address_of_an_api_is_where_it_is_reached(value: str, here: str) -> None:
    """The HTTP gateway, and the AWS port for the management API of a WebSocket API; anywhere in a text."""
    assert (REACH.localise(value), URLS.localise(value)) == (here, here)


@pytest.mark.parametrize(
    "value",
    [
        "https://api1.execute-api.us-west-2.amazonaws.com/prod",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/q",
        "https://example.com/execute-api.eu-west-1.amazonaws.com",
        "api1.execute-api.eu-west-1.amazonaws.com",
        "arn:aws:execute-api:eu-west-1:123456789012:api1/*",
        "",
    ],
)
def test_everything_else_stays(value: str) -> None:
    """Other Regions, other services, names without a scheme, ARNs."""
    assert (REACH.localise(value), URLS.localise(value)) == (value, value)


def test_sockets_are_told_to_people_and_stay_for_functions() -> None:
    """An output of `wss` is where a client connects."""
    value = "wss://sock1.execute-api.eu-west-1.amazonaws.com/live"
    assert (URLS.localise(value), REACH.localise(value)) == ("ws://socket/sock1/live", value)
