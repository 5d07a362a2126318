"""A place in a template's text. Owns looking ahead and saying where; knows no grammar."""

from __future__ import annotations

import re
from collections.abc import Callable

from localcloud.gateway.vtl.errors import VtlError
from localcloud.gateway.vtl.nodes import Block

__all__ = ["MAX_DEPTH", "Cursor"]

MAX_DEPTH = 100  # nesting of expressions, blocks and strings: ours, so that no template exhausts the stack

_SPACE = re.compile(r"[ \t\r\n]*")


class Cursor:
    """Reads `text` from `position`; `first_line` is the line of the text's first character in the whole template."""

    def __init__(self, text: str, nested: Callable[[Cursor], Block], *, first_line: int = 1, depth: int = 0) -> None:
        self.text = text
        self.position = 0
        self.depth = depth
        self._first_line = first_line
        self._nested = nested
        self._counted_to = 0
        self._lines = 0

    @property
    def line(self) -> int:
        """The line of the current position, from 1."""
        if self.position < self._counted_to:
            self._counted_to = self._lines = 0
        self._lines += self.text.count("\n", self._counted_to, self.position)
        self._counted_to = self.position
        return self._first_line + self._lines

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.text)

    def error(self, message: str) -> VtlError:
        """An error at the current line."""
        return VtlError(message, line=self.line)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match `pattern` here and move past it."""
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def looks_at(self, literal: str) -> bool:
        """Whether `literal` comes next; nothing moves."""
        return self.text.startswith(literal, self.position)

    def take(self, literal: str) -> bool:
        """Move past `literal` where it comes next."""
        if not self.looks_at(literal):
            return False
        self.position += len(literal)
        return True

    def skip_space(self) -> None:
        """Move past spaces, tabs and line ends."""
        self.match(_SPACE)

    def expect(self, literal: str) -> None:
        """Move past spaces and `literal`. Raises VtlError where something else comes."""
        self.skip_space()
        if not self.take(literal):
            got = self.text[self.position : self.position + 12].split("\n", maxsplit=1)[0] or "the end"
            raise self.error(f"expected {literal!r}, found {got!r}")

    def deeper(self) -> None:
        """Count one level of nesting. Raises VtlError past MAX_DEPTH."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} levels deep")

    def parse_nested(self, text: str) -> Block:
        """Parse a string's text as a template of its own."""
        return self._nested(Cursor(text, self._nested, first_line=self.line, depth=self.depth + 1))
