"""When the pieces of a growing text are posted to a reader, and how much goes into each post.

Tokens come faster than posts can follow one another: a post for each token falls behind without end, and a message
of four bytes costs what one of 32 KB does. So there is one post under way at most; the first text goes at once; then
posts begin at least 50 ms apart, or as far apart as posts last, if that is longer; whatever came meanwhile goes
together. What must not wait (a tool call, a stop, the end, an error, 8 KB) does not. A reader that is told to slow down
(429) is given more time, doubled up to a second, which shrinks again with each post that it takes.

Pure: times are arguments, in seconds on one clock. Offsets count characters, which are code points, so no piece ever
ends inside one. Must not know frames, sockets or tokens; whoever posts writes JSON without escaping what is not ASCII.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["MAX_PIECE_BYTES", "Coalescer", "Piece", "measure_json"]

SHORTEST_GAP_S: Final = 0.05  # between the beginnings of two posts; shorter ones cost messages and save nothing visible
LONGEST_GAP_S: Final = 1.0
FIRST_BACK_OFF: Final = 2.0  # times the gap
SMOOTHING: Final = 0.25  # of a new post's duration in their average
FLUSH_BYTES: Final = 8 * 1024  # two of a WebSocket client's usual reads; AppSync meters in 5 KB
# API Gateway meters in 32 KB and cuts frames there; 1 KB is for what the text is wrapped in
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MAX_PIECE_BYTES: Final = 31 * 1024
SHORTEST_SILENCE_S: Final = 15.0  # a heartbeat comes after 15 to 25 s without a post: proxies cut at 30 and 60
SILENCE_SPREAD_S: Final = 10.0

_ESCAPED: Final = '"\\\b\f\n\r\t'  # two bytes each in JSON; the other control characters take six
_CONTROL: Final = re.compile(r"[\x00-\x07\x0b\x0e-\x1f]")


class Piece(NamedTuple):
    """Text to post. `off`: how many characters of the whole text come before it."""

    off: int
    text: str


class Coalescer:
    """One text on its way to one reader. `off`: where it begins, for a reader who has the beginning already.

    Use: `add` what comes, wait until `due_at`, `take` a piece, post it, and `settle` or `back_off`. `chance` (0 to 1)
    spreads the heartbeats of many readers.
    """

    __slots__ = (
        "_back_off_s",
        "_began_at",
        "_flying",
        "_held",
        "_hold_until",
        "_next_at",
        "_post_s",
        "_said_at",
        "_silence_s",
        "_size",
        "_urgent",
        "off",
    )

    def __init__(self, *, now: float, off: int = 0, chance: float = 0.5) -> None:
        self.off = off
        self._held: list[str] = []
        self._size = 0  # of the text held, in bytes of JSON
        self._flying: Piece | None = None
        self._urgent = False
        self._began_at = self._next_at = self._hold_until = self._said_at = now
        self._post_s: float | None = None  # how long posts last, smoothed
        self._back_off_s = 0.0
        self._silence_s = SHORTEST_SILENCE_S + chance * SILENCE_SPREAD_S

    @property
    def pending_bytes(self) -> int:
        """What is held and was not taken yet, in bytes of JSON."""
        return self._size

    @property
    def gap_s(self) -> float:
        """Seconds between the beginnings of two posts, as things are."""
        return max(SHORTEST_GAP_S, min(self._post_s or 0.0, LONGEST_GAP_S), self._back_off_s)

    def add(self, text: str) -> None:
        """More of the text."""
        if text:
            self._held.append(text)
            self._size += measure_json(text)

    def flush(self) -> None:
        """What is held now must not wait for more: a tool call, a stop, the end or an error follows it."""
        self._urgent = bool(self._held)

    def due_at(self) -> float | None:
        """When the next post may begin; None while one is under way or there is nothing to post."""
        if self._flying is not None or not self._held:
            return None
        if self._urgent or self._size >= FLUSH_BYTES:
            return self._hold_until
        return max(self._hold_until, self._next_at)

    def ping_at(self) -> float | None:
        """When the reader needs a sign of life; None while a post is under way."""
        return None if self._flying is not None else self._said_at + self._silence_s

    def note_said(self, now: float) -> None:
        """Something else than a piece was posted: a heartbeat, a tool call."""
        self._said_at = now

    def take(self, now: float) -> Piece:
        """The piece to post now, at most MAX_PIECE_BYTES as JSON; "" where nothing is held. One at a time."""
        text = "".join(self._held)
        taken = text[: _fit(text)] if self._size > MAX_PIECE_BYTES else text
        self._flying = Piece(self.off, taken)
        self._hold(text[len(taken) :])
        self._began_at = self._said_at = now
        return self._flying

    def settle(self, now: float) -> None:
        """The piece was posted."""
        if self._flying is None:
            return
        self.off += len(self._flying.text)
        self._flying = None
        took_s = max(0.0, now - self._began_at)
        self._post_s = took_s if self._post_s is None else self._post_s + SMOOTHING * (took_s - self._post_s)
        self._back_off_s /= 2
        if self._back_off_s <= SHORTEST_GAP_S:
            self._back_off_s = 0.0
        self._next_at = self._began_at + self.gap_s
        self._hold_until = self._began_at + self._back_off_s

    def back_off(self, now: float) -> None:
        """The piece was not taken (429): its text is held again, to be cut anew, and nothing goes for a while."""
        if self._flying is None:
            return
        self._hold(self._flying.text + "".join(self._held))
        self._flying = None
        self._back_off_s = min(LONGEST_GAP_S, FIRST_BACK_OFF * self.gap_s)
        self._next_at = self._hold_until = now + self._back_off_s

    def _hold(self, text: str) -> None:
        self._held = [text] if text else []
        self._size = measure_json(text)
        self._urgent = self._urgent and bool(text)


def measure_json(text: str) -> int:
    """The bytes of `text` inside a JSON string in UTF-8, with nothing escaped that need not be."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return size + sum([text.count(character) for character in _ESCAPED]) + 5 * len(_CONTROL.findall(text))


def _fit(text: str) -> int:
    """How many of the first characters of `text` fit into a piece."""
    low, high = 0, min(len(text), MAX_PIECE_BYTES)
    while low < high:
        middle = (low + high + 1) // 2
        if measure_json(text[:middle]) <= MAX_PIECE_BYTES:
            low = middle
        else:
            high = middle - 1
    return low
