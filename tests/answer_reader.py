"""A client of streamed answers, by the rules of docs/streaming.md and nothing else: frames in, text out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class AnswerReader:
    """What a client knows of one answer. `gap` says that it has to resume; `ended` is its last frame."""

    req: str
    text: str = ""
    attempt: int = 0
    gap: bool = False
    ended: dict[str, Any] | None = None
    frames: list[dict[str, Any]] = field(default_factory=list)

    def take(self, frame: dict[str, Any]) -> None:
        """One frame."""
        if frame.get("req") != self.req:
            return
        self.frames.append(frame)
        attempt, off, kind = frame.get("try", 0), frame["off"], frame["t"]
        if attempt and attempt < self.attempt:
            return  # of a worker that lost its place
        if kind in {"delta", "reset", "retract", "final"} and off > len(self.text):
            self.gap = True
            return
        self.attempt = max(self.attempt, attempt)
        if kind == "delta":
            self.text += frame["d"][len(self.text) - off :]
        elif kind in {"reset", "retract"}:
            self.text = self.text[:off]
        elif kind in {"final", "error"}:
            self.ended = frame

    def resume(self) -> dict[str, Any]:
        """The message that goes on from here."""
        self.gap, self.ended = False, None
        return {"action": "resume", "req": self.req, "off": len(self.text), "try": self.attempt}

    @property
    def is_resumable(self) -> bool:
        """Whether it ended for now only."""
        return self.ended is not None and self.ended["t"] == "error" and bool(self.ended["d"].get("resumable"))
