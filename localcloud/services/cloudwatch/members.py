"""The parameters of a request, read with their types and constraints, whichever protocol they came by.

Owns the errors of single parameters, in the query protocol's words (`MetricData.member.1.Value`), and the refusal of
what is not served; knows no operation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from localcloud.services.cloudwatch.cbor import Stamp
from localcloud.services.cloudwatch.errors import bad_token, bad_value, malformed, missing, not_served

__all__ = ["UNITS", "Members"]

UNITS: Final = (
    "Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits",
    "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second",
    "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second",
    "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
)  # fmt: skip
MAX_NAME: Final = 255  # API_PutMetricData.html and API_Dimension.html
MAX_DIMENSION_VALUE: Final = 1024  # API_Dimension.html
MAX_DIMENSIONS: Final = 30  # API_MetricDatum.html
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?\Z", re.ASCII)
_PRINTABLE: Final = re.compile(r"[ -~]+\Z", re.ASCII)  # API_Dimension.html: ASCII without control characters


class Members:
    """One structure of a request. `path` is where it stands, "" for the request itself."""

    def __init__(self, raw: object, path: str = "") -> None:
        if not isinstance(raw, dict):
            raise malformed(f"{path or 'The request'} is no structure.")
        self._raw = {name: value for name, value in cast("dict[str, Any]", raw).items() if value is not None}
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._raw

    def at(self, name: str) -> str:
        """The full name of a member, as errors tell it."""
        return f"{self._path}.{name}" if self._path else name

    def only(self, *names: str) -> Members:
        """Refuse every other member aloud. Raises CloudWatchError."""
        for name in self._raw:
            if name not in names:
                raise not_served(f"the parameter {self.at(name)[:MAX_NAME]}")
        return self

    def need(self, *names: str) -> Members:
        """Refuse where one is missing. Raises CloudWatchError."""
        for name in names:
            if name not in self._raw:
                raise missing(self.at(name))
        return self

    def text(self, name: str, *, most: int = MAX_NAME) -> str | None:
        """A text of 1 to `most` characters, None where it is missing."""
        value = self._raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise malformed(f"The parameter {self.at(name)} is no text.")
        if not value:
            raise bad_value(f"The parameter {self.at(name)} must be longer than 0 characters.")
        if len(value) > most:
            raise bad_value(f"The parameter {self.at(name)} must be shorter than {most + 1} characters.")
        return value

    def free_text(self, name: str, *, most: int) -> str:
        """A text of 0 to `most` characters, "" where it is missing."""
        return "" if self._raw.get(name) == "" else self.text(name, most=most) or ""

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """One of the texts in `allowed`, None where it is missing."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise bad_value(f"The parameter {self.at(name)} must be a value in the set [ {', '.join(allowed)} ].")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean."""
        value = self._raw.get(name, default)
        value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
        if not isinstance(value, bool):
            raise malformed(f"The parameter {self.at(name)} is no boolean.")
        return value

    def number(self, name: str) -> float | None:
        """A finite number, None where it is missing."""
        value = self._raw.get(name)
        return None if value is None else _read_number(value, self.at(name))

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers, empty where it is missing."""
        return [
            _read_number(value, f"{self.at(name)}.member.{place}") for place, value in enumerate(self._list(name), 1)
        ]

    def count(self, name: str, *, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`, None where it is missing."""
        value = self.number(name)
        if value is None:
            return None
        if value != int(value) or not low <= value <= high:
            raise bad_value(f"The value {value:g} for parameter {self.at(name)} is invalid.")
        return int(value)

    def date(self, name: str) -> float | None:
        """A date in epoch seconds, None where it is missing: tag 1, a number, or ISO 8601 text."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                found = datetime.fromisoformat(value)
                return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError) as error:
                raise malformed(f"The parameter {self.at(name)} is no date.") from error
        seconds = float(value) if isinstance(value, Stamp) else _read_number(value, self.at(name))
        if not math.isfinite(seconds) or not 0 <= seconds < 253_402_300_800:  # the year 10000
            raise bad_value(f"The parameter {self.at(name)} is no date.")
        return seconds

    def texts(self, name: str) -> list[str]:
        """A list of texts, empty where it is missing."""
        found = self._list(name)
        if not all(isinstance(value, str) for value in found):
            raise malformed(f"The parameter {self.at(name)} is no list of texts.")
        return found

    def structures(self, name: str) -> list[Members]:
        """The structures of a list, empty where it is missing."""
        return [Members(raw, f"{self.at(name)}.member.{place}") for place, raw in enumerate(self._list(name), 1)]

    def structure(self, name: str) -> Members | None:
        """A structure, None where it is missing."""
        value = self._raw.get(name)
        return None if value is None else Members(value, self.at(name))

    def start(self, count: int) -> int:
        """Where the page begins that NextToken names, in a list of `count`. Raises CloudWatchError."""
        token = self.text("NextToken") or "0"
        if not (token.isascii() and token.isdigit()) or len(token) > 9 or int(token) > count:
            raise bad_token()
        return int(token)

    def name(self, name: str, *, most: int = MAX_NAME) -> str:
        """A text that names something: printable ASCII, not only spaces. Raises CloudWatchError where it is none."""
        value = self.need(name).text(name, most=most) or ""
        if _PRINTABLE.match(value) is None or not value.strip():
            raise bad_value(f"The value for parameter {self.at(name)} must be printable ASCII characters.")
        return value

    def dimensions(self) -> tuple[tuple[str, str], ...]:
        """`Dimensions` as a metric's identity has them, sorted by name."""
        given = self.structures("Dimensions")
        if len(given) > MAX_DIMENSIONS:
            raise bad_value(
                f"The collection {self.at('Dimensions')} must not have a size greater than {MAX_DIMENSIONS}."
            )
        found: dict[str, str] = {}
        for dimension in given:
            name = dimension.only("Name", "Value").name("Name")
            if name.startswith(":"):
                raise bad_value(f"The value {name} for parameter {dimension.at('Name')} is invalid.")
            if name in found:
                raise bad_value(f"The collection {self.at('Dimensions')} names the dimension {name} more than once.")
            found[name] = dimension.name("Value", most=MAX_DIMENSION_VALUE)
        return tuple(sorted(found.items()))

    def _list(self, name: str) -> list[Any]:
        value = self._raw.get(name, [])
        if value == "":  # an empty list in a form
            return []
        if not isinstance(value, list):
            raise malformed(f"The parameter {self.at(name)} is no list.")
        return cast("list[Any]", value)


def _read_number(value: object, place: str) -> float:
    if isinstance(value, str) and _NUMBER.match(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = value[:MAX_NAME] if isinstance(value, str) else "given"
        raise bad_value(f"The value {shown} for parameter {place} is invalid.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise bad_value(f"The value {number} for parameter {place} is invalid.")
    return number
