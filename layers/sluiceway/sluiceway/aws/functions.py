"""Lambda functions that are handed work or asked, and a worker of streamed answers reached so.

Owns the requests of invocations. Must not know what a payload means. Source:
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller
from sluiceway.codec.order import encode_order
from sluiceway.events.socket import StreamOrder

__all__ = ["LAMBDA", "Answered", "LambdaDispatcher", "invoke", "invoke_later"]

LAMBDA: Final = ServiceSpec(endpoint_prefix="lambda", signing_name="lambda", protocol="rest-json", env_name="LAMBDA")
_AS_EVENT: Final[Mapping[str, str]] = {"x-amz-invocation-type": "Event"}


class Answered(NamedTuple):
    """What a function answered: a JSON object, and where it failed the error's message; "" where it did not."""

    payload: Mapping[str, Any]
    error: str = ""


async def invoke(
    caller: Caller, function: str, payload: Mapping[str, object], *, deadline: float | None = None
) -> Answered:
    """Invoke `function` (a name or an ARN) and wait for its answer. Raises what `Caller.call` raises.

    A retry whose first answer was lost invokes again. An answer that is no JSON object counts as a failure.
    """
    path = f"/2015-03-31/functions/{encode_label(function)}/invocations"
    reply = await caller.call(LAMBDA, "Invoke", payload, path=path, deadline=deadline)
    try:
        answer = reply.json()
    except ValueError:
        return Answered({}, "its answer is no JSON object")
    failed = "x-amz-function-error" in reply.headers
    return Answered(answer, str(answer.get("errorMessage", "it failed")) if failed else "")


async def invoke_later(
    caller: Caller, function: str, payload: Mapping[str, object], *, deadline: float | None = None
) -> None:
    """Queue one invocation of `function` (a name or an ARN); returns when Lambda has it for sure.

    `payload` has 1 MB at most as JSON. Raises what `Caller.call` raises. Lambda invokes at least once, and a retry
    whose first answer was lost queues another.
    """
    path = f"/2015-03-31/functions/{encode_label(function)}/invocations"
    await caller.call(LAMBDA, "Invoke", payload, path=path, headers=_AS_EVENT, deadline=deadline)


class LambdaDispatcher:
    """Orders for the worker that is the function `function_name`. Raises what `invoke_later` raises."""

    def __init__(self, caller: Caller, function_name: str) -> None:
        self._caller = caller
        self._function_name = function_name

    async def dispatch(self, caller: str, req: str) -> None:
        """Let a worker begin, or go on with, this answer; returns when that is sure to happen at least once."""
        await invoke_later(self._caller, self._function_name, encode_order(StreamOrder(caller, req)))
