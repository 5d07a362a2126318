"""The wire client: one signed call to an AWS service, retried, within one deadline.

This module owns what a call is. It must not know any operation by name: those are beside it, one module a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.reply import Reply

__all__ = ["Caller", "Reply", "ServiceSpec"]


class Caller(Protocol):
    """What typed operations need: `Wire` is the one for AWS."""

    async def call(  # noqa: PLR0913 - the parts of one HTTP request, keyword-only
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """Send one request and return its answer once it is a success (2xx).

        A mapping as `body` is sent as JSON; bytes go as they are. `path` is percent-encoded already (`encode_label`
        encodes a segment); `query` values are plain text. `deadline` is on the event loop's clock (`loop.time()`), in
        seconds, and covers every attempt and every wait between them.

        Raises `ServiceUnavailable` (retries spent, or unreachable), `ServiceRefused`, `ConditionFailed`,
        `DeadlineExceeded`, `Misconfigured` (no region or credentials).
        """
        ...
