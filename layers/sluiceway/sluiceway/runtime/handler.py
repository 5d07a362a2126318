"""The function's handler: found by its name, and run whatever kind it is. Must not know sockets.

Kinds: an App (or what looks like one) is driven on its own loop; a plain function may return its reply, something to
await, or something that makes parts of a stream.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar, cast, runtime_checkable

from sluiceway.events.stream import ByteStream, HttpStream
from sluiceway.runtime.context import LambdaContext
from sluiceway.runtime.faults import RuntimeFault

__all__ = ["Driven", "Handler", "Respond", "has_coroutine", "load_handler", "resolve", "suspends"]

T = TypeVar("T")

Handler = Callable[[object, LambdaContext], object]
"""A function as Lambda calls it. An App is one too."""

Respond = Callable[[ByteStream | HttpStream], Awaitable[None]]

_PLAIN: Final = frozenset({dict, list, str, bytes, int, float, bool, type(None)})
_ASYNC: Final = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR of the inspect module, whose import costs milliseconds


@runtime_checkable
class Driven(Protocol):
    """What an App offers to a runtime client: its loop, and invocations on it."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop that lives as long as the environment."""
        ...

    async def open(self) -> None:
        """Enter the lifespan."""
        ...

    async def aclose(self) -> None:
        """Leave it; `open` may enter it again."""
        ...

    async def invoke(
        self, event: object, context: LambdaContext, *, trace_header: str | None, respond: Respond | None
    ) -> object:
        """Serve one invocation; a stream goes to `respond`."""
        ...


def load_handler(name: str) -> Handler:
    """The object that `module.attribute` names; `module` may be a path. Raises: RuntimeFault; what it raises."""
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise RuntimeFault("Runtime.MalformedHandlerName", message)
    if module_name.partition(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise RuntimeFault("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as cause:
        message = f"Unable to import module '{module_name}': {cause}"
        raise RuntimeFault("Runtime.ImportModuleError", message) from cause
    except SyntaxError as cause:
        message = f"Syntax error in module '{module_name}': {cause}"
        trace = f'  File "{cause.filename}" Line {cause.lineno}\n    {cause.text}'
        raise RuntimeFault("Runtime.UserCodeSyntaxError", message, trace=(trace,)) from cause
    try:
        return cast("Handler", getattr(module, attribute))
    except AttributeError as cause:
        message = f"Handler '{attribute}' missing on module '{module_name}'"
        raise RuntimeFault("Runtime.HandlerNotFound", message) from cause


def suspends(result: object) -> bool:
    """Whether a handler's result is something to await or a stream, and so needs a loop."""
    return type(result) not in _PLAIN and (
        hasattr(result, "__await__") or isinstance(result, ByteStream | HttpStream | AsyncIterable)
    )


def has_coroutine(handler: Handler) -> bool:
    """Whether calling `handler` only makes a coroutine or an async generator, and so never blocks."""
    inner: object = getattr(handler, "func", handler)  # functools.partial
    called: object = getattr(inner, "__call__", inner)  # noqa: B004 - what is called, not whether
    code = getattr(inner, "__code__", None) or getattr(called, "__code__", None)
    return bool(getattr(code, "co_flags", 0) & _ASYNC)


async def resolve(result: object, respond: Respond) -> object:
    """The reply behind a handler's result; None where it was a stream, which went to `respond`."""
    reply = await cast("Awaitable[object]", result) if hasattr(result, "__await__") else result
    if isinstance(reply, AsyncIterable):
        reply = ByteStream(cast("AsyncIterable[bytes | str]", reply))
    if isinstance(reply, ByteStream | HttpStream):
        await respond(reply)
        return None
    return reply
