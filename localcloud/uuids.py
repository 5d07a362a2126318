"""UUIDs from given randomness, so that a seed gives the same run again. Pure."""

from __future__ import annotations

import random
import uuid

__all__ = ["new_uuid"]


def new_uuid(rng: random.Random) -> str:
    """A random UUID, version 4."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
