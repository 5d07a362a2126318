"""Temporary credentials that a process renews for as long as it lives.

Owns when: ahead of expiry with jitter, one renewal at a time, and what happens while there are none to be had. Knows
nothing of where they come from; it is given that. Times are epoch seconds, but for deadlines, which are the loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from sluiceway import log
from sluiceway.aws.sigv4 import Credentials
from sluiceway.aws.wire import Outside
from sluiceway.errors import Misconfigured, Retryable

__all__ = ["Obtain", "SessionCredentials"]

# Ahead of expiry, as botocore has it: from the first on one caller renews and the others go on; from the second on all
# wait. A session of 15 minutes would be renewed all the time: of short ones it is a share of what they last.
ADVISORY_S: Final = 15 * 60.0
ADVISORY_SHARE: Final = 1 / 3
MANDATORY_S: Final = 10 * 60.0
MANDATORY_SHARE: Final = 1 / 6
JITTER: Final = 0.2  # of the advisory time, so that processes which began together do not ask together
AGAIN_S: Final = 30.0  # after a renewal that failed while the old ones are good
EARLY_LIMIT_S: Final = 5.0  # of a renewal that nobody needs yet
LIMIT_S: Final = 30.0

Obtain = Callable[[float], Awaitable[Credentials]]
"""New credentials, by a deadline on the loop's clock. Raises Misconfigured or Retryable."""


class SessionCredentials:
    """Credentials from `obtain`, renewed ahead of expiry: a `CredentialProvider` for `Outside(credentials=...)`.

    Whoever cannot renew them uses the old ones to their end. `check` is called once, when the client opens.
    """

    def __init__(self, obtain: Obtain, *, outside: Outside, check: Callable[[], object] | None = None) -> None:
        self._obtain = obtain
        self._now = outside.now
        self._draw = outside.draw
        self._check = check
        self._kept: Credentials | None = None
        self._refresh_at = 0.0  # from here on somebody renews
        self._press_at = 0.0  # from here on all wait for that
        self._lock = asyncio.Lock()

    def check(self) -> None:
        """Raise Misconfigured where it shows without asking for credentials that there can be none."""
        if self._check is not None:
            self._check()

    def at_hand(self) -> Credentials | None:
        """The credentials in use, while they need no renewal."""
        return self._kept if self._now() < self._refresh_at else None

    async def get(self) -> Credentials:
        """Valid credentials. Raises Misconfigured or Retryable, as the renewal did, where the old ones are over."""
        kept = self.at_hand()
        if kept is not None:
            return kept
        async with self._lock:
            return self.at_hand() or await self._renew()

    def forget(self, refused: Credentials) -> None:
        """A service calls these expired: get others, unless somebody has already."""
        if self._kept is refused:
            self._kept = None

    async def _renew(self) -> Credentials:
        before, now = self._kept, self._now()
        early = before is not None and now < self._press_at
        if before is not None and early:  # the others go on meanwhile, also where this caller is cancelled
            self._refresh_at = min(now + AGAIN_S, before.expires_s or now)
        limit_s = EARLY_LIMIT_S if early else LIMIT_S
        try:
            renewed = await self._obtain(asyncio.get_running_loop().time() + limit_s)
        except (Retryable, Misconfigured) as error:
            return self._go_on_with_old(error)
        self._keep(renewed)
        return renewed

    def _go_on_with_old(self, error: Exception) -> Credentials:
        kept, now = self._kept, self._now()  # a service may have called it expired meanwhile
        if kept is None or kept.expires_s is None or now >= kept.expires_s:
            raise error
        self._refresh_at = min(now + AGAIN_S, kept.expires_s)
        log.warning("credentials.kept", error=type(error).__name__, expires_in_s=int(kept.expires_s - now))
        return kept

    def _keep(self, renewed: Credentials) -> None:
        self._kept = renewed
        if renewed.expires_s is None:
            self._refresh_at = self._press_at = float("inf")
            return
        now = self._now()
        lasts_s = max(renewed.expires_s - now, 0.0)
        early_s = min(ADVISORY_S, lasts_s * ADVISORY_SHARE) * (1 + JITTER * self._draw())
        self._refresh_at = max(renewed.expires_s - early_s, now + AGAIN_S)  # where this machine's clock is wrong
        self._press_at = renewed.expires_s - min(MANDATORY_S, lasts_s * MANDATORY_SHARE)
