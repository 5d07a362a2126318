"""The garbage collector while a function starts.

What is imported stays, yet the collector goes through it a dozen times, a twentieth of a cold start. So it waits until
the handler is there, and what lives by then is left out of every later collection. A handler that sets the collector
its own way while it is imported keeps that.
"""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["put_off", "take_up"]

_USUAL: Final = gc.get_threshold()
_PUT_OFF: Final = (1_000_000, *_USUAL[1:])  # objects: more than most functions import, and a bound for the rest


def put_off() -> None:
    """Before the imports."""
    gc.set_threshold(*_PUT_OFF)


def take_up() -> None:
    """Once the handler is there."""
    if gc.get_threshold() == _PUT_OFF:
        gc.freeze()
        gc.set_threshold(*_USUAL)
