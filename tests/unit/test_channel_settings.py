"""rules.channels: which topic goes to which channel."""

from __future__ import annotations

import pytest

from sluiceway.errors import Misconfigured
from sluiceway.rules.access import NOBODY, Viewer
from sluiceway.rules.channels import ChannelOfTopic, read_channels

URL = "https://abc.appsync-api.eu-west-1.amazonaws.com"
GOOD = {"url": URL, "channel": "/records/live"}


def test_a_topic_has_a_channel_and_who_looks_there() -> None:
    """Nobody in particular, unless groups and a tenant are named."""
    named = {**GOOD, "groups": ["a", "b"], "tenant": "acme"}
    found = read_channels({"records": GOOD, "orders": named}, ("records", "orders", "more"), "CHANNELS")
    assert found == {
        "records": ChannelOfTopic(URL, "/records/live", NOBODY),
        "orders": ChannelOfTopic(URL, "/records/live", Viewer(("a", "b"), "acme")),
    }
    assert read_channels({}, ("records",), "CHANNELS") == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"url": URL},
        {"channel": "/a"},
        {**GOOD, "url": "http://plain.example"},
        {**GOOD, "groups": "a"},
        {**GOOD, "groups": [1]},
        {**GOOD, "tenant": None},
        {**GOOD, "group": ["a"]},
    ],
)
def test_what_is_none_is_named(value: object) -> None:
    """The setting, and the topic in it."""
    with pytest.raises(Misconfigured, match=r"^CHANNELS\.records ") as caught:
        read_channels({"records": value}, ("records",), "CHANNELS")
    assert caught.value.what == "CHANNELS"


def test_a_topic_that_is_none_is_named() -> None:
    """A channel that nobody fills is a mistake."""
    with pytest.raises(Misconfigured, match=r"^CHANNELS\.other is no topic"):
        read_channels({"other": GOOD}, ("records",), "CHANNELS")
