"""Pages of what is listed in the order of its names: a page's token is the last name on it, in base64. Pure.

AWS's tokens are opaque, too; one that nobody was given is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["MalformedToken", "cut_page"]

T = TypeVar("T")


class MalformedToken(ValueError):
    """The text is no token of a page."""


def cut_page(
    items: Sequence[T], name_of: Callable[[T], str], *, token: str | None, most: int
) -> tuple[Sequence[T], str]:
    """The page that a token leads to (None or "": the first), of `most` items, and the next one's token, "" for none.

    `items` are in the order of their names, no two alike. Raises MalformedToken.
    """
    after = _read(token) if token else ""
    left = [item for item in items if name_of(item) > after]
    page = left[:most]
    more = len(left) > len(page)
    return page, base64.urlsafe_b64encode(name_of(page[-1]).encode()).decode() if more else ""


def _read(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise MalformedToken(token) from error
