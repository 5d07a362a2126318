"""Events from JSON, and replies into it, as the managed runtime reads and writes them.

Beside what JSON has, a reply may hold named tuples (objects), tuples (arrays), Decimals (numbers) and bytes (text):
such a reply is written in Python; a plain one goes straight to the encoder in C. One difference from the managed
runtime: a lone surrogate is escaped, and so stays valid JSON, where the managed runtime's process would end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from sluiceway.runtime.faults import RuntimeFault

__all__ = ["encode_plain", "encode_reply", "read_event"]

JSON: Final = "application/json"
UNKNOWN: Final = "application/unknown"  # what the managed runtime calls a reply of bytes
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_encode = json.JSONEncoder(ensure_ascii=False).encode


def read_event(payload: bytes, content_type: str) -> object:
    """The event; bytes that are no JSON by their content type stay as they are. Raises: RuntimeFault."""
    if content_type != JSON:
        return payload
    try:
        return json.loads(payload.decode())
    except (ValueError, RecursionError) as cause:
        raise RuntimeFault("Runtime.UnmarshalError", f"Unable to unmarshal input: {cause}") from cause


def encode_plain(reply: object) -> bytes:
    """A reply made of JSON types alone. Raises: RuntimeFault where it is not."""
    try:
        return _as_bytes(_encode(reply))
    except (TypeError, ValueError, RecursionError) as cause:
        raise RuntimeFault("Runtime.MarshalError", f"Unable to marshal response: {cause}") from cause


def encode_reply(reply: object) -> tuple[bytes, str]:
    """Any reply, and its content type. Raises: RuntimeFault where it cannot be written."""
    if isinstance(reply, bytes):
        return reply, UNKNOWN
    try:
        return _as_bytes(_encode(reply) if _is_plain(reply) else _write(reply, [])), JSON
    except Exception as cause:
        raise RuntimeFault("Runtime.MarshalError", f"Unable to marshal response: {cause}") from cause


def _as_bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        escaped = "".join(f"\\u{ord(letter):04x}" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
        return escaped.encode()


def _is_plain(value: object) -> bool:
    """Whether the encoder in C writes it as the managed runtime would."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is dict:
        members = cast("dict[object, object]", value)
        return all(type(name) is str for name in members) and all(map(_is_plain, members.values()))
    return kind is list and all(map(_is_plain, cast("list[object]", value)))


def _write(value: object, inside: list[int]) -> str:
    """JSON of whatever is allowed; `inside` holds the ids of the containers around it."""
    simple = _write_scalar(value)
    if simple is not None:
        return simple
    if id(value) in inside:
        raise ValueError("Circular reference detected")
    inside.append(id(value))
    try:
        return _write_container(value, inside)
    finally:
        inside.pop()


def _write_scalar(value: object) -> str | None:
    from decimal import Decimal  # noqa: PLC0415 - 1 ms of a cold start, for replies that are not plain

    if isinstance(value, bytes):
        return _encode(value.decode())
    if isinstance(value, Decimal):
        return "NaN" if value.is_nan() else str(value)
    if value is None or isinstance(value, str | int | float):
        return _encode(value)
    return None


def _write_container(value: object, inside: list[int]) -> str:
    as_mapping: Callable[[], Mapping[Any, object]] | None = getattr(value, "_asdict", None)
    if callable(as_mapping):
        value = as_mapping()
    if isinstance(value, dict):
        members = cast("dict[object, object]", value)
        return "{" + ", ".join(f"{_write_name(name)}: {_write(item, inside)}" for name, item in members.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_write(item, inside) for item in cast("list[object]", value)) + "]"
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _write_name(name: object) -> str:
    if isinstance(name, bytes):
        name = name.decode()
    if name is None or isinstance(name, str | int | float):
        text = _encode(name)
        return text if isinstance(name, str) else f'"{text}"'
    raise TypeError(f"keys must be str, int, float, bool or None, not {type(name).__name__}")
