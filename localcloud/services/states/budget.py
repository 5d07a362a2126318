"""How much one payload template, or one path, may make: a short text can stand for more than there is memory. Pure.

What a state takes or gives is held against AWS's limit once it is made (`data.check_size`); this ends the making.
"""

from __future__ import annotations

import json
from typing import Any, Final

from localcloud.services.states.failures import DATA_LIMIT, StateFailure

__all__ = ["MAX_CHARS", "MAX_VISITS", "Budget"]

MAX_CHARS: Final = 10 * 1024 * 1024  # ours: forty times what a state may give, as much as an execution's variables
MAX_VISITS: Final = 1_000_000  # ours: data within the limit has 131,072 values at most
_SCALAR_CHARS: Final = 8


class Budget:
    """What is left of a bound."""

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, amount: int) -> None:
        """Raises StateFailure States.DataLimitExceeded where that much is not left."""
        self._left -= amount
        if self._left < 0:
            raise StateFailure(DATA_LIMIT, "What a field leads to exceeds the maximum size of data.", located=False)

    def take(self, value: Any) -> Any:
        """`value`, paid by its characters. Raises StateFailure States.DataLimitExceeded."""
        if isinstance(value, str):
            self.spend(len(value))
        elif type(value) in {dict, list}:
            self.spend(len(json.dumps(value, ensure_ascii=False)))
        else:
            self.spend(_SCALAR_CHARS)
        return value
