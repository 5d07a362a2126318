"""The members of a request's JSON body, read as the API's model has them. Raises Lambda's own refusals.

Pure. Source: https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, refused

__all__ = ["Members", "read_page"]

MOST_ITEMS: Final = 10_000  # MaxItems of the list operations
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class Members:
    """A JSON object; a null is as good as nothing. Each reader raises LambdaError for another type."""

    def __init__(self, values: Mapping[str, Any], *, place: str = "") -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self._place = place

    @classmethod
    def read(cls, body: bytes) -> Members:
        """The members of a body."""
        try:
            found = parse_json(body or b"{}")
        except MalformedJson as error:
            text = f"Could not parse request body into json: {error}"
            raise LambdaError("SerializationException", text, 400) from error
        if not isinstance(found, dict):
            raise LambdaError("SerializationException", "The request body is no JSON object.", 400)
        return cls(cast("dict[str, Any]", found))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> frozenset[str]:
        """What is given."""
        return frozenset(self._values)

    def text(self, name: str, default: str = "", *, longest: int | None = None) -> str:
        """A String."""
        value = self._typed(name, str, "a String", default=default)
        if longest is not None and len(value) > longest:
            constraint = f"Member must have length less than or equal to {longest}"
            raise bad_constraint(self._place + name, value, constraint)
        return value

    def required(self, name: str, *, longest: int | None = None) -> str:
        """A String that must be there."""
        if name not in self._values:
            raise bad_constraint(self._place + name, "null", "Member must not be null")
        return self.text(name, longest=longest)

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        """A String that must be there, of this pattern."""
        value = self.required(name)
        if not pattern.fullmatch(value):
            constraint = f"Member must satisfy regular expression pattern: {pattern.pattern}"
            raise bad_constraint(self._place + name, value, constraint)
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        """A String of an enumeration."""
        value = self.text(name, default)
        if value not in allowed:
            constraint = f"Member must satisfy enum value set: [{', '.join(filter(None, allowed))}]"
            raise bad_constraint(self._place + name, value, constraint)
        return value

    def flag(self, name: str) -> bool:
        """A Boolean, False where it is not there."""
        return self._typed(name, bool, "a Boolean", default=False)

    def integer(self, name: str, low: int, high: int) -> int | None:
        """An Integer in a range, None where it is not there."""
        value: Any = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._unreadable(name, "an Integer")
        if value < low:
            raise bad_constraint(self._place + name, value, f"Member must have value greater than or equal to {low}")
        if value > high:
            raise bad_constraint(self._place + name, value, f"Member must have value less than or equal to {high}")
        return value

    def inside(self, name: str) -> Members:
        """A Structure, empty where it is not there."""
        value = self._typed(name, dict, "a Structure", default=cast("dict[str, Any]", {}))
        return Members(value, place=f"{self._place}{name}.")

    def texts(self, name: str) -> tuple[str, ...]:
        """A List of Strings, empty where it is not there."""
        value = self._typed(name, list, "a List", default=cast("list[Any]", []))
        if not all(isinstance(each, str) for each in value):
            raise self._unreadable(name, "a List of String")
        return tuple(cast("list[str]", value))

    def text_map(self, name: str) -> dict[str, str]:
        """A map of Strings, empty where it is not there."""
        value = self._typed(name, dict, "a Map", default=cast("dict[str, Any]", {}))
        if not all(isinstance(each, str) for each in value.values()):
            raise self._unreadable(name, "a Map of String to String")
        return cast("dict[str, str]", value)

    def numbers(self, name: str) -> dict[str, float]:
        """A map of numbers, empty where it is not there."""
        value = self._typed(name, dict, "a Map", default=cast("dict[str, Any]", {}))
        if any(isinstance(each, bool) or not isinstance(each, int | float) for each in value.values()):
            raise self._unreadable(name, "a Map of String to Double")
        return {key: float(each) for key, each in value.items()}

    def refuse(self, served: frozenset[str], unserved: Mapping[str, str]) -> None:
        """Raises LambdaError for a member that is not served here. What the model has not is left out, as on AWS."""
        for name in sorted(self.names() - served):
            if name in unserved and self._values[name] not in ({}, [], ""):
                raise refused(f"{self._place}{name}: {unserved[name]}")

    def _typed(self, name: str, kind: type, said: str, *, default: Any) -> Any:
        value = self._values.get(name, default)
        if not isinstance(value, kind):
            raise self._unreadable(name, said)
        return value

    def _unreadable(self, name: str, said: str) -> LambdaError:
        return LambdaError("SerializationException", f"{self._place}{name} must be {said}", 400)


def read_page(query: Mapping[str, list[str]], keys: list[str], *, most: int) -> tuple[int, int, str]:
    """Where a page begins, where it ends, and the marker of the next one, "" for none. `keys` tell the items apart.

    `most`: how many a page holds at most, whatever is asked for.
    """
    text, marker = query.get("MaxItems", [str(most)])[0], query.get("Marker", [""])[0]
    if _COUNT.fullmatch(text) is None or int(text) < 1:
        raise bad_constraint("MaxItems", text, "Member must have value greater than or equal to 1")
    if int(text) > MOST_ITEMS:
        raise bad_constraint("MaxItems", text, f"Member must have value less than or equal to {MOST_ITEMS}")
    if marker and marker not in keys:
        raise refused("Marker: it is not one that this operation gave")
    first = keys.index(marker) if marker else 0
    end = min(first + min(int(text), most), len(keys))
    return first, end, keys[end] if end < len(keys) else ""
