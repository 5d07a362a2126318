"""The topics of a deployment: which stream carries which.

Its own module: every cold start of a socket reads the setting, and few subscribe. Must not know filters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sluiceway.errors import Misconfigured

__all__ = ["MAX_TOPIC", "read_topics"]

MAX_TOPICS: Final = 100
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
