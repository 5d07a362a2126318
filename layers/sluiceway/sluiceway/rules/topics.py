"""The topics of a deployment: which stream carries which.

Its own module: every cold start of a socket reads the setting, and few subscribe. Must not know filters.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Final

from sluiceway.errors import Misconfigured

__all__ = ["MAX_PARTS", "MAX_TOPIC", "find_topic", "name_part", "part_of", "read_topics", "topic_of"]

MAX_TOPICS: Final = 100
MAX_PARTS: Final = 64  # of a topic's subscribers
MAX_TOPIC: Final = 128  # characters, as of a stream's name
_TOPIC: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_TOPIC}}}")


def read_topics(declared: Mapping[str, object], what: str) -> dict[str, str]:
    """Topics by the name of the stream that carries them, of a setting that has it the other way round.

    Raises Misconfigured that names the setting, `what`, for no topic or more than 100, a name that is none, or a stream
    that carries two.
    """
    topics = {
        stream: topic for topic, stream in declared.items() if isinstance(stream, str) and _TOPIC.fullmatch(topic)
    }
    if not 1 <= len(declared) <= MAX_TOPICS or len(topics) != len(declared) or "" in topics:
        raise Misconfigured(f"{what} must name 1 to {MAX_TOPICS} topics, each with the stream of its own", what=what)
    return topics


def find_topic(stream: str, topics: Mapping[str, str], what: str) -> str:
    """The topic that a stream carries, of `topics` by their stream's name. Raises Misconfigured that names `what`."""
    topic = topics.get(stream)
    if topic is None:
        raise Misconfigured("the stream of this event carries no topic", what=what)
    return topic


def part_of(connection_id: str, parts: int) -> int:
    """Which of `parts` parts of a topic's subscribers a connection is of, 0 to parts - 1."""
    return zlib.crc32(connection_id.encode()) % parts


def name_part(topic: str, part: int) -> str:
    """The name under which a part is kept; that of part 0 is the topic's own. No topic has `#` in its name."""
    return f"{topic}#{part}" if part else topic


def topic_of(name: str) -> str:
    """The topic of a part's name."""
    return name.partition("#")[0]
