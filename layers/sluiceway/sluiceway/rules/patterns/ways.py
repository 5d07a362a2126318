"""One way in which a pattern matches: all of its fields at once.

Fields that lie in elements of the same array must be found in the same element. Where that could matter, which is
seldom, the event itself is looked at (`arrays`); everywhere else the values found at the paths decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sluiceway.rules.patterns.arrays import match_arrays
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.paths import Found, Several, Spread
from sluiceway.rules.patterns.values import Key

__all__ = ["Way"]


class Way:
    """A conjunction of fields."""

    __slots__ = ("fields",)

    def __init__(self, fields: tuple[Field, ...]) -> None:
        """`fields` are sorted by path."""
        self.fields = fields

    def holds(self, found: Found, event: Mapping[str, object]) -> bool:
        """Whether `event` matches; `found` is what it has at the paths of the fields, and perhaps at others.

        Raises: Rejected (`ambiguous-event`).
        """
        spread = False
        for field in self.fields:
            value = found.get(field.path)
            if value.__class__ is str:  # most values are, and this is the loop that everything waits for
                if not field.accepts(cast("str", value)):
                    return False
            elif not _fits(field, value, found):
                return False
            elif value.__class__ is Spread:
                spread = True
        return not spread or match_arrays(self.fields, found, event)


def _fits(field: Field, value: Key | Several | None, found: Found) -> bool:
    if value is None:
        return field.may_be_absent
    if not isinstance(value, Several):
        return field.accepts(value)
    if field.tests:
        found.spend(len(value) * field.tests)
    return field.accepts_any(value) or (field.may_be_absent and isinstance(value, Spread))
