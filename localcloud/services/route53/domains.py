"""Domain names: as Route 53 writes them, and as the labels of DNS. Pure.

Here a name is text in lower case that ends in a dot, and every byte that is no letter, digit, hyphen or underscore
stands as three octal digits: `*.example.com` is `\\052.example.com.`.
Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = [
    "WILDCARD",
    "MalformedName",
    "is_within",
    "join_labels",
    "parent_of",
    "read_name",
    "shared_suffix",
    "to_labels",
]

MAX_LABEL_BYTES: Final = 63  # RFC 1035, 2.3.4
MAX_NAME_BYTES: Final = 255  # the same, with a length before each label and the root's
WILDCARD: Final = "\\052"
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_PIECE: Final = re.compile(r"\\([0-7]{3})|([!-~])", re.ASCII)


class MalformedName(ValueError):
    """A text, or labels, that are no domain name; the message is Route 53's words for it."""


def read_name(text: str) -> str:
    """The name that `text` spells, with or without its last dot. Raises MalformedName."""
    bare = text.removesuffix(".")
    if not bare:
        raise MalformedName("DomainLabelEmpty (Domain label is empty)")
    return join_labels([_read_label(label) for label in bare.split(".")])


def join_labels(labels: Iterable[bytes]) -> str:
    """The name with these labels, the leftmost first. Raises MalformedName where DNS has no such name."""
    lowered = [label.lower() for label in labels]
    if any(not label for label in lowered):
        raise MalformedName("DomainLabelEmpty (Domain label is empty)")
    if any(len(label) > MAX_LABEL_BYTES for label in lowered):
        raise MalformedName("DomainLabelTooLong (Domain label is too long)")
    if sum(len(label) + 1 for label in lowered) + 1 > MAX_NAME_BYTES:
        raise MalformedName("DomainNameTooLong (Domain name is too long)")
    return "".join(f"{_write_label(label)}." for label in lowered)


def to_labels(name: str) -> tuple[bytes, ...]:
    """The labels of a name, the leftmost first; the root has none."""
    return tuple(_read_label(label) for label in name.split(".") if label)


def is_within(name: str, zone: str) -> bool:
    """Whether `name` is `zone` or below it."""
    return name == zone or name.endswith(f".{zone}")


def parent_of(name: str) -> str:
    """The name without its leftmost label; "" of a name with one."""
    return name.partition(".")[2]


def shared_suffix(names: Sequence[str]) -> str:
    """The longest name that all of `names` are within; "" where they share nothing, or there are none."""
    shared: list[str] = []
    for column in zip(*(name.split(".")[-2::-1] for name in names), strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return "".join(f"{label}." for label in reversed(shared))


def _read_label(text: str) -> bytes:
    found = bytearray()
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise MalformedName("UnsupportedCharacter (Value contains unsupported characters)")
        number = int(piece[1], 8) if piece[1] else ord(piece[2])
        if number > 255:
            raise MalformedName("UnsupportedCharacter (Value contains unsupported characters)")
        found.append(number)
        at = piece.end()
    return bytes(found)


def _write_label(label: bytes) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in label)
