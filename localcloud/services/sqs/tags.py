"""What the tags of a queue may be. Pure.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.services.sqs.errors import invalid_value

__all__ = ["check_tags"]

MAX_TAGS: Final = 50  # quotas-queues, as those that follow
MAX_KEY_CHARS: Final = 128
MAX_VALUE_CHARS: Final = 256
RESERVED: Final = "aws:"  # of keys and values, whatever their case
_SIGNS: Final = frozenset("_.:/=+-@")


def check_tags(queue_name: str, tags: Mapping[str, str]) -> None:
    """Hold all the tags that a queue is to have against their rules. Raises SqsError: InvalidParameterValue."""
    if len(tags) > MAX_TAGS:
        raise invalid_value(f"Too many tags added for queue {queue_name}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_KEY_CHARS:
            raise invalid_value(f"Tag keys must be between 1 and {MAX_KEY_CHARS} characters in length.")
        if len(value) > MAX_VALUE_CHARS:
            raise invalid_value(f"Tag values must be between 0 and {MAX_VALUE_CHARS} characters in length.")
        for text in (key, value):
            _check_text(text)


def _check_text(text: str) -> None:
    if text.lower().startswith(RESERVED):
        raise invalid_value(f"Tag keys and values can't begin with {RESERVED}, which is reserved.")
    if not all(character.isalnum() or character.isspace() or character in _SIGNS for character in text):
        raise invalid_value("Tag keys and values can only include letters, digits, white space and _.:/=+-@.")
