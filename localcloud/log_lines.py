"""The lines of the local cloud's own log: level, module, event, and the fields that belong to it.

A field is what a call gave in `extra`, as `name=value`; values are JSON, so that none can begin a line of its own.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

__all__ = ["FieldsFormatter"]

MAX_LINE_CHARS: Final = 16_384  # a failure document has some hundred; nobody reads more of one line
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """`WARNING localcloud.services.sns.delivery sns.dropped topic="arn:..." reason="..."`."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without its traceback."""
        fields = {name: value for name, value in vars(record).items() if name not in _OWN}
        line = " ".join([super().formatMessage(record), *(f"{name}={_write(value)}" for name, value in fields.items())])
        return line if len(line) <= MAX_LINE_CHARS else f"{line[:MAX_LINE_CHARS]}..."


def _write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
