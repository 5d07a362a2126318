"""What a caller is handed to come back with: shard iterators and pagination tokens, sealed so that none can be made up.

A token is fields of text with a keyed digest of them, in base64; iterators of AWS begin with the same zeros.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

__all__ = ["open_token", "seal_token"]

_HEAD: Final = b"\0\0\0\0\0\0\0\1"
_DIGEST_BYTES: Final = 12
MAX_CHARS: Final = 2_048


def seal_token(secret: bytes, kind: str, fields: Sequence[str]) -> str:
    """A token of `kind` that holds `fields` (no line breaks in them)."""
    text = "\n".join((kind, *fields)).encode()
    return base64.b64encode(_HEAD + _digest(secret, text) + text).decode()


def open_token(secret: bytes, kind: str, token: str) -> list[str]:
    """The fields of a token. Raises ValueError where it is none of this kind, or another account's."""
    if len(token) > MAX_CHARS:
        raise ValueError(kind)
    try:
        raw = base64.b64decode(token, validate=True)
    except binascii.Error as error:
        raise ValueError(kind) from error
    start = len(_HEAD) + _DIGEST_BYTES
    text = raw[start:]
    if not hmac.compare_digest(raw[:start], _HEAD + _digest(secret, text)):
        raise ValueError(kind)
    found, *fields = text.decode().split("\n")
    if found != kind:
        raise ValueError(kind)
    return fields


def _digest(secret: bytes, text: bytes) -> bytes:
    return hashlib.blake2b(text, key=secret, digest_size=_DIGEST_BYTES).digest()
