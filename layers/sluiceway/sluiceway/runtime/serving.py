"""The loop of an environment that serves one invocation after another.

The Runtime API is asked over a blocking socket; what has to be awaited runs on the environment's one event loop, the
App's own where there is an App. A stream leaves over a connection of its own on that loop. asyncio is imported with the
first result that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from sluiceway.runtime.blocking import BlockingApi
from sluiceway.runtime.context import Call, LambdaContext
from sluiceway.runtime.desk import Desk
from sluiceway.runtime.handler import Driven, resolve, suspends
from sluiceway.runtime.marshal import read_event
from sluiceway.runtime.outcome import RuntimeApiError

if TYPE_CHECKING:
    import asyncio

__all__ = ["SerialServing"]

_TRACE: Final = "_X_AMZN_TRACE_ID"


class SerialServing:
    """Serves one invocation after another. `context` is the latest one's, for threads that know no context variable."""

    def __init__(self, desk: Desk, api: BlockingApi) -> None:
        self._desk = desk
        self._api = api
        self._runner: asyncio.Runner | None = None
        self._trace_header = ""
        self.context: LambdaContext | None = None

    def run(self) -> None:
        """Serve until the process ends. Raises: RuntimeApiError; what is no Exception and comes from the handler."""
        while True:
            self.serve_next()

    def serve_next(self) -> None:
        """Wait for one invocation and answer it. Raises: as `run`."""
        call = self._api.next()
        self._show_trace(call.trace_header)
        request = self._answer(call)
        if request is not None:
            self._api.answer(call, request)

    def _answer(self, call: Call) -> bytes | None:
        """The request that answers; None where a stream did."""
        desk = self._desk
        try:
            self.context = context = LambdaContext(call, desk.environ)
            event = read_event(call.payload, call.content_type)
            if desk.app is not None:
                return desk.app.run(_drive(desk, desk.app, call, invocation=(event, context)))
            result = desk.handler(event, context)
            return self._run(_resolve(desk, call, result)) if suspends(result) else desk.encode(call, result)
        except RuntimeApiError:
            raise
        except Exception as error:  # noqa: BLE001 - the outermost edge: whatever it is, the caller is told
            return desk.requests.error(call, desk.fail(call, error))

    def _run(self, work: Coroutine[Any, Any, bytes | None]) -> bytes | None:
        if self._runner is None:
            import asyncio  # noqa: PLC0415 - 50 ms that a function without it does not pay

            self._runner = asyncio.Runner()
        # Not Runner.run(): it sets a signal handler each time (see App.run).
        return self._runner.get_loop().run_until_complete(work)

    def _show_trace(self, header: str) -> None:
        """Where the X-Ray SDK looks, as the managed runtime does it. Setting a variable costs: only where it changed.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        """
        if header == self._trace_header:
            return
        self._trace_header = header
        if header:
            os.environ[_TRACE] = header  # noqa: TID251 - the one variable that a runtime client writes
        else:
            os.environ.pop(_TRACE, None)  # noqa: TID251 - the same


async def _drive(desk: Desk, app: Driven, call: Call, *, invocation: tuple[object, LambdaContext]) -> bytes | None:
    from sluiceway.runtime.answering import Answering  # noqa: PLC0415 - asyncio, as above

    answering = Answering(call, desk)
    return await answering.conclude(app.invoke(*invocation, trace_header=call.trace_header, respond=answering.send))


async def _resolve(desk: Desk, call: Call, result: object) -> bytes | None:
    from sluiceway.runtime.answering import Answering  # noqa: PLC0415 - asyncio, as above

    answering = Answering(call, desk)
    return await answering.conclude(resolve(result, answering.send))
