"""The file that says how far a replay is: written whole after each batch, so that a run that ends anywhere goes on.

It is written when a batch is settled, and says so much only; what was sent and not yet written down is sent again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from sluiceway.errors import Misconfigured

__all__ = ["Bookmark", "read_bookmark", "write_bookmark"]

VERSION: Final = 1
MAX_BYTES: Final = 64 * 1024 * 1024  # a cursor has a line for each shard


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a replay is. `source`, `target`: the words that chose them; `place`: the endpoint.

    `plan`: what the source was told, with every date fixed; `cursor` and `mark`: of source and target.
    """

    source: str
    target: str
    place: str
    plan: Mapping[str, Any]
    cursor: Mapping[str, Any] = field(default_factory=dict[str, Any])
    mark: Mapping[str, Any] = field(default_factory=dict[str, Any])
    taken: int = 0
    refused: int = 0
    done: bool = False

    def is_of(self, other: Bookmark) -> bool:
        """Whether both are of one replay."""
        return (self.source, self.target, self.place) == (other.source, other.target, other.place)

    def at(self, cursor: Mapping[str, Any], mark: Mapping[str, Any], *, taken: int, refused: int) -> Bookmark:
        """The same replay, so far."""
        return replace(self, cursor=cursor, mark=mark, taken=taken, refused=refused)


def read_bookmark(path: Path) -> Bookmark | None:
    """What the file says, None where there is none. Raises Misconfigured where it is another kind of file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Misconfigured(f"{path} is too large for a resume file", what="--resume")
        told = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        bookmark = Bookmark(**{name: value for name, value in told.items() if name != "version"})
    except FileNotFoundError:
        return None
    except (OSError, AttributeError, TypeError, ValueError) as error:
        raise Misconfigured(f"{path} is no resume file of a replay", what="--resume") from error
    if told.get("version") != VERSION:
        raise Misconfigured(f"{path} is of another version", what="--resume")
    return bookmark


def write_bookmark(path: Path, bookmark: Bookmark) -> None:
    """Write atomically: whoever reads sees the old bookmark or the new one, also after the machine fell.

    Raises Misconfigured where it cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({"version": VERSION, **asdict(bookmark)}, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}", what="--resume") from error
