"""Any server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp and others.

`http://127.0.0.1:11434/v1#llama3.2` names the server and, after the `#`, the model; without one, the first model the
server lists. Source: https://platform.openai.com/docs/api-reference/chat/create

To go on from the beginning of an answer is no part of OpenAI's own API. llama.cpp, vLLM, SGLang and
text-generation-inference do it, OpenAI refuses the members that ask for it, a server that passes over them may begin
the answer anew: https://github.com/vllm-project/vllm/pull/8942, https://github.com/ggml-org/llama.cpp/pull/23012
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urldefrag

from localcloud.models.engine import Chunk, Delta, Finished, ModelFailure, Prompt, StopText, Usage

if TYPE_CHECKING:
    import aiohttp

__all__ = ["OpenAIEngine", "chat_request", "read_chunks"]

_TOO_LONG: Final = ("context_length_exceeded", "exceed_context_size_error", "context length", "context size")
_CONTINUE: Final = {"continue_final_message": True, "add_generation_prompt": False}
_MALFORMED: Final = (400, 422)
_DENIED: Final = (401, 403)  # its text may repeat the key, so it is not passed on


class OpenAIEngine:
    """A model behind a URL. `api_key` "" sends none."""

    name = "openai"

    def __init__(self, url: str, *, api_key: str = "") -> None:
        self._root, self._model = urldefrag(url.rstrip("/"))
        self._root = self._root.rstrip("/")
        self._api_key = api_key
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connections; the server is asked at the first prompt."""
        import aiohttp  # noqa: PLC0415 - only this engine needs it

        headers = {"authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=300.0)
        # a connection a prompt: a POST on one that the server has just closed fails and may not be sent again
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """Text as the server sends it. Raises ModelFailure."""
        import aiohttp  # noqa: PLC0415 - loaded by `start` already

        if self._session is None:
            raise ModelFailure("not_ready", "The model has not been started.")
        try:
            request = chat_request(prompt, model=await self._model_name(self._session))
            async with self._session.post(f"{self._root}/chat/completions", json=request) as response:
                if response.status != 200:
                    raise _refusal(prompt, response.status, await response.text())
                async for chunk in read_chunks(_events(response.content), prompt):
                    yield chunk
        except TimeoutError as error:
            raise ModelFailure("timeout", f"{self._root} did not answer in time.") from error
        except aiohttp.ClientError as error:
            raise ModelFailure("unavailable", f"{self._root} cannot be reached: {error}") from error

    async def _model_name(self, session: aiohttp.ClientSession) -> str:
        if not self._model:
            async with session.get(f"{self._root}/models") as response:
                if response.status != 200:
                    raise _failure(response.status, await response.text())
                listed = cast("dict[str, list[dict[str, str]]]", await response.json(content_type=None)).get("data")
            if not listed:
                raise ModelFailure("not_ready", f"{self._root} has no model.")
            self._model = listed[0]["id"]
        return self._model


def chat_request(prompt: Prompt, *, model: str = "") -> dict[str, object]:
    """The body of a streaming chat completion. Stop sequences stay here: `read_chunks` cuts, and knows that it did."""
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages += [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
    request: dict[str, object] = {
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional = {
        "model": model or None,
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
    }
    request |= {name: value for name, value in optional.items() if value is not None}
    return request | _CONTINUE if prompt.prefill else request


async def read_chunks(events: AsyncIterator[dict[str, Any]], prompt: Prompt) -> AsyncGenerator[Chunk]:
    """Chunks of chat completion events. Usage that the server does not give is counted by events."""
    stop = StopText(prompt.stop)
    reason, usage, said = "", Usage(0, 0), 0
    async for event in events:
        if "error" in event:
            raise _failure(int(event["error"].get("code") or 500), json.dumps(event["error"]))
        usage = _usage(event, usage)
        text, finished = _choice(event)
        said += bool(text)
        reason = finished or reason
        shown = stop.feed(text)
        if shown:
            yield Delta(shown)
        if stop.stopped:
            yield Finished("stop_sequence", Usage(usage.input, usage.output or said, usage.cached))
            return
    rest = stop.rest()
    if rest:
        yield Delta(rest)
    if not reason:
        raise ModelFailure("failed", "The model's answer broke off.")
    yield Finished(
        "max_tokens" if reason == "length" else "end_turn", Usage(usage.input, usage.output or said, usage.cached)
    )


def _choice(event: dict[str, Any]) -> tuple[str, str]:
    """The text and the finish reason of the first choice, "" where there is none."""
    choices = cast("list[dict[str, Any]]", event.get("choices") or [])
    if not choices:
        return "", ""
    delta = cast("dict[str, str | None]", choices[0].get("delta") or {})
    return delta.get("content") or "", cast("str | None", choices[0].get("finish_reason")) or ""


def _usage(event: dict[str, Any], before: Usage) -> Usage:
    told = cast("dict[str, Any] | None", event.get("usage"))
    if told:
        details = cast("dict[str, int | None]", told.get("prompt_tokens_details") or {})
        return Usage(
            int(told.get("prompt_tokens") or 0),
            int(told.get("completion_tokens") or 0),
            int(details.get("cached_tokens") or 0),
        )
    timings = cast("dict[str, int] | None", event.get("timings"))  # llama.cpp, with each token where asked
    if timings:
        cached = timings.get("cache_n", 0)
        return Usage(timings.get("prompt_n", 0) + cached, timings.get("predicted_n", 0), cached)
    return before


async def _events(content: aiohttp.StreamReader) -> AsyncGenerator[dict[str, Any]]:
    """The JSON of each server-sent event, until `[DONE]`."""
    async for line in content:
        name, _, value = line.decode().strip().partition(":")
        if name == "data" and value.strip() == "[DONE]":
            return
        if name == "data" and value.strip():
            yield cast("dict[str, Any]", json.loads(value))


def _refusal(prompt: Prompt, status: int, text: str) -> ModelFailure:
    failure = _failure(status, text)
    unknown = bool(prompt.prefill) and status in _MALFORMED and failure.kind == "failed"
    return ModelFailure("no_prefill", failure.message) if unknown else failure


def _failure(status: int, text: str) -> ModelFailure:
    if any(sign in text for sign in _TOO_LONG):
        return ModelFailure("too_long", text)
    if status in _DENIED:
        return ModelFailure("failed", f"The model's server answered {status}: `sluiceway up` sends it OPENAI_API_KEY")
    if status == 429:
        return ModelFailure("throttled", text)
    return ModelFailure(
        "unavailable" if status >= 500 else "failed", f"The model's server answered {status}: {text[:500]}"
    )
