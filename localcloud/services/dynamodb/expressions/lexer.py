"""Tokens of DynamoDB expressions, and a cursor over them.

Knows characters, not grammar; syntax errors are worded here because they quote the text.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

from localcloud.services.dynamodb.expressions.faults import Faults

__all__ = ["Cursor", "Token"]

MAX_EXPRESSION_BYTES: Final = 4096  # Constraints.html, "Expression string length"
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<alias>#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)|(?P<index>[0-9]+)"
    r"|(?P<mark><>|<=|>=|[=<>()\[\],.+-])|(?P<unknown>\S))"
)


class Token(NamedTuple):
    """`kind`: name, alias (#n), value (:v), index (digits), mark, unknown or end; `start` and `end` are offsets."""

    kind: str
    text: str
    start: int
    end: int


@lru_cache(maxsize=1024)
def _tokenise(text: str) -> tuple[Token, ...]:
    tokens = [
        Token(match.lastgroup or "unknown", match[match.lastgroup or 0], *match.span(match.lastgroup or 0))
        for match in _TOKEN.finditer(text)
    ]
    return (*tokens, Token("end", "<EOF>", len(text), len(text)))


class Cursor:
    """Walks the tokens of one expression. Raises DynamoError at once where the text is empty or too long."""

    def __init__(self, text: str, faults: Faults) -> None:
        if not text.strip():
            faults.stop("The expression can not be empty;")
        size = len(text.encode())
        if size > MAX_EXPRESSION_BYTES:
            faults.stop(
                "Expression size has exceeded the maximum allowed size; "
                f"expression size: {size}, maximum allowed size: {MAX_EXPRESSION_BYTES}"
            )
        self.faults = faults
        self._text = text
        self._tokens = _tokenise(text)
        self.at = 0

    @property
    def token(self) -> Token:
        """The token under the cursor."""
        return self._tokens[self.at]

    def ahead(self, distance: int = 1) -> Token:
        """The token `distance` further on, the end where there is none."""
        return self._tokens[min(self.at + distance, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The token under the cursor, which moves on."""
        token = self._tokens[self.at]
        self.at += token.kind != "end"
        return token

    def accept(self, mark: str) -> bool:
        """Move over `mark` if it is there."""
        token = self._tokens[self.at]
        if token.kind == "mark" and token.text == mark:
            self.at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        """Move over `mark`. Raises DynamoError (syntax error) where it is not there."""
        if not self.accept(mark):
            self.fail()

    def keyword(self) -> str:
        """The name under the cursor in upper case, "" where there is no name."""
        token = self._tokens[self.at]
        return token.text.upper() if token.kind == "name" else ""

    def fail(self) -> NoReturn:
        """Report a syntax error at the token under the cursor. Raises DynamoError."""
        token = self.token
        first = self._tokens[max(0, self.at - (2 if token.kind == "end" else 1))]
        last = self.ahead() if token.kind != "end" else token
        near = self._text[first.start : last.end].strip()
        self.faults.stop(f'Syntax error; token: "{token.text}", near: "{near}"')

    def is_double_group(self) -> bool:
        """Whether the parenthesis under the cursor holds nothing but another one, as in `((a = :b))`."""
        if self.ahead().text != "(":
            return False
        depth = 0
        closes: list[int] = []
        for number in range(self.at, len(self._tokens)):
            text = self._tokens[number].text
            depth += (text == "(") - (text == ")")
            if text == ")" and depth < 2:
                closes.append(number)
                if depth == 0:
                    break
        return len(closes) == 2 and closes[0] == closes[1] - 1
