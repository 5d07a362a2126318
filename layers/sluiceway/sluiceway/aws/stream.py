"""The body of an answer as it arrives.

Knows connections and errors; must not know services, nor what the bytes mean (`event_stream.py` does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sluiceway.aws.connection import TransportError
from sluiceway.aws.http import Reading
from sluiceway.errors import ServiceError

__all__ = ["Stream"]


class Stream:
    """The body of an answer as it arrives, in pieces of any size. Lives as long as the context that gave it."""

    def __init__(self, reading: Reading, explain: Callable[[TransportError], ServiceError]) -> None:
        self._reading = reading
        self._explain = explain

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's, by lower-case name."""
        return self._reading.head.headers

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        Raises `ServiceUnavailable` where the body breaks off (code `ConnectionClosed`) or stalls (`TimedOut`), and
        `DeadlineExceeded`.
        """
        try:
            piece = await self._reading.read()
        except TransportError as error:
            raise self._explain(error) from error
        if not piece:
            raise StopAsyncIteration
        return piece
