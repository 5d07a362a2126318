"""Characters that a model's server wrote in two halves.

JSON may write a character outside of the basic plane as two escapes (a surrogate pair), and a server that cuts its text
by UTF-16 units may put them into two events. Each half alone is no character: it cannot be encoded, counted or shown.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PairJoiner"]

_REPLACEMENT: Final = "\ufffd"


class PairJoiner:
    """Joins halves across pieces of one text; a half without its other becomes U+FFFD."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def join(self, text: str) -> str:
        """What can be shown now; a first half at the end waits for the next piece."""
        if not self._half and text.isascii():
            return text
        whole = self._half + text
        self._half = ""
        if whole and "\ud800" <= whole[-1] <= "\udbff":
            whole, self._half = whole[:-1], whole[-1]
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def rest(self) -> str:
        """What waits, at the end of the text."""
        half, self._half = self._half, ""
        return _REPLACEMENT if half else ""
