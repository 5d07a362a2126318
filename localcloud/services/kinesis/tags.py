"""The rules of tags, on streams and consumers alike. Pure.

Source: https://docs.aws.amazon.com/streams/latest/dev/tagging.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from localcloud.services.kinesis.errors import invalid, member_violation

__all__ = ["MAX_TAGS", "MAX_TAGS_IN_CALL", "add_tags", "check_keys", "remove_tags"]

MAX_TAGS: Final = 50
MAX_TAGS_IN_CALL: Final = 200  # TagMap
_TEXT: Final = re.compile(r"[\w\s.:/=+@%-]*")


def add_tags(tags: dict[str, str], more: Mapping[str, str], *, name: str) -> None:
    """Add or replace tags of the stream or consumer `name`.

    Raises KinesisError: InvalidArgumentException, ValidationException; then nothing is changed.
    """
    check_keys(more)
    for value in more.values():
        if len(value) > 256:
            raise member_violation(value[:256], "tags", "Map value must have length less than or equal to 256")
        _check_text(value)
    if len(tags.keys() | more.keys()) > MAX_TAGS:
        raise invalid(f"Failed to add tags to {name}: it cannot have more than {MAX_TAGS} tags associated with it.")
    tags.update(more)


def remove_tags(tags: dict[str, str], keys: Collection[str]) -> None:
    """Take tags away; a key that is not there is no error. Raises what `check_keys` raises."""
    check_keys(keys)
    for key in keys:
        tags.pop(key, None)


def check_keys(keys: Collection[str]) -> None:
    """Raises KinesisError: InvalidArgumentException, ValidationException."""
    for key in keys:
        if not 1 <= len(key) <= 128:
            raise member_violation(key[:128], "tags", "Map keys must have length between 1 and 128")
        _check_text(key)
        if key.lower().startswith("aws:"):
            raise invalid(f"The tag key {key} begins with aws:, which is reserved.")


def _check_text(text: str) -> None:
    if not _TEXT.fullmatch(text):
        raise invalid(
            "Some tags contain invalid characters. Valid characters: "
            "Unicode letters, digits, white space, _ . / = + - % @ :."
        )
