"""The local cloud's own log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from localcloud.log_lines import MAX_LINE_CHARS, FieldsFormatter


def write(message: str, fields: dict[str, Any], **more: Any) -> str:
    record = logging.LogRecord("localcloud.x", logging.WARNING, "", 0, message, (), more.get("exc_info"))
    vars(record).update(fields)
    return FieldsFormatter().format(record)


def test_an_event_has_its_fields() -> None:
    """In the order in which they were given, texts in quotes."""
    line = write("sns.dropped", {"topic": "arn:aws:sns:x", "tries": 3, "document": {"a": [1]}})
    assert line == 'WARNING localcloud.x sns.dropped topic="arn:aws:sns:x" tries=3 document={"a": [1]}'


def test_a_field_cannot_begin_a_line() -> None:
    """What comes from outside stays within its line."""
    assert write("event", {"path": "a\nERROR forged"}) == 'WARNING localcloud.x event path="a\\nERROR forged"'


def test_a_line_has_a_bound() -> None:
    """A document of any size does not fill the log."""
    assert len(write("event", {"document": "x" * 10 * MAX_LINE_CHARS})) == MAX_LINE_CHARS + 3


def test_an_exception_has_its_fields_and_its_traceback() -> None:
    """The fields stand in the first line."""
    with pytest.raises(LookupError) as raised:
        {}["gone"]
    error = raised.value
    lines = write("broke", {"mapping": "m"}, exc_info=(type(error), error, error.__traceback__)).splitlines()
    assert (lines[0], lines[-1]) == ('WARNING localcloud.x broke mapping="m"', "KeyError: 'gone'")
