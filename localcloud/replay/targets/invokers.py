"""How a function is invoked: by the Invoke API, or by `sam local invoke`.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from localcloud.caller import TIMEOUT_S, Invoked
from localcloud.replay.patience import keep_trying
from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.sigv4 import encode_label
from sluiceway.aws.wire import Caller, Reply
from sluiceway.errors import Misconfigured, Retryable
from sluiceway.ports import Chance

__all__ = ["ApiInvoker", "SamInvoker"]

_INVOKE: Final = LAMBDA._replace(read_timeout_s=TIMEOUT_S, max_attempts=1)
_AND_WAIT: Final[Mapping[str, str]] = {"x-amz-invocation-type": "RequestResponse", "content-type": "application/json"}


class ApiInvoker:
    """The Invoke API. Throttles and outages are waited out for a while; then it raises what `Caller.call` raises."""

    def __init__(self, caller: Caller, *, chance: Chance) -> None:
        self._caller = caller
        self._chance = chance

    async def invoke(self, function: str, payload: bytes) -> Invoked:
        """`function`: a name or an ARN. An invocation whose answer was lost is repeated."""
        path = f"/2015-03-31/functions/{encode_label(function)}/invocations"

        async def attempt() -> Reply:
            return await self._caller.call(_INVOKE, "Invoke", payload, path=path, headers=_AND_WAIT)

        reply = await keep_trying(attempt, chance=self._chance)
        return Invoked(reply.body, reply.headers.get("x-amz-function-error", ""), "")


class SamInvoker:
    """`sam local invoke <LogicalId>`, one run an event; `extra` goes to it unchanged."""

    def __init__(self, template: Path, extra: Sequence[str] = (), *, program: str = "sam") -> None:
        self._template = template
        self._extra = tuple(extra)
        self._program = program

    async def invoke(self, function: str, payload: bytes) -> Invoked:
        """`function`: a logical id. The last line that sam prints is the answer.

        Raises Misconfigured where sam is not there or fails, Retryable where it does not end.
        """
        words = ["local", "invoke", function, "--template", str(self._template), "--event", "-", *self._extra]
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                self._program, *words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            raise Misconfigured(f"{self._program} cannot be run: {error.strerror}", what="sam") from error
        try:
            async with asyncio.timeout(TIMEOUT_S):
                said, warned = await process.communicate(payload)
        except TimeoutError as error:
            raise Retryable(f"{self._program} did not end in {TIMEOUT_S:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            text = warned.decode(errors="replace").strip()[-300:]
            raise Misconfigured(f"{self._program} ended with {process.returncode}: {text}", what="sam")
        return _read_answer(said.strip().rpartition(b"\n")[2])


def _read_answer(answer: bytes) -> Invoked:
    """sam has no header for an error of the function's: its answer has an errorType, as Lambda's own has."""
    try:
        told: object = json.loads(answer or b"null")
    except ValueError:
        return Invoked(answer, "Unhandled", "")
    members = set(cast("Mapping[str, object]", told)) if isinstance(told, dict) else set[str]()
    return Invoked(answer, "Unhandled" if {"errorType", "errorMessage"} <= members else "", "")
