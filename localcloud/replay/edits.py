"""Changing what is sent again: members of its JSON by path, or all of it by a command.

A path is members and places in lists: `order.total`, `items[0].sku`, `["odd name"].x`, with or without `$.` before it.
What it names is set, and made where its parent is there; a value is JSON where it is, else text. Knows no source.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.patterns.values import InexactNumber, read_number

__all__ = ["Edit", "Editor", "edit_by_command", "edit_by_paths", "read_edit"]

Editor: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Content in, content out. Raises Rejected."""

COMMAND_S: Final = 30.0
MAX_BYTES: Final = 16 * 1024 * 1024
_STEP: Final = re.compile(r'\.?([^.\[\]="\s]+)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]')


class Edit(NamedTuple):
    """Where, and what stands there afterwards."""

    path: tuple[str | int, ...]
    value: Any


def read_edit(text: str) -> Edit:
    """`path=value`. Raises Misconfigured."""
    rest = text.removeprefix("$")
    steps: list[str | int] = []
    while rest and not rest.startswith("="):
        found = _STEP.match(rest)
        if found is None:
            break
        name, place, quoted = found.groups()
        try:
            steps.append(int(place) if place else str(json.loads(quoted)) if quoted else name)
        except ValueError:
            break  # an escape that JSON has not
        rest = rest[found.end() :]
    if not steps or not rest.startswith("="):
        raise Misconfigured(f"--edit is PATH=VALUE, such as order.total=5 or $.items[0].sku=A, not {text}", what="edit")
    try:
        return Edit(tuple(steps), _VALUE.decode(rest[1:]))
    except (ValueError, RecursionError):
        return Edit(tuple(steps), rest[1:])


def edit_by_paths(edits: Sequence[Edit]) -> Editor:
    """Sets each path in turn. Content that is no JSON, or has not where a path leads, is rejected (`edit-failed`)."""

    async def edit(content: bytes) -> bytes:
        value = _read(content)
        for each in edits:
            _set(value, each)
        try:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")
        except RecursionError as error:
            raise Rejected("it is nested too deeply", reason="edit-failed") from error

    return edit


def _read(content: bytes) -> Any:
    """JSON whose other members will be written as they came. Raises Rejected."""
    try:
        return _CONTENT.decode(content.decode())
    except RecursionError as error:
        raise Rejected("it is nested too deeply", reason="edit-failed") from error
    except _Changed as error:
        raise Rejected(str(error), reason="edit-failed") from error
    except ValueError as error:
        raise Rejected("it is no JSON, and has no paths", reason="edit-failed") from error


class _Changed(ValueError):
    """What an edit would change beside what it names."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Changed("an object in it has a name twice, of which one would be lost")
    return members


def _read_number(text: str) -> float:
    number = read_number(text)
    if isinstance(number, InexactNumber):
        raise _Changed("it has a number that no double holds, and would be changed")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_CONTENT: Final = json.JSONDecoder(parse_float=_read_number, parse_constant=_refuse_constant, object_pairs_hook=_unique)
_VALUE: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _set(value: Any, edit: Edit) -> None:
    *above, last = edit.path
    try:
        for step in above:
            value = _enter(value, step)
        _check(value, last)
        value[last] = edit.value
    except (LookupError, TypeError, ValueError) as error:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in edit.path)
        raise Rejected(f"there is nothing at ${where}", reason="edit-failed") from error


def _enter(value: Any, step: str | int) -> Any:
    _check(value, step)
    return value[step]


def _check(value: Any, step: str | int) -> None:
    """Lists have places, objects have names; nothing else has either."""
    if not isinstance(value, list if isinstance(step, int) else dict):
        raise TypeError(step)


def edit_by_command(command: str) -> Editor:
    """Runs `command` (split as a shell would, but without one) on each content: standard input in, output out.

    Another exit code than 0, no end within 30 s, and no output are a refusal (`edit-failed`). Raises Misconfigured for
    a command that cannot be split.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Misconfigured(f"--edit-with {command}: {error}", what="edit-with") from error
    if not words:
        raise Misconfigured("--edit-with needs a command", what="edit-with")

    async def edit(content: bytes) -> bytes:
        return await _run(words, content)

    return edit


async def _run(words: Sequence[str], content: bytes) -> bytes:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, start_new_session=True)
    except OSError as error:
        raise Misconfigured(f"{words[0]} cannot be run: {error.strerror}", what="edit-with") from error
    try:
        async with asyncio.timeout(COMMAND_S):
            said, _ = await process.communicate(content)
    except TimeoutError as error:
        raise Rejected(f"{words[0]} did not end in {COMMAND_S:.0f} s", reason="edit-failed") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not said or len(said) > MAX_BYTES:
        raise Rejected(f"{words[0]} ended with {process.returncode} and {len(said)} bytes", reason="edit-failed")
    return said
