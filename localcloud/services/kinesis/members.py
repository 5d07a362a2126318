"""The members of a request, read with their types and constraints.

Owns the errors of a request's shape, and the refusal of members that are not served; knows no operation.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from localcloud.services.kinesis.errors import malformed, member_violation, not_served

__all__ = ["Members"]

_NAME: Final = "[a-zA-Z0-9_.-]+"
_HASH_KEY: Final = "0|([1-9]\\d{0,38})"
_SEQUENCE: Final = "0|([1-9]\\d{0,128})"
_PATTERNS: Final = {text: re.compile(text) for text in (_NAME, _HASH_KEY, _SEQUENCE)}
MAX_TIMESTAMP_S: Final = 253_402_300_799  # the year 9999


class Members:
    """One structure of a request. `path` is where it stands, in lower camel case ("" for the request itself)."""

    def __init__(self, raw: object, path: str = "") -> None:
        if not isinstance(raw, dict):
            raise malformed(f"{_found(raw)} where a structure was expected")
        self._raw = cast("dict[str, Any]", raw)
        self._path = path

    def __contains__(self, name: str) -> bool:
        return self._raw.get(name) is not None

    def only(self, *names: str) -> Members:
        """Refuse every other member aloud. Raises KinesisError."""
        for name, value in self._raw.items():
            if name not in names and value is not None:
                raise not_served(f"the parameter {name} of this operation")
        return self

    def text(self, name: str, *, low: int = 1, high: int = 2_048) -> str | None:
        """A string of `low` to `high` characters, None where it is missing."""
        value = self._raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise malformed(f"{_found(value)} can not be converted to an String")
        if not low <= len(value) <= high:
            bound = f"greater than or equal to {low}" if len(value) < low else f"less than or equal to {high}"
            raise member_violation(_cut(value), self._at(name), f"Member must have length {bound}")
        return value

    def need(self, name: str, *, low: int = 1, high: int = 2_048) -> str:
        """A string that must be there. Raises KinesisError: ValidationException."""
        value = self.text(name, low=low, high=high)
        if value is None:
            raise member_violation(None, self._at(name), "Member must not be null")
        return value

    def named(self, name: str) -> str | None:
        """The name of a stream, shard or consumer: 1 to 128 letters, digits and `_.-`; None where it is missing."""
        return self._matching(name, _NAME, high=128)

    def need_named(self, name: str) -> str:
        """As `named`, where it must be there."""
        self.need(name, low=0)
        return self.named(name) or ""

    def hash_key(self, name: str) -> int | None:
        """A hash key in digits, None where it is missing; it may still be too large."""
        value = self._matching(name, _HASH_KEY)
        return None if value is None else int(value)

    def sequence(self, name: str) -> str | None:
        """A sequence number in digits, None where it is missing."""
        return self._matching(name, _SEQUENCE)

    def flag(self, name: str) -> bool:
        """A boolean, False where it is missing."""
        value = self._raw.get(name)
        if value is not None and not isinstance(value, bool):
            raise malformed(f"{_found(value)} can not be converted to an Boolean")
        return bool(value)

    def count(self, name: str, *, low: int | None = 1, high: int | None = None) -> int | None:
        """A whole number from `low` to `high`, None where it is missing."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise malformed(f"{_found(value)} can not be converted to an Integer")
        if low is not None and value < low:
            raise member_violation(value, self._at(name), f"Member must have value greater than or equal to {low}")
        if high is not None and value > high:
            raise member_violation(value, self._at(name), f"Member must have value less than or equal to {high}")
        return value

    def need_count(self, name: str, *, low: int | None = 1, high: int | None = None) -> int:
        """As `count`, where it must be there."""
        value = self.count(name, low=low, high=high)
        if value is None:
            raise member_violation(None, self._at(name), "Member must not be null")
        return value

    def timestamp(self, name: str) -> float | None:
        """A date in epoch seconds, None where it is missing."""
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TIMESTAMP_S:
            raise malformed(f"{_found(value)} can not be converted to a timestamp")
        return float(value)

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        """One of the strings in `allowed`, None where it is missing."""
        value = self.text(name, low=0)
        if value is not None and value not in allowed:
            constraint = f"Member must satisfy enum value set: [{', '.join(allowed)}]"
            raise member_violation(_cut(value), self._at(name), constraint)
        return value

    def need_choice(self, name: str, allowed: Sequence[str]) -> str:
        """As `choice`, where it must be there."""
        self.need(name, low=0)
        return self.choice(name, allowed) or ""

    def blob(self, name: str) -> tuple[str, int]:
        """Bytes in base64: the text as it came, and how many bytes it stands for."""
        value = self._raw.get(name)
        if value is None:
            raise member_violation(None, self._at(name), "Member must not be null")
        if not isinstance(value, str):
            raise malformed(f"{_found(value)} can not be converted to a Blob")
        try:
            return value, len(binascii.a2b_base64(value, strict_mode=True))
        except ValueError as error:
            raise malformed(f"'{_cut(value)}' can not be converted to a Blob: {error}") from error

    def text_map(self, name: str, *, low: int, high: int) -> dict[str, str]:
        """A map of strings with `low` to `high` entries; {} where it is missing."""
        value = self._raw.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise malformed(f"{_found(value)} where a map was expected")
        found: dict[str, str] = {}
        for key, text in cast("dict[str, object]", value).items():
            if not isinstance(text, str):
                raise malformed(f"{_found(text)} can not be converted to an String")
            found[key] = text
        self._check_length(name, len(found), low=low, high=high)
        return found

    def texts(self, name: str, *, low: int, high: int) -> list[str]:
        """A list of `low` to `high` strings, which must be there."""
        found: list[str] = []
        for value in self._list(name, low, high):
            if not isinstance(value, str):
                raise malformed(f"{_found(value)} can not be converted to an String")
            found.append(value)
        return found

    def structures(self, name: str, *, low: int, high: int) -> list[Members]:
        """A list of `low` to `high` structures, which must be there."""
        place = self._at(name)
        return [Members(raw, f"{place}.{number}.member") for number, raw in enumerate(self._list(name, low, high), 1)]

    def structure(self, name: str) -> Members | None:
        """A structure, None where it is missing."""
        value = self._raw.get(name)
        return None if value is None else Members(value, self._at(name))

    def need_structure(self, name: str) -> Members:
        """As `structure`, where it must be there."""
        found = self.structure(name)
        if found is None:
            raise member_violation(None, self._at(name), "Member must not be null")
        return found

    def raw(self) -> Mapping[str, Any]:
        """The members as they came."""
        return self._raw

    def _list(self, name: str, low: int, high: int) -> list[object]:
        value = self._raw.get(name)
        if value is None:
            raise member_violation(None, self._at(name), "Member must not be null")
        if not isinstance(value, list):
            raise malformed(f"{_found(value)} where a list was expected")
        found = cast("list[object]", value)
        self._check_length(name, len(found), low=low, high=high)
        return found

    def _check_length(self, name: str, length: int, *, low: int, high: int) -> None:
        if not low <= length <= high:
            bound = f"greater than or equal to {low}" if length < low else f"less than or equal to {high}"
            raise member_violation(f"[{length} members]", self._at(name), f"Member must have length {bound}")

    def _matching(self, name: str, pattern: str, *, high: int = 2_048) -> str | None:
        value = self.text(name, low=1, high=high)
        if value is not None and not _PATTERNS[pattern].fullmatch(value):
            constraint = f"Member must satisfy regular expression pattern: {pattern}"
            raise member_violation(_cut(value), self._at(name), constraint)
        return value

    def _at(self, name: str) -> str:
        lowered = name[:1].lower() + name[1:]
        return f"{self._path}.{lowered}" if self._path else lowered


def _found(value: object) -> str:
    if isinstance(value, dict):
        return "Start of structure or map found"
    if isinstance(value, list):
        return "Start of list found"
    kind = "Boolean" if isinstance(value, bool) else "String" if isinstance(value, str) else "Number"
    return f"A value of type {kind}"


def _cut(value: str) -> str:
    return value if len(value) <= 256 else f"{value[:256]}..."
