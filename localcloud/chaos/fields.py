"""The members of a JSON object read one by one, each with its limits; what is wrong is said with the member's path.

Knows no plan. Whoever has read all that there is calls `close`: a member that nobody asked for is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["MISSING", "Fields", "PlanError"]

MISSING: Final = object()
"""The default of a member that must be there."""

MAX_SHOWN_CHARS: Final = 60


class PlanError(Exception):
    """A plan that cannot be carried out; the message names the field and its limit."""


class Fields:
    """The members of `value`, whose place in the document is `path`. Raises PlanError where it is no object."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise PlanError(f"{path or 'the plan'}: an object, not {_show(value)}")
        self._members = cast("Mapping[str, Any]", value)
        self._path = path
        self._known: list[str] = []

    def has(self, name: str) -> bool:
        """Whether the member is there."""
        return name in self._members

    def place(self, name: str) -> str:
        """The member's path."""
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str, default: object = MISSING) -> Any:
        """The member as it is. Raises PlanError where it is missing and has no default."""
        self._known.append(name)
        found = self._members.get(name, default)
        if found is MISSING:
            raise PlanError(f"{self.place(name)}: is missing")
        return found

    def number(self, name: str, least: float, most: float, *, default: object = MISSING) -> float:
        """A number from `least` to `most`."""
        found = self.take(name, default)
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if not is_number or not least <= found <= most:  # also of what is no number: NaN is in no range
            raise PlanError(f"{self.place(name)}: a number from {least:g} to {most:g}, not {_show(found)}")
        return float(found)

    def whole(self, name: str, least: int, most: int, *, default: object = MISSING) -> int:
        """A whole number from `least` to `most`."""
        found = self.take(name, default)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise PlanError(f"{self.place(name)}: a whole number from {least} to {most}, not {_show(found)}")
        return found

    def flag(self, name: str, *, default: object = MISSING) -> bool:
        """True or false."""
        found = self.take(name, default)
        if not isinstance(found, bool):
            raise PlanError(f"{self.place(name)}: true or false, not {_show(found)}")
        return found

    def text(self, name: str, most: int, *, least: int = 1, default: object = MISSING) -> str:
        """Text of `least` to `most` characters."""
        found = self.take(name, default)
        if not isinstance(found, str) or not least <= len(found) <= most:
            raise PlanError(f"{self.place(name)}: text of {least} to {most} characters, not {_show(found)}")
        return found

    def choice(self, name: str, choices: Sequence[Any], *, default: object = MISSING) -> Any:
        """One of `choices`."""
        found = self.take(name, default)
        if isinstance(found, bool) or found not in choices:
            listed = ", ".join(str(each) for each in choices)
            raise PlanError(f"{self.place(name)}: one of {listed}, not {_show(found)}")
        return found

    def texts(self, name: str, most: int, *, each: int, default: object = MISSING) -> tuple[str, ...]:
        """A list of 1 to `most` different texts of 1 to `each` characters."""
        found = self.take(name, default)
        names = cast("Sequence[Any]", found if isinstance(found, list | tuple) else ())
        if not 1 <= len(names) <= most:
            raise PlanError(f"{self.place(name)}: a list of 1 to {most} names, not {_show(cast('object', found))}")
        for index, text in enumerate(names):
            if not isinstance(text, str) or not 1 <= len(text) <= each or text in names[:index]:
                where = f"{self.place(name)}[{index}]"
                raise PlanError(f"{where}: text of 1 to {each} characters that is there once, not {_show(text)}")
        return tuple(names)

    def close(self, what: str) -> None:
        """Nothing else may be there. `what` is how the message calls the object. Raises PlanError."""
        for name in self._members:
            if name not in self._known:
                listed = ", ".join(sorted(set(self._known)))
                raise PlanError(f"{self.place(name[:MAX_SHOWN_CHARS])}: {what} has no such field; it has {listed}")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."
