"""The groups of a caller, as an authorizer's context carries them: one text, a JSON array of their names.

A context holds texts, numbers and truth values alone.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sluiceway.codec.shape import malformed, sequence, text

__all__ = ["decode_groups", "encode_groups"]


def encode_groups(groups: Sequence[str]) -> str:
    """The text; sorted, each name once."""
    return json.dumps(sorted(set(groups)), separators=(",", ":"))


def decode_groups(value: object, member: str) -> tuple[str, ...]:
    """The groups, () for a caller without any. Raises: Rejected where it cannot be told: nobody is let off a denial."""
    if value is None:
        return ()
    try:
        listed: object = json.loads(text(value, member))
    except (ValueError, RecursionError):
        raise malformed(member, "a JSON array of names") from None
    return tuple(text(group, f"{member}[]") for group in sequence(listed, member))
