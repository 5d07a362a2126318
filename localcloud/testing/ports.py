"""Ports that an application keeps for a whole session, so that clients that code under test has kept reach it."""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from typing import Final

from localcloud.listening import open_listener
from localcloud.parts.ports import DNS_OFFSET

__all__ = ["find_ports"]

_LOWEST, _HIGHEST = 20_000, 32_000  # below those that systems give to whoever asks for any (Linux: from 32,768 on)
TRIES: Final = 100


def find_ports(rng: random.Random) -> int:
    """The first of as many free ports in a row as a cloud has; others may take them later. 0 where none were found."""
    for _ in range(TRIES):
        first = rng.randrange(_LOWEST, _HIGHEST)
        try:
            with ExitStack() as taken:
                for offset in range(DNS_OFFSET + 1):
                    taken.enter_context(closing(open_listener(port=first + offset)))
        except OSError:
            continue
        return first
    return 0
