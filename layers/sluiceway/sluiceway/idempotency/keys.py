"""Which part of an event is its key, and what the key looks like in a store.

Owns paths, missing keys and hashes. Only what the paths name is read: the cost does not grow with the event. With
`digest="md5"` and no name of its own a function has the keys that Powertools 3.37 gives it:
`<Lambda function>.<module>.<qualified name>#<md5 of the sorted JSON>`. Must not know stores or records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.region_keys import parse_region_key, write_time

__all__ = ["Digest", "KeyMaker", "Part", "Select", "make_select"]

Part: TypeAlias = "str | tuple[str, ...] | Callable[[Any], object]"
"""A path (`order.id`, `Records[0].messageId`), several (their values in a list), or a function of the event."""
Select = Callable[[Any], object]
Digest = Literal["sha256", "md5", "minted"]
"""What becomes of the selected part: its SHA-256, its MD5 as Powertools has it, or, of a key that a Region made
(`rules.region_keys`), the key itself."""

MAX_NAME_BYTES: Final = 512  # a partition key has 2,048 at most
MAX_KEY_CHARACTERS: Final = 65_536  # of the selected part as JSON: a key, not a document

_write_sorted: Final = json.JSONEncoder(sort_keys=True).encode
_Step: TypeAlias = str | int


class KeyMaker:
    """The keys of one function, the same for its whole life: nothing here changes after it was made."""

    __slots__ = ("_hash", "_is_minted", "_made", "_select", "_validate", "name", "where")

    def __init__(
        self,
        name: str,
        *,
        key: Part,
        validate: Part | None = None,
        digest: Digest = "sha256",
        made: Part | None = None,
    ) -> None:
        if not name or len(name.encode()) > MAX_NAME_BYTES or "#" in name:
            raise ValueError(f"a name has 1 to {MAX_NAME_BYTES} bytes and no #")
        self.name = name
        self.where = key if isinstance(key, str) else "key"
        self._select = make_select(key)
        self._validate = None if validate is None else make_select(validate)
        self._is_minted = digest == "minted"
        self._made = None if made is None else make_select(made)
        self._hash = _hash_md5 if digest == "md5" else _hash_sha256

    def key_of(self, event: object) -> str:
        """`<name>#<hex>`, of minted keys `<name>#<key>`; where the event says when its key was made, that behind it.

        Raises Rejected (`no-idempotency-key`, `invalid-idempotency-key`).
        """
        selected = self._select(event)
        if _is_missing(selected):
            raise Rejected("the event has no idempotency key", reason="no-idempotency-key", field=self.where)
        if self._is_minted:
            return f"{self.name}#{self._read_minted(selected)}"
        text = self._write(selected)
        if len(text) > MAX_KEY_CHARACTERS:
            raise Rejected("the key is too long", reason="invalid-idempotency-key", field=self.where)
        return f"{self.name}#{self._hash(text.encode())}{self._write_made(event)}"

    def _write_made(self, event: object) -> str:
        made = None if self._made is None else self._made(event)
        if isinstance(made, int) and made > 0:
            return f"#{write_time(made)}"
        return f"#{made}" if isinstance(made, str) and parse_region_key(made) is not None else ""

    def _read_minted(self, selected: object) -> str:
        if not isinstance(selected, str) or parse_region_key(selected) is None:
            raise Rejected("the key is none that a Region made", reason="invalid-idempotency-key", field=self.where)
        return selected

    def payload_hash_of(self, event: object) -> str:
        """The hash of what is validated, "" where nothing is. Raises Rejected (`invalid-idempotency-key`)."""
        return "" if self._validate is None else self._hash(self._write(self._validate(event)).encode())

    def _write(self, selected: object) -> str:
        try:
            return _write_sorted(selected)
        except (TypeError, ValueError, RecursionError) as error:
            raise Rejected("the key is not JSON", reason="invalid-idempotency-key", field=self.where) from error


def make_select(part: Part) -> Select:
    """The function that reads `part` of an event: None where there is nothing. Raises ValueError for no path."""
    if isinstance(part, str):
        steps = _parse(part)
        return lambda event: _walk(event, steps)
    if isinstance(part, tuple):
        if not part:
            raise ValueError("a key has one path at least")
        paths = [_parse(each) for each in cast("tuple[str, ...]", part)]
        return lambda event: [_walk(event, steps) for steps in paths]
    if callable(cast("object", part)):
        return part
    raise ValueError("a key is a path, a tuple of paths, or a function of the event")


def _parse(path: str) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    for name in path.split("."):
        word, *indexes = name.split("[")
        numbers = [index.removesuffix("]") for index in indexes]
        closed = all(index.endswith("]") for index in indexes)
        if not closed or not all(number.isascii() and number.isdecimal() for number in numbers):
            raise ValueError(f"no path: {path!r}")
        if not word or word.startswith("_") or not set(word).isdisjoint("]* @|&?\"'`"):
            raise ValueError(f"no path: {path!r}")
        steps += [word, *map(int, numbers)]
    return tuple(steps)


def _walk(event: Any, steps: tuple[_Step, ...]) -> Any:
    found = event
    for step in steps:
        if found is None:
            return None
        found = _take_name(found, step) if isinstance(step, str) else _take_index(found, step)
    return found


def _take_name(found: Any, name: str) -> Any:
    if isinstance(found, Mapping):
        return cast("Mapping[str, Any]", found).get(name)
    return getattr(found, name, None)


def _take_index(found: Any, index: int) -> Any:
    is_list = isinstance(found, Sequence) and not isinstance(found, str | bytes)
    items = cast("Sequence[Any]", found) if is_list else ()
    return items[index] if index < len(items) else None


def _is_missing(selected: object) -> bool:
    """As Powertools has it: nothing, "" or empty; 0 and False are keys, a list or object of nulls only is none."""
    if isinstance(selected, Mapping):
        return all(value is None for value in cast("Mapping[object, object]", selected).values())
    if isinstance(selected, list | tuple):
        return all(value is None for value in cast("Sequence[object]", selected))
    return selected is None or selected == ""


def _hash_sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _hash_md5(text: bytes) -> str:
    try:
        return hashlib.md5(text, usedforsecurity=False).hexdigest()
    except ValueError as error:  # an interpreter that has no MD5 at all
        raise Misconfigured("this interpreter has no MD5", what="digest") from error
