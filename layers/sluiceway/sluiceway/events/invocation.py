"""What is known of the invocation itself, apart from its event."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

__all__ = ["Invocation"]


class Invocation(NamedTuple):
    """One invocation of a function.

    `deadline` is the event loop's clock (seconds, `loop.time()`) by which the flow returns what it has: Lambda's own
    deadline less the App's margin. `grace_s` seconds later the App cancels a flow that has not. `trace_id` is the
    X-Ray header ("" where there is none); `correlation_id` follows a request from the HTTP edge through queues to the
    logs (the request id where nothing came along).
    """

    request_id: str
    function_name: str
    function_arn: str
    deadline: float
    trace_id: str = ""
    correlation_id: str = ""
    cold_start: bool = False
    grace_s: float = 0.0

    def remaining_s(self) -> float:
        """Seconds until `deadline`, never below 0."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())

    def keep_s(self, most_s: float, share: float) -> float:
        """Seconds to keep for the end: `most_s`, and never more than a `share` (0 to 1) of what is left."""
        return min(most_s, self.remaining_s() * share)
