"""Where a reader of log events stands, and the page of them that it is given next. Pure.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from localcloud.services.logs.errors import invalid
from localcloud.services.logs.model import LogEvent

__all__ = ["Cursor", "cut_events", "read_cursor"]

MAX_PAGE_BYTES: Final = 1_048_576
_TOKEN: Final = re.compile(r"(\d{20})(\d{36})")


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """The place of an event: by its time, and among those of one time by its number."""

    timestamp_ms: int
    number: int

    @classmethod
    def of(cls, event: LogEvent) -> Cursor:
        """An event's own place."""
        return cls(event.timestamp_ms, event.number)

    def token(self) -> str:
        """56 digits, as event ids have."""
        return f"{self.timestamp_ms:020d}{self.number:036d}"


def read_cursor(token: str) -> Cursor:
    """The place that a token says. Raises LogsError: InvalidParameterException."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise invalid("The specified nextToken is invalid.")
    return Cursor(int(found[1]), int(found[2]))


def cut_events(
    events: Iterable[LogEvent], *, token: str | None, most: int, from_head: bool
) -> tuple[Sequence[LogEvent], str, str]:
    """A page of at most `most` events and 1 MiB, and the tokens of what is before it and after it.

    Without a token: the earliest, or the latest where not `from_head`. At an end a token leads back to itself.
    Raises LogsError.
    """
    line = sorted(events, key=Cursor.of)
    forward = from_head
    place: Cursor | None = None
    if token:
        direction, _, rest = token.partition("/")
        if direction not in {"f", "b"}:
            raise invalid("The specified nextToken is invalid.")
        forward, place = direction == "f", read_cursor(rest)
    if forward:
        page = list(_fitting(each for each in line if place is None or Cursor.of(each) > place))[:most]
    else:
        page = list(_fitting(each for each in reversed(line) if place is None or Cursor.of(each) < place))[:most][::-1]
    if not page:
        here = (place or Cursor(0, 0)).token()
        return page, f"b/{here}", f"f/{here}"
    return page, f"b/{Cursor.of(page[0]).token()}", f"f/{Cursor.of(page[-1]).token()}"


def _fitting(events: Iterable[LogEvent]) -> Iterator[LogEvent]:
    size = 0
    for event in events:
        size += len(event.message.encode(errors="replace"))
        if size > MAX_PAGE_BYTES:
            return
        yield event
