"""Keys that say where and when they were made: `<region>.<epoch>.<uuid7>`.

Owns the form of such a key and of the items that stand for it. The Region and the epoch name the term under which the
key was made, so that whoever reads it later knows which Regions may have begun its work. Pure: time and randomness are
arguments. Must not know stores. Source of the last part: RFC 9562, section 5.7.
"""

from __future__ import annotations

import re
import uuid
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["RegionKey", "item_key", "mint_key", "parse_region_key", "read_item_key", "region_key_in", "write_time"]

MAX_EPOCH: Final = 10**9
RANDOM_BYTES: Final = 10
MAX_CHARACTERS: Final = 25 + 1 + 10 + 1 + 36

_KEY: Final = re.compile(
    r"(?P<region>[a-z]{2,4}(?:-[a-z]+){1,3}-[0-9]{1,2})\.(?P<epoch>[1-9][0-9]{0,9})\."
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
)

_TIME: Final = re.compile(r"t([0-9]{1,15})")


class RegionKey(NamedTuple):
    """A key made in `region` under `epoch`; `minted_ms` is epoch milliseconds on the clock of whoever made it.

    Of a key whose time alone is known (`write_time`) the Region is "" and the epoch 0.
    """

    region: str
    epoch: int
    minted_ms: int


def mint_key(region: str, epoch: int, *, now_ms: int, random: bytes) -> str:
    """A key; `random` is RANDOM_BYTES (10) bytes that nobody else has."""
    number = (now_ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:RANDOM_BYTES], "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return f"{region}.{epoch}.{uuid.UUID(int=number)}"


@lru_cache(maxsize=256)  # one piece of work asks the same of its key a dozen times
def parse_region_key(text: str) -> RegionKey | None:
    """What a key says; None where it is none of this form."""
    found = _KEY.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if found is None or int(found["epoch"]) > MAX_EPOCH:
        return None
    return RegionKey(found["region"], int(found["epoch"]), int(found["id"].replace("-", "")[:12], 16))


def write_time(made_ms: int) -> str:
    """What stands behind a key of which a service of this stack knows when it was made: epoch milliseconds."""
    return f"t{made_ms}"


def region_key_in(key: str) -> RegionKey | None:
    """What a guard's key (`<name>#<key>`, `<name>#<hash>#<key>`) says; None where its last part is a hash."""
    last = key.rpartition("#")[2]
    timed = _TIME.fullmatch(last)
    return parse_region_key(last) if timed is None else RegionKey("", 0, int(timed[1]))


def item_key(key: str, epoch: int) -> str:
    """The key of the item in which a term keeps `key`: no two Regions ever write the same item.

    The term that made the key has it as it is, every other term with its epoch behind it.
    """
    made = region_key_in(key)
    return key if made is not None and made.epoch == epoch else f"{key}@{epoch}"


def read_item_key(item: str, epoch: int) -> str:
    """The key that `item` stands for, as the term `epoch` wrote it."""
    return item.removesuffix(f"@{epoch}")
