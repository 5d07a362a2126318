"""Numbers among the words of a command: their bounds, and what is said of any other."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["whole_number"]


def whole_number(name: str, least: int, most: int) -> Callable[[str], int]:
    """What argparse takes as `type`: ASCII digits from `least` to `most`. `name` begins the sentence on any other."""

    def read(text: str) -> int:
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not is_number or not least <= int(text) <= most:
            message = f"{name} is a whole number from {least} to {most:,}, not {text!r}"
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return read
