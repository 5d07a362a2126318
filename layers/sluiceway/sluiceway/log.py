"""Structured logs: constant dotted event names with fields, one JSON line each, written by Powertools Logger.

Never payloads, prompts or tokens; for an error its type, codes and code positions, never its text, since other people's
errors quote their input. Fields bound with `bound` belong to the current task and its children (a context variable), so
records handled concurrently do not mix. Powertools is imported with the first line written: a cold start that says
nothing pays nothing; and of its packages only what a line needs (`defer_powertools`). Must not know where events come
from.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol, cast

from sluiceway.errors import Misconfigured, Rejected, ServiceError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from logging import Handler, Logger

    from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

__all__ = ["Field", "Subject", "about", "bound", "debug", "defer_powertools", "error", "failure", "info", "warning"]

Field = str | int | float | bool | Sequence[str] | None
"""What a field may hold. None is left out of the line."""

MAX_FRAMES: Final = 16  # innermost code positions kept of a failure: one screen
_DEBUG, _INFO, _WARNING, _ERROR = 10, 20, 30, 40  # as the logging module has them, without its import

_bound: ContextVar[_Bound | None] = ContextVar("sluiceway_log_fields", default=None)
_EMPTY: Final[Mapping[str, Field]] = {}


class _Stdout:
    """Standard output as it is when a line is written, not as it was when the logger was made."""

    def write(self, line: str) -> int:
        return sys.stdout.write(line)

    def flush(self) -> None:
        sys.stdout.flush()


def defer_powertools() -> None:
    """Make `aws_lambda_powertools.logging` and `.metrics` importable alone; call it before their first import.

    Importing any part of Powertools runs its `__init__`, which imports every other part; its Logger imports a query
    language for a decorator that nobody here uses. Together they are three quarters of what Powertools costs, and a
    tenth of a cold start. Both run when something asks for one of their names, so `from aws_lambda_powertools import
    Tracer` works as ever. Nothing happens where Powertools has been imported already.
    """
    if "aws_lambda_powertools" not in sys.modules:
        _defer("aws_lambda_powertools")
        _defer("aws_lambda_powertools.utilities.jmespath_utils")


def _defer(name: str) -> None:
    """Put the module `name` in its place without running it; it runs once a name is asked of it that it lacks."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return  # the import that follows tells
    loader, module, running, pending = spec.loader, importlib.util.module_from_spec(spec), threading.RLock(), [True]

    def run_and_get(attribute: str) -> object:
        with running:  # another thread waits; the module's own code, on its way, sees what it has so far
            if pending:
                pending.clear()
                loader.exec_module(module)
                vars(module).pop("__getattr__", None)
        if attribute in vars(module):
            return vars(module)[attribute]
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    vars(module)["__getattr__"] = run_and_get
    _place(name, module)


def _place(name: str, module: ModuleType) -> None:
    sys.modules[name] = module
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)


@cache
def _logger() -> tuple[Logger, Handler]:
    """The process's one logger as Powertools sets it up, and its handler.

    The level is POWERTOOLS_LOG_LEVEL's or AWS_LAMBDA_LOG_LEVEL's. Left to itself, Powertools would try whether each
    event's name is JSON, and make an encoder for each line: a third of what it does.
    """
    import json  # noqa: PLC0415 - cold start: only a process that logs pays for it
    import logging  # noqa: PLC0415 - the same

    defer_powertools()
    from aws_lambda_powertools.logging import Logger  # noqa: PLC0415 - the same

    handler = logging.StreamHandler(_Stdout())
    made = Logger(utc=True, use_rfc3339=True, logger_handler=handler, json_deserializer=str)
    made.remove_keys(["service"])  # bound for each invocation; "service_undefined" says nothing
    formatter = cast("LambdaPowertoolsFormatter", made.registered_formatter)
    indent = formatter.json_indent  # POWERTOOLS_DEV
    encoder = json.JSONEncoder(default=str, separators=(",", ":"), indent=indent, ensure_ascii=False)
    formatter.json_serializer = encoder.encode
    return logging.getLogger(made.name), made.registered_handler


