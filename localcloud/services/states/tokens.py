"""Task tokens: who waits for which, heartbeats, and what is said to those who come too late.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
"""

from __future__ import annotations

import asyncio
import base64
import random
from typing import Any, Final

from localcloud.services.states.errors import StatesError
from localcloud.services.states.failures import HEARTBEAT_TIMEOUT, StateFailure
from localcloud.services.states.flow import Run

__all__ = ["Pending", "Tokens"]

TOKEN_BYTES: Final = 480  # AWS's tokens have about 600 to 800 characters; its own limit is 2048
MAX_ENDED: Final = 10_000  # tokens that are known to have ended, ours: an older one is as unknown as any


class Pending:
    """A task that waits for its token."""

    def __init__(self, token: str, machine_arn: str, owner: Tokens) -> None:
        self.token = token
        self.machine_arn = machine_arn
        self._owner = owner
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._beat = asyncio.Event()

    async def answered(self, *, heartbeat_s: float | None) -> Any:
        """What is sent. Raises StateFailure: what SendTaskFailure says, and States.HeartbeatTimeout."""
        loop = asyncio.get_running_loop()
        while True:
            self._beat.clear()
            deadline = None if heartbeat_s is None else loop.time() + heartbeat_s
            timer = asyncio.timeout_at(deadline)
            try:
                async with timer:
                    await self._wait()
            except TimeoutError:
                if not timer.expired():
                    raise
                raise StateFailure(HEARTBEAT_TIMEOUT) from None
            if self._answer.done():
                return self._answer.result()

    async def _wait(self) -> None:
        """Until there is an answer or a heartbeat."""
        if not self._answer.done():
            await self._beat.wait()

    def settle(self, result: Any) -> None:
        """The task succeeded."""
        if not self._answer.done():
            self._answer.set_result(result)
        self._beat.set()

    def fail(self, failure: StateFailure) -> None:
        """The task failed."""
        if not self._answer.done():
            self._answer.set_exception(failure)
            self._answer.exception()  # it may be that nobody waits yet, or any more
        self._beat.set()

    def beat(self) -> None:
        """It is alive."""
        self._beat.set()

    def close(self) -> None:
        """Nobody waits any more."""
        self._owner.end(self.token)


class Tokens:
    """All open tokens of the local cloud."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._open: dict[str, Pending] = {}
        self._ended: dict[str, None] = {}

    def open(self, run: Run) -> Pending:
        """A new token and its wait."""
        token = base64.b64encode(self._rng.randbytes(TOKEN_BYTES)).decode()
        pending = self._open[token] = Pending(token, run.revision.arn, self)
        return pending

    def end(self, token: str) -> None:
        """A token that nobody waits for any more."""
        if self._open.pop(token, None) is not None:
            self._ended[token] = None
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]

    def machine_of(self, token: str) -> str:
        """The ARN of the machine that waits for a token, `*` where none does."""
        return self._open[token].machine_arn if token in self._open else "*"

    def find(self, token: str) -> Pending:
        """The task of a token. Raises StatesError: TaskTimedOut for one that has ended, else InvalidToken."""
        pending = self._open.get(token)
        if pending is not None:
            return pending
        if token in self._ended:
            raise StatesError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        raise StatesError("InvalidToken", "Invalid Token: 'Invalid token'")
