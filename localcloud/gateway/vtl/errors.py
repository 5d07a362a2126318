"""What is wrong with a mapping template, and where."""

from __future__ import annotations

__all__ = ["VtlError"]


class VtlError(Exception):
    """A template that cannot be parsed or rendered; `line` counts from 1, 0 where no line is to blame."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line
