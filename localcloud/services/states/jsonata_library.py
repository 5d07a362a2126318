"""jsonata-python, loaded: the one place that knows where its parts are. Whoever imports this loads it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

__all__ = ["NULL", "FrameLimit", "Jsonata", "error", "error_codes", "functions", "is_function", "values"]

STACK: Final = 20_000  # frames of Python: each evaluation takes up to a dozen


class FrameLimit:
    """While it is entered, as many frames of Python as the deepest evaluation takes."""

    def __enter__(self) -> None:
        self._before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(STACK, self._before))

    def __exit__(self, *_raised: object) -> None:
        sys.setrecursionlimit(self._before)


with FrameLimit():  # the library sets the whole interpreter's limit when it is loaded: put back here
    _library: Any = import_module("jsonata.jsonata")
_errors: Any = import_module("jsonata.jexception")
_symbols: Any = import_module("jsonata.parser").Parser.Symbol

Jsonata: Any = _library.Jsonata
functions: Any = _library.functions.Functions
values: Any = import_module("jsonata.utils").Utils
error: Any = _errors.JException
error_codes: Any = _errors.JException.error_codes
NULL: Final[Any] = values.NULL_VALUE
"""JSON's null; None is JSONata's undefined."""


def is_function(value: object) -> bool:
    """Whether a value is a function, a lambda or a regular expression."""
    return isinstance(value, Jsonata.JFunctionCallable | _symbols) or hasattr(value, "finditer")
