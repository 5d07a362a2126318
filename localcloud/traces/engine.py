"""A model whose generations are told to the span of the Bedrock call that asked for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from localcloud.models.engine import Chunk, Delta, Engine, ModelFailure, Prompt
from localcloud.traces.recorder import CURRENT, Recorder, Span

__all__ = ["TracedEngine"]


class TracedEngine:
    """An engine like the one it is given, which tells first-token time, tokens and stop reason; never text."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self.name = engine.name
        self._engine = engine
        self._recorder = recorder

    async def start(self) -> None:
        """Begin to load; comes back at once."""
        await self._engine.start()

    async def close(self) -> None:
        """Let go of everything."""
        await self._engine.close()

    def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """Text as it is made, then one `Finished`. Raises ModelFailure."""
        span = CURRENT.get()
        chunks = self._engine.generate(prompt)
        return chunks if span is None else self._tell(span, chunks)

    async def _tell(self, span: Span, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
        async with aclosing(chunks):
            try:
                async for chunk in chunks:
                    self._note(span, chunk)
                    yield chunk
            except ModelFailure as failure:
                span.detail["error_code"] = failure.kind
                raise

    def _note(self, span: Span, chunk: Chunk) -> None:
        if not isinstance(chunk, Delta):
            usage = chunk.usage
            span.detail |= {
                "input_tokens": usage.input,
                "output_tokens": usage.output,
                "stop_reason": chunk.reason,
            }
        elif "first_token_ms" not in span.detail:
            span.detail["first_token_ms"] = round(self._recorder.now_ms() - span.start_ms, 3)
