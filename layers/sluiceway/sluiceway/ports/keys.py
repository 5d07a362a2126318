"""The port of an issuer's key set, as it is published at one address. Must not know tokens."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["KeySource", "Published"]


class Published(NamedTuple):
    """A key set's text, and for how many seconds it may be kept where the issuer says so (None: it does not)."""

    body: bytes
    max_age_s: float | None = None


class KeySource(Protocol):
    """One issuer's key set."""

    async def fetch(self, *, deadline: float) -> Published:
        """What is published now; `deadline` is on the event loop's clock. Raises: Retryable, Misconfigured."""
        ...
