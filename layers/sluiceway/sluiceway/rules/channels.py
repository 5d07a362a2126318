"""Which topic is published to which channel, and as whom one looks who listens there.

    {"records": {"url": "https://abc.appsync-api.eu-west-1.amazonaws.com", "channel": "/records/live",
                 "groups": ["public"], "tenant": ""}}

Whoever may subscribe the channel sees what a caller with these groups and this tenant would. Must not know AWS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from sluiceway.errors import Misconfigured
from sluiceway.rules.access import Viewer

__all__ = ["ChannelOfTopic", "read_channels"]


_MEMBERS: Final = frozenset({"url", "channel", "groups", "tenant"})


class ChannelOfTopic(NamedTuple):
    """One topic's. `url`: the Event API's address."""

    url: str
    channel: str
    viewer: Viewer


def read_channels(declared: Mapping[str, object], topics: Iterable[str], what: str) -> dict[str, ChannelOfTopic]:
    """The channels by topic. Raises: Misconfigured that names the setting, `what`, and the place in it."""
    known = frozenset(topics)
    return {topic: _read(topic, value, known=known, what=what) for topic, value in declared.items()}


def _read(topic: str, value: object, *, known: frozenset[str], what: str) -> ChannelOfTopic:
    members: Mapping[str, object] = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    url, channel = members.get("url"), members.get("channel")
    groups, tenant = members.get("groups", []), members.get("tenant", "")
    listed = cast("list[object]", groups) if isinstance(groups, list) else [None]
    names = tuple(each for each in listed if isinstance(each, str))
    if topic not in known:
        raise Misconfigured(f"{what}.{topic} is no topic", what=what)
    if not isinstance(url, str) or not isinstance(channel, str) or not url.startswith("https://"):
        raise Misconfigured(f"{what}.{topic} needs the https url of an Event API and a channel", what=what)
    if len(names) != len(listed) or not isinstance(tenant, str) or members.keys() - _MEMBERS:
        raise Misconfigured(f"{what}.{topic} has url, channel, groups (a list of names) and tenant", what=what)
    return ChannelOfTopic(url, channel, Viewer(names, tenant))
