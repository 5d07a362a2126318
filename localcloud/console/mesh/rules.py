"""What became of the records that filter_records read, by what it says in its log. Pure but for listening.

It logs all of a batch (`filter.done`), and of the rules those with which something went wrong (`filter.rule`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, cast

from localcloud.console.mesh.cloud import Json
from localcloud.json_text import MalformedJson, read_json
from localcloud.services.logs.model import LogEvent

__all__ = ["FilterTally"]

_OF_RECORDS: Final = ("matched", "unmatched", "poison")
_OF_MESSAGES: Final = ("sent", "refused", "returned", "misconfigured")
_REFUSED: Final = ("refused", "too_large", "unwritable")  # one to whoever looks; metrics tell them apart


class FilterTally:
    """Counts since the console was started. `is_filter` tells the log groups of functions that filter."""

    def __init__(self, is_filter: Callable[[str], bool]) -> None:
        self._is_filter = is_filter
        self._whole: Counter[str] = Counter()
        self._rules: dict[str, Counter[str]] = {}

    def hear(self, event: LogEvent) -> None:
        """A line of any function's."""
        if '"filter.' not in event.message or not self._is_filter(event.group):
            return
        try:
            found: object = read_json(event.message.encode(errors="replace"))
        except MalformedJson:
            return
        if not isinstance(found, dict):
            return
        line = cast("Json", found)
        if line.get("message") == "filter.done":
            _add(self._whole, line, (*_OF_RECORDS, *_OF_MESSAGES))
        elif line.get("message") == "filter.rule" and isinstance(line.get("rule"), str):
            _add(self._rules.setdefault(line["rule"], Counter()), line, _OF_MESSAGES)

    def whole(self) -> Json:
        """Of all records, and all messages."""
        return {name: self._whole[name] for name in (*_OF_RECORDS, *_OF_MESSAGES)}

    def of_rule(self, rule_id: str) -> Json | None:
        """Of a rule, None where nothing went wrong with it."""
        found = self._rules.get(rule_id)
        return None if found is None else {name: found[name] for name in _OF_MESSAGES[1:]}


def _add(counter: Counter[str], line: Json, names: tuple[str, ...]) -> None:
    for name in names:
        for part in _REFUSED if name == "refused" else (name,):
            value = line.get(part)
            if type(value) is int and value > 0:
                counter[name] += value
