"""IP addresses and CIDR blocks as whole numbers of their version.

An address is four decimal numbers, or an IPv6 address of hexadecimal groups; no zone, no dotted tail. An IPv4 address
in IPv6's clothes (::ffff:c000:201) is the IPv4 address, as for Java's InetAddress, which Event Ruler asks. 010.0.0.1 is
no address: readers disagree whether it means ten or eight. Must not know patterns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["Address", "Block", "parse_address", "parse_block"]

_LONGEST: Final = 39  # eight groups of four digits with seven colons
_BITS: Final = {4: 32, 6: 128}
_GROUPS: Final = 8
_MAPPED: Final = 0xFFFF  # what an IPv4 address in an IPv6 one stands behind, RFC 4291 section 2.5.5.2
_HEX: Final = frozenset("0123456789abcdefABCDEF:")


class Address(NamedTuple):
    """`version` is 4 or 6."""

    version: int
    number: int


class Block(NamedTuple):
    """The addresses `low` to `high` of one version that share all but their last `bits` bits."""

    version: int
    low: int
    high: int
    bits: int


def parse_address(text: str) -> Address | None:
    """The address that `text` is, None where it is none."""
    if len(text) <= _LONGEST and (":" in text or text.count(".") == 3):
        return _parse(text)
    return None


def parse_block(text: str) -> Block | str:
    """The block `<address>/<mask>`, or what is wrong with it. Masks are 0 to 31 and 0 to 127, as in Event Ruler."""
    base, slash, mask = text.partition("/")
    if not slash or "/" in mask:
        return "a CIDR block has one '/'"
    address = parse_address(base)
    if address is None:
        return "a CIDR block begins with an IP address"
    width = _BITS[address.version]
    if not (mask.isascii() and mask.isdigit() and len(mask) <= 3 and int(mask) < width):
        return f"the mask of an IPv{address.version} block is 0 to {width - 1}"
    bits = width - int(mask)
    low = address.number >> bits << bits
    return Block(address.version, low, low + (1 << bits) - 1, bits)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    return _parse_v6(text) if ":" in text else _parse_v4(text)


def _parse_v4(text: str) -> Address | None:
    number = 0
    for part in text.split("."):
        if not (part.isascii() and part.isdigit() and len(part) <= 3) or (part[0] == "0" and part != "0"):
            return None
        if int(part) > 255:
            return None
        number = number << 8 | int(part)
    return Address(4, number)


def _parse_v6(text: str) -> Address | None:
    if not _HEX.issuperset(text):
        return None
    head, gap, tail = text.partition("::")
    before, after = _groups(head), _groups(tail)
    if before is None or after is None:
        return None
    missing = _GROUPS - len(before) - len(after)
    if missing < 1 if gap else missing != 0:
        return None
    number = 0
    for group in (*before, *(0,) * missing, *after):
        number = number << 16 | group
    return Address(4, number & 0xFFFFFFFF) if number >> 32 == _MAPPED else Address(6, number)


def _groups(text: str) -> list[int] | None:
    """The groups of digits that colons part; None where one has not one to four."""
    parts = text.split(":") if text else []
    return [int(part, 16) for part in parts] if all(1 <= len(part) <= 4 for part in parts) else None
