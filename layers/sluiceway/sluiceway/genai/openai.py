"""Any server that speaks OpenAI's chat completions as a model provider: vLLM, Ollama, llama.cpp, Bedrock's own.

Owns the request, its events and which answer means which fault; the connections are those of the wire client's HTTP.
The answer is always streamed: so a model that stalls is told from one that thinks. Stop sequences are the server's to
obey, and it does not tell which one it met: the answer counts as ended. Source:
https://platform.openai.com/docs/api-reference/chat/create

A prefill is no part of OpenAI's own API: llama.cpp, vLLM, SGLang and text-generation-inference go on from it, OpenAI
refuses the members that ask for it (`Invalid`, before the first event). A server that passes over members it does not
know may begin the answer anew, and nothing here can tell: let only a server that is known to go on continue an answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from sluiceway.aws.connection import Exchange, TransportError
from sluiceway.aws.endpoints import Endpoint, parse_url
from sluiceway.aws.http import Pool, Reading
from sluiceway.aws.retry import read_advice_s
from sluiceway.aws.tls import make_context
from sluiceway.errors import DeadlineExceeded, Misconfigured
from sluiceway.genai.faults import Denied, Overloaded, Timeout
from sluiceway.genai.openai_events import explain_refusal, follow_answer, write_request
from sluiceway.genai.provider import Answer, CallContext, ModelRequest, StreamEvent, fold_stream

__all__ = ["OpenAIProvider"]

THINKING_S: Final = 900.0  # until the first byte: a function runs no longer, and the deadline bounds it
STALLED_AFTER_S: Final = 60.0
_VISIBLE: Final = re.compile(r"[!-~]*")


class OpenAIProvider:
    """One model behind a URL. Make it with `OpenAIProvider.open` in the lifespan; it owns its connections."""

    def __init__(self, endpoint: Endpoint, pool: Pool, *, model: str, api_key: str, idle_s: float) -> None:
        self._endpoint = endpoint
        self._pool = pool
        self._model = model
        self._api_key = api_key
        self._idle_s = idle_s

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, model: str, api_key: str = "", ca_bundle: str = "", idle_s: float = STALLED_AFTER_S
    ) -> AsyncGenerator[OpenAIProvider]:
        """The provider for `url` (`https://host/v1`); connections close with the context.

        `api_key` "" sends none; `ca_bundle` is a file of certificates to trust instead of the machine's; `idle_s` is
        the longest silence inside an answer, in seconds. Raises Misconfigured.
        """
        endpoint = parse_url(url.rstrip("/"), what="the model's URL")
        if _VISIBLE.fullmatch(api_key) is None:
            raise Misconfigured("the model's API key holds characters that no header may", what="the model's API key")
        pool = Pool(endpoint.origin, tls=lambda: make_context(ca_bundle))
        try:
            yield cls(endpoint, pool, model=model, api_key=api_key, idle_s=idle_s)
        finally:
            pool.close()

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        """The whole answer. Raises: as `ModelProvider.converse`."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with self.stream(request, context) as events:
            answer = await fold_stream(events)
        latency_ms = round((loop.time() - started) * 1000)
        return Answer(answer.text, answer.stop_reason, answer.usage, latency_ms)

    @asynccontextmanager
    async def stream(self, request: ModelRequest, context: CallContext) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """The answer as it is made. As `StreamingProvider.stream`; usage is estimated where the server does not tell.

        Nothing is tried again.
        """
        body = write_request(request, self._model)
        exchange = Exchange(self._write(body), False, THINKING_S, context.deadline)
        reading: Reading | None = None
        try:
            reading = await self._begin(exchange)
            async with aclosing(follow_answer(_pieces(reading), request)) as events:
                yield events
        finally:
            if reading is not None:
                reading.close()

    async def _begin(self, exchange: Exchange) -> Reading:
        try:
            reading = await self._pool.begin(exchange, idle_s=self._idle_s)
            status = reading.head.status
            if status == 200:
                return reading
            advice_s = read_advice_s(reading.head.headers)
            raise explain_refusal(status, await reading.read_to_end(), after_s=advice_s)
        except TransportError as error:
            raise _explain(error) from error

    def _write(self, body: bytes) -> bytes:
        lines = [
            f"POST {self._endpoint.path}/chat/completions HTTP/1.1",
            f"host: {self._endpoint.host}",
            "accept: text/event-stream",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        if self._api_key:
            lines.append(f"authorization: Bearer {self._api_key}")
        return "\r\n".join([*lines, "", ""]).encode() + body


async def _pieces(reading: Reading) -> AsyncGenerator[bytes]:
    try:
        while piece := await reading.read():
            yield piece
    except TransportError as error:
        raise _explain(error) from error


def _explain(error: TransportError) -> Exception:
    if error.failure == "deadline":
        return DeadlineExceeded(f"the model was not done by the deadline: {error}")
    if error.failure == "certificate":
        return Denied(f"the model's server is not who it must be: {error}")
    if error.failure == "timeout":
        return Timeout(f"the model's server fell silent: {error}")
    return Overloaded(f"the model's server broke off: {error}")