@cache
def _reserved() -> frozenset[str]:
    """Field names that the logging module keeps to itself."""
    from logging import makeLogRecord  # noqa: PLC0415 - cold start, as above

    return frozenset(vars(makeLogRecord({}))) | {"message", "asctime", "level", "location", "timestamp"}


def _write(level: int, event: str, fields: Mapping[str, Field]) -> None:
    """One line, straight to its handler.

    The logging module would search for the caller, whose place is known, and ask the root logger's handlers, which
    Powertools tells to leave its lines alone: a third of what a line costs.
    """
    logger, handler = _logger()
    if not logger.isEnabledFor(level):
        return
    reserved = _reserved()
    around = _bound.get(None)
    merged = fields if around is None else {**around.read(), **fields}
    extra = {(f"{name}_" if name in reserved else name): value for name, value in merged.items()}
    caller = sys._getframe(2)  # noqa: SLF001 - as the logging module does  # pyright: ignore[reportPrivateUsage]
    place = (caller.f_code.co_filename, caller.f_lineno)
    handler.handle(logger.makeRecord(logger.name, level, *place, event, (), None, caller.f_code.co_name, extra))


class Subject(Protocol):
    """What knows the fields that tell it from its like."""

    @property
    def log_fields(self) -> Mapping[str, Field]:
        """They do not change."""
        ...


class _Bound:
    """Fields of a block, or what is asked for them when a line is written. One use each.

    Not a generator: that costs half a microsecond more, and a batch has ten thousand records.
    """

    __slots__ = ("_fields", "_outer", "_subject", "_token")

    def __init__(self, fields: Mapping[str, Field], subject: Subject | None = None) -> None:
        self._fields = fields
        self._subject = subject

    def __enter__(self) -> None:
        self._outer = _bound.get(None)
        self._token = _bound.set(self)

    def __exit__(self, *_error: object) -> None:
        _bound.reset(self._token)

    def read(self) -> dict[str, Field]:
        """The fields, with those of the blocks around."""
        outer = {} if self._outer is None else self._outer.read()
        return {**outer, **(self._fields if self._subject is None else self._subject.log_fields)}


def bound(**fields: Field) -> AbstractContextManager[None]:
    """Add `fields` to every line that this task and its children write until the block ends."""
    return _Bound(fields)


def about(subject: Subject) -> AbstractContextManager[None]:
    """As `bound`, with the subject's fields; a block in which nothing is written costs nearly nothing."""
    return _Bound(_EMPTY, subject)


def debug(event: str, /, **fields: Field) -> None:
    """Write one line for developers."""
    _write(_DEBUG, event, fields)


def info(event: str, /, **fields: Field) -> None:
    """Write one line: `log.info("batch.settled", failed=2)`."""
    _write(_INFO, event, fields)


def warning(event: str, /, **fields: Field) -> None:
    """Write one line about something that was handled and should not be."""
    _write(_WARNING, event, fields)


def error(event: str, /, **fields: Field) -> None:
    """Write one line about something that somebody must look at."""
    _write(_ERROR, event, fields)


def failure(event: str, cause: BaseException, /, **fields: Field) -> None:
    """Write one error line with what `cause` is and where it was raised, without its text.

    The text is kept for Misconfigured only, which names settings and never holds values.
    """
    if _logger()[0].isEnabledFor(_ERROR):
        _write(_ERROR, event, {**_describe(cause), **fields})


def _describe(cause: BaseException) -> dict[str, Field]:
    told: dict[str, Field] = {"error_type": type(cause).__name__, "frames": _frames(cause)}
    if isinstance(cause, Rejected):
        told.update(reason=cause.reason, field=cause.field)
    if isinstance(cause, ServiceError):
        told.update(
            aws_service=cause.service,
            aws_operation=cause.operation,
            aws_code=cause.code,
            aws_status=cause.status,
            aws_request_id=cause.request_id,
        )
    if isinstance(cause, Misconfigured):
        told.update(what=cause.what, error=str(cause))
    return told


def _frames(cause: BaseException) -> tuple[str, ...]:
    """Innermost last: `file.py:12 in function`."""
    frames: list[str] = []
    step = cause.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno} in {code.co_name}")
        step = step.tb_next
    return tuple(frames[-MAX_FRAMES:])
