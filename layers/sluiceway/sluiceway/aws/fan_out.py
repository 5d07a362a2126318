"""Workers that are other invocations of this very function.

Owns the request of a synchronous invocation and what its errors say of the worker: that it has not begun for certain,
or that nobody knows. Must not know what an order means. Source:
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

from typing import Final

from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.codec.fan_out import decode_report, encode_order
from sluiceway.errors import Rejected, Retryable, ServiceUnavailable
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.ports.fan_out import NotBegun

__all__ = ["LambdaPartWorkers"]

# One attempt: a second one would serve the part beside the first, whose answer was lost.
INVOKE: Final = LAMBDA._replace(max_attempts=1, read_timeout_s=900.0)
FUNCTION_ERROR: Final = "x-amz-function-error"
THROTTLED: Final = 429
NOT_SENT: Final = frozenset({"ConnectFailed"})


class LambdaPartWorkers:
    """Workers that are invocations of the function `function_name` (a name or an ARN)."""

    def __init__(self, caller: Caller, function_name: str) -> None:
        self._caller = caller
        self._path = f"/2015-03-31/functions/{encode_label(function_name)}/invocations"

    async def serve(self, order: PartOrder, *, deadline: float) -> PartReport:
        """As the port says."""
        try:
            reply = await self._caller.call(INVOKE, "Invoke", encode_order(order), path=self._path, deadline=deadline)
        except ServiceUnavailable as error:
            if error.status == THROTTLED or error.code in NOT_SENT:
                raise NotBegun("no worker was there", after_s=error.after_s) from error
            raise
        if FUNCTION_ERROR in reply.headers:
            raise Retryable("the worker broke off")
        try:
            return decode_report(reply.json())
        except (Rejected, ValueError) as error:
            raise Retryable("the worker's answer is no report") from error
