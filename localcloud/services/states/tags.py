"""Tags of state machines and activities. Pure.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from localcloud.services.states.errors import StatesError, validation

__all__ = ["read_tags"]

MAX_TAGS: Final = 50


def read_tags(listed: Sequence[Mapping[str, str]], before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Those of a request, over those that were there before. Raises StatesError."""
    tags = dict(before or {})
    for each in listed:
        if not each.get("key") or each["key"].lower().startswith("aws:"):
            raise validation("Tags have a key that does not begin with aws:")
        tags[each["key"]] = each.get("value", "")
    if len(tags) > MAX_TAGS:
        raise StatesError("TooManyTags", f"Too Many Tags: 'A resource has at most {MAX_TAGS} tags'")
    return tags
