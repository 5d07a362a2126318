"""Channels of Event APIs: their paths, what a subscription listens to, and who hears an event. Pure.

A path has one to five segments of 1 to 50 letters, digits and dashes, none of them at an end of a segment; slashes at
the ends of a path say nothing. A subscription may end in `/*`: it hears every channel below, however deep, and not the
channel above it.
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-websocket-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from localcloud.services.appsync.errors import bad_request

__all__ = ["Audience", "Channel", "read_channel", "read_pattern"]

T = TypeVar("T")

MAX_SEGMENTS: Final = 5  # a wildcard counts as one
_SEGMENT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?")
_WILDCARD: Final = "*"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, or with `is_wild` all channels below it; `segments` are without slashes and the wildcard."""

    segments: tuple[str, ...]
    is_wild: bool = False

    @property
    def namespace(self) -> str:
        """The name of the channel namespace."""
        return self.segments[0]

    @property
    def path(self) -> str:
        """As AppSync writes it: a slash first, none at the end."""
        return "/" + "/".join((*self.segments, _WILDCARD) if self.is_wild else self.segments)

    def hears(self, channel: Channel) -> bool:
        """Whether a subscription to this hears an event of `channel`, which is no wildcard."""
        if not self.is_wild:
            return self.segments == channel.segments
        depth = len(self.segments)
        return len(channel.segments) > depth and channel.segments[:depth] == self.segments


def read_channel(text: object) -> Channel:
    """A channel to publish to. Raises AppSyncError."""
    channel = read_pattern(text)
    if channel.is_wild:
        raise _malformed()
    return channel


def read_pattern(text: object) -> Channel:
    """A channel to subscribe to. Raises AppSyncError."""
    if not isinstance(text, str):
        raise _malformed()
    parts = text.removeprefix("/").removesuffix("/").split("/")
    is_wild = len(parts) > 1 and parts[-1] == _WILDCARD
    segments = tuple(parts[:-1] if is_wild else parts)
    if len(parts) > MAX_SEGMENTS or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise _malformed()
    return Channel(segments, is_wild)


def _malformed() -> Exception:
    return bad_request("Invalid Channel Format")


class Audience(Generic[T]):
    """Who listens to what. A listener is one subscription, hashable; the cost of asking does not grow with others'."""

    def __init__(self) -> None:
        self._listeners: dict[Channel, dict[T, None]] = {}

    def enter(self, channel: Channel, listener: T) -> None:
        """`listener` hears events of `channel` from now on."""
        self._listeners.setdefault(channel, {})[listener] = None

    def leave(self, channel: Channel, listener: T) -> None:
        """`listener` hears them no more."""
        found = self._listeners.get(channel, {})
        found.pop(listener, None)
        if not found:
            self._listeners.pop(channel, None)

    def of(self, channel: Channel) -> Iterator[T]:
        """Who hears an event of `channel`, as it is now."""
        above = (Channel(channel.segments[:depth], is_wild=True) for depth in range(1, len(channel.segments)))
        for each in (channel, *above):
            yield from tuple(self._listeners.get(each, ()))

    def __len__(self) -> int:
        return sum(map(len, self._listeners.values()))
