"""Where callers from outside wait while a stack is being deployed again. Knows no protocol."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

__all__ = ["HOLD_S", "PASS_S", "Gate"]

HOLD_S: Final = 60.0  # ours: for a person's call of an AWS API; what the stack's own functions call is not held
PASS_S: Final = 5.0  # ours: for a request at a gateway, which may be of a function that the deployment waits for


class Gate:
    """Open at first."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._opened.set()

    @property
    def is_shut(self) -> bool:
        """Whether callers wait."""
        return not self._opened.is_set()

    def shut(self) -> None:
        """Let callers wait."""
        self._opened.clear()

    def open(self) -> None:
        """Let all of them go on."""
        self._opened.set()

    async def wait(self, limit_s: float) -> None:
        """Come back when it is open, and after `limit_s` seconds in any case."""
        if self.is_shut:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._opened.wait()
