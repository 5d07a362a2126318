"""An answer as it grows, and how it ends: what the worker writes and every reader follows.

Offsets count characters (code points). One event loop; whoever follows waits for `news`, looks, and waits for the next.
Must not know models, stores or connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from sluiceway.events.socket import FrameKind

__all__ = ["Ending", "Transcript"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended, or why it rests: `state` as in AnswerRecord. `problem` is what an error frame carries.

    `retracted`: what was said is taken back.
    """

    state: str
    stop_reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    problem: Mapping[str, object] | None = None
    retracted: bool = False

    def last_frame(self) -> tuple[FrameKind, Mapping[str, object]] | None:
        """Kind and data of the frame that tells a reader; None where the answer goes on elsewhere."""
        if self.state in {"asked", "running"}:
            return None
        if self.problem is not None:
            return "error", {**self.problem, "resumable": self.state == "paused"}
        return "final", {"stop_reason": self.stop_reason, "usage": dict(self.usage)}


class Transcript:
    """The text so far. `starts[i]` is the offset at which attempt i + 1 went on."""

    def __init__(self, text: str = "", *, starts: tuple[int, ...] = (0,)) -> None:
        self._pieces = [text] if text else []
        self.length = len(text)
        self.starts = starts
        self.ending: Ending | None = None
        self.news = asyncio.Event()

    @property
    def attempt(self) -> int:
        """Whose text grows now, from 1."""
        return len(self.starts)

    def add(self, text: str) -> None:
        """More text."""
        self._pieces.append(text)
        self.length += len(text)
        self._tell()

    def go_on(self, at: int) -> None:
        """Another attempt goes on at offset `at`; what was beyond it is no part of the answer any more."""
        kept = self.text(0, at)
        self._pieces = [kept] if kept else []
        self.length = len(kept)
        self.starts = (*self.starts, at)
        self._tell()

    def end(self, ending: Ending) -> None:
        """Nothing more comes."""
        self.ending = ending
        self._tell()

    def text(self, start: int, end: int | None = None) -> str:
        """The characters from `start` to `end`."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0][start:end] if self._pieces else ""

    def _tell(self) -> None:
        told, self.news = self.news, asyncio.Event()
        told.set()
