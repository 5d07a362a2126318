"""The methods of java.lang.String that templates use, in UTF-16 code units as Java counts them.

Source: https://docs.oracle.com/javase/8/docs/api/java/lang/String.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from localcloud.gateway.vtl.values import Unknown, as_text
from localcloud.matching import PatternTooSlow, compile_pattern, limit_matching

__all__ = ["STRING_METHODS", "utf16_length"]

_LAST_BMP: Final = 0xFFFF
_REPLACEMENT: Final = re.compile(r"\\(.)|\$(?:(\d)|\{(\w+)\})|([\\$])", re.DOTALL)


def _units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _text(units: bytes) -> str:
    return units.decode("utf-16-le", "surrogatepass")


def _is_wide(text: str) -> bool:
    return not text.isascii() and any(ord(character) > _LAST_BMP for character in text)


def utf16_length(text: str) -> int:
    """`text.length()`: an emoji counts two."""
    return len(_units(text)) // 2 if _is_wide(text) else len(text)


def _position(text: str, index: int) -> int:
    """The UTF-16 position of a code point index; -1 stays -1."""
    return index if index < 0 or not _is_wide(text) else utf16_length(text[:index])


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = utf16_length(text) if end is None else end
    if not 0 <= start <= stop <= utf16_length(text):
        raise Unknown(f"substring({start}, {stop}) is outside a string of length {utf16_length(text)}")
    return _text(_units(text)[2 * start : 2 * stop]) if _is_wide(text) else text[start:stop]


def _char_at(text: str, index: int) -> str:
    if not 0 <= index < utf16_length(text):
        raise Unknown(f"charAt({index}) is outside a string of length {utf16_length(text)}")
    return _substring(text, index, index + 1)


def _index_of(text: str, part: str, start: int = 0) -> int:
    if _is_wide(text):
        prefix = _text(_units(text)[: 2 * max(0, start)]) if start > 0 else ""
        return _position(text, text.find(part, len(prefix)))
    return text.find(part, max(0, start))


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    """The last index at or before `start`."""
    if start is None:
        return _position(text, text.rfind(part))
    if start < 0:
        return -1
    head = text[: start + len(part)] if not _is_wide(text) else _text(_units(text)[: 2 * (start + utf16_length(part))])
    return _position(head, head.rfind(part))


def _starts_with(text: str, part: str, offset: int = 0) -> bool:
    return 0 <= offset <= utf16_length(text) and _substring(text, offset).startswith(part)


def _code_point_at(text: str, index: int) -> int:
    _char_at(text, index)
    rest = _substring(text, index)
    return ord(rest[0])


def _characters(text: str) -> list[str]:
    return [_substring(text, index, index + 1) for index in range(utf16_length(text))]


def _compare(left: str, right: str) -> int:
    one, two = (memoryview(_units(side)).cast("H") for side in (left, right))
    for first, second in zip(one, two, strict=False):
        if first != second:
            return first - second
    return len(one) - len(two)


@lru_cache(maxsize=256)
def _pattern(regex: str) -> re.Pattern[str]:
    try:
        return compile_pattern(regex)
    except ValueError as error:
        raise Unknown(f"the argument {error}") from error


@contextmanager
def _limited() -> Generator[None]:
    try:
        with limit_matching():
            yield
    except PatternTooSlow as error:
        raise Unknown(str(error)) from error


def _expand(replacement: str) -> Callable[[re.Match[str]], str]:
    """Java's replacement: `$1` and `${name}` are groups, a backslash takes the next character as it is."""

    def expand(found: re.Match[str]) -> str:
        def part(piece: re.Match[str]) -> str:
            if piece[4]:
                raise Unknown(f"the replacement has a {piece[4]!r} that names no group")
            if piece[1] is not None:
                return piece[1]
            try:
                return found[int(piece[2]) if piece[2] else piece[3]] or ""
            except IndexError as error:
                raise Unknown("the replacement names a group that is not there") from error

        return _REPLACEMENT.sub(part, replacement)

    return expand


def _replace_all(text: str, regex: str, replacement: str) -> str:
    with _limited():
        return _pattern(regex).sub(_expand(replacement), text)


def _replace_first(text: str, regex: str, replacement: str) -> str:
    with _limited():
        return _pattern(regex).sub(_expand(replacement), text, count=1)


def _split(text: str, regex: str, limit: int = 0) -> list[str]:
    """Java's split: trailing empty parts go unless a limit is given, and an empty match at the start gives no part."""
    if not text:
        return [""]
    parts: list[str] = []
    start = 0
    with _limited():
        places = list(_pattern(regex).finditer(text))
    for found in places:
        if limit > 0 and len(parts) == limit - 1:
            break
        if found.end() == 0 or (found.start() == found.end() == len(text)):
            continue
        parts.append(text[start : found.start()])
        start = found.end()
    parts.append(text[start:])
    while limit == 0 and len(parts) > 1 and not parts[-1]:
        parts.pop()
    return [] if limit == 0 and parts == [""] and start else parts


def _hash(text: str) -> int:
    result = 0
    for unit in memoryview(_units(text)).cast("H"):
        result = (31 * result + unit) & 0xFFFFFFFF
    return result - (1 << 32) if result >= 1 << 31 else result


def _trim(text: str) -> str:
    return text.strip("".join(map(chr, range(0x21))))


def _compare_ignoring_case(left: str, right: str) -> int:
    return _compare(left.lower(), right.lower())


def _equals(text: str, other: object) -> bool:
    return isinstance(other, str) and text == other


def _equals_ignoring_case(text: str, other: object) -> bool:
    return isinstance(other, str) and text.casefold() == other.casefold()


def _is_empty(text: str) -> bool:
    return not text


def _matches(text: str, regex: str) -> bool:
    with _limited():
        return _pattern(regex).fullmatch(text) is not None


STRING_METHODS: Final[dict[str, tuple[tuple[type, ...], int, Callable[..., Any]]]] = {
    # name: (types of the arguments, how many may be left out, what it does)
    "charAt": ((int,), 0, _char_at),
    "codePointAt": ((int,), 0, _code_point_at),
    "compareTo": ((str,), 0, _compare),
    "compareToIgnoreCase": ((str,), 0, _compare_ignoring_case),
    "concat": ((str,), 0, str.__add__),
    "contains": ((str,), 0, str.__contains__),
    "contentEquals": ((str,), 0, _equals),
    "endsWith": ((str,), 0, str.endswith),
    "equals": ((object,), 0, _equals),
    "equalsIgnoreCase": ((object,), 0, _equals_ignoring_case),
    "hashCode": ((), 0, _hash),
    "indexOf": ((str, int), 1, _index_of),
    "isEmpty": ((), 0, _is_empty),
    "lastIndexOf": ((str, int), 1, _last_index_of),
    "length": ((), 0, utf16_length),
    "matches": ((str,), 0, _matches),
    "replace": ((str, str), 0, str.replace),
    "replaceAll": ((str, str), 0, _replace_all),
    "replaceFirst": ((str, str), 0, _replace_first),
    "split": ((str, int), 1, _split),
    "startsWith": ((str, int), 1, _starts_with),
    "subSequence": ((int, int), 0, _substring),
    "substring": ((int, int), 1, _substring),
    "toCharArray": ((), 0, _characters),
    "toLowerCase": ((), 0, str.lower),
    "toString": ((), 0, as_text),
    "toUpperCase": ((), 0, str.upper),
    "trim": ((), 0, _trim),
}
