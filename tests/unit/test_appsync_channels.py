"""Paths of channels, and who hears an event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.appsync.channels import Audience, Channel, read_channel, read_pattern
from localcloud.services.appsync.errors import AppSyncError

SEGMENTS = st.sampled_from(["a", "b", "a-b", "c1"])
CHANNELS = st.builds(Channel, st.lists(SEGMENTS, min_size=1, max_size=5).map(tuple))
PATTERNS = st.one_of(
    CHANNELS, st.builds(Channel, st.lists(SEGMENTS, min_size=1, max_size=4).map(tuple), st.just(value=True))
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("default", "/default"),
        ("/default/room/7", "/default/room/7"),
        ("default/room/", "/default/room"),
        ("/a/b/c/d/e", "/a/b/c/d/e"),
        (f"/{'x' * 50}/y-Z-9", f"/{'x' * 50}/y-Z-9"),
    ],
)
def test_channels_are_read_with_or_without_slashes_at_the_ends(text: str, expected: str) -> None:
    """One slash at each end says nothing; case is kept."""
    assert read_channel(text).path == expected
    assert read_channel(text).namespace == expected.split("/")[1]


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "//a", "a//b", "a/b/c/d/e/f", "-a", "a-", "a/-b", "a_b", "a b", "é", "a/\n", "a\n", "x" * 51,
        "*", "/*", "a/*/b", "a/**", "a*", "a/b*", "a/b/c/d/e/*", None, 7, ["a"],
    ],
)  # fmt: skip
def test_what_is_no_channel_is_refused(text: object) -> None:
    """For subscriptions as well: a wildcard stands alone, last, and is one of the five segments."""
    for read in (read_channel, read_pattern):
        with pytest.raises(AppSyncError) as caught:
            read(text)
        assert (caught.value.code, caught.value.message) == ("BadRequestException", "Invalid Channel Format")


def test_only_subscriptions_have_wildcards() -> None:
    """`/ns/*` may be heard, not published to."""
    assert read_pattern("/default/room/*") == Channel(("default", "room"), is_wild=True)
    assert read_pattern("default/*/").path == "/default/*"
    with pytest.raises(AppSyncError):
        read_channel("/default/*")


@pytest.mark.parametrize(
    ("pattern", "channel", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", False),
        ("/a", "/A", False),
        ("/a/*", "/a/b", True),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/a", False),
        ("/a/*", "/ab/c", False),
        ("/a/b/*", "/a/c/d", False),
    ],
)
def test_what_a_subscription_hears(pattern: str, channel: str, expected: bool) -> None:
    """A wildcard stands for one segment or more."""
    assert read_pattern(pattern).hears(read_channel(channel)) is expected


@given(pattern=PATTERNS)
def test_paths_read_back_to_the_same_channel(pattern: Channel) -> None:
    """What is written is read."""
    assert read_pattern(pattern.path) == pattern


@given(channel=CHANNELS, patterns=st.lists(PATTERNS, max_size=12), gone=st.lists(st.integers(0, 11), max_size=6))
def test_an_audience_is_who_hears_asked_one_by_one(channel: Channel, patterns: list[Channel], gone: list[int]) -> None:
    """The index and the rule never differ, whoever has left; nobody hears an event twice."""
    audience: Audience[int] = Audience()
    for listener, pattern in enumerate(patterns):
        audience.enter(pattern, listener)
    left = {listener for listener in gone if listener < len(patterns)}
    for listener in gone:
        if listener < len(patterns):
            audience.leave(patterns[listener], listener)
    expected = [each for each, pattern in enumerate(patterns) if each not in left and pattern.hears(channel)]
    assert sorted(audience.of(channel)) == expected
    assert len(audience) == len(patterns) - len(left)
