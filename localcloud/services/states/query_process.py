"""Evaluates JSONata in processes of their own, so that no expression holds up the event loop or takes its memory.

Two at most, each begun when it is first needed; one that has been ended by what it was to evaluate is begun anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from localcloud.services.states.queries import FailedQuery, Query, QueryFailed
from localcloud.services.states.query_worker import HEADER, LIMIT_S, main

__all__ = ["InlineEvaluator", "ProcessEvaluator"]

MAX_PROCESSES: Final = 2
_ROOT: Final = str(Path(__file__).resolve().parents[3])
_PROGRAM: Final = f"import sys; sys.path.insert(0, {_ROOT!r}); from {main.__module__} import main; main()"
_PATIENCE_S: Final = LIMIT_S + 4.0  # a process that has neither answered nor ended itself is ended; starting it counts
_ENDED: Final = "Expression evaluation exceeded its time or its memory"


class InlineEvaluator:
    """Evaluates where it is asked, and so holds up who asks: for loops whose time is virtual. Is an `Evaluator`."""

    async def evaluate(self, query: Query) -> list[Any]:
        """The values of all expressions. Raises QueryFailed."""
        from localcloud.services.states.jsonata_engine import evaluate_all  # noqa: PLC0415 - loads the library

        return evaluate_all(query)

    async def close(self) -> None:
        """Nothing is open."""


class ProcessEvaluator:
    """Evaluates in processes. An `Evaluator`; whoever makes it closes it."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(MAX_PROCESSES)
        self._idle: list[asyncio.subprocess.Process] = []
        self._closed = False

    async def evaluate(self, query: Query) -> list[Any]:
        """The values of all expressions. Raises QueryFailed."""
        asked = {"texts": list(query.texts), "variables": query.variables, "seed": query.seed, "now_ms": query.now_ms}
        message = json.dumps(asked, ensure_ascii=False).encode(errors="surrogatepass")
        async with self._process() as process:
            answer = await _ask(process, message)
        if answer is None:
            raise QueryFailed(FailedQuery(0, _ENDED))
        if "values" in answer:
            return answer["values"]
        raise QueryFailed(FailedQuery(**answer))

    async def close(self) -> None:
        """End all processes that are idle; one that works ends with its query."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncGenerator[asyncio.subprocess.Process]:
        """A process that nobody else asks meanwhile; ended if who asks goes away, for its answer would be another's."""
        async with self._gate:
            process = self._idle.pop() if self._idle else await _begin()
            is_fine = False
            try:
                yield process
                is_fine = process.returncode is None and not self._closed
            finally:
                if is_fine:
                    self._idle.append(process)
                else:
                    await _end(process)


async def _begin() -> asyncio.subprocess.Process:
    """A process that has this package from where it is here, and nothing from the folder that it is in."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", _PROGRAM, stdin=pipe, stdout=pipe)


async def _ask(process: asyncio.subprocess.Process, message: bytes) -> dict[str, Any] | None:
    """The answer, None where the process ended, or had to be."""
    requests, answers = process.stdin, process.stdout
    if requests is None or answers is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            requests.write(HEADER.pack(len(message)) + message)
            await requests.drain()
            header = await answers.readexactly(HEADER.size)
            return json.loads(await answers.readexactly(HEADER.unpack(header)[0]))
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        await _end(process)
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()
