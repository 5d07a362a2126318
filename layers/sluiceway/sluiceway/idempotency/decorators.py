"""Guards around functions and flows.

Owns how a call is split: the first argument is the event, and the store and the deadline come from the arguments by the
functions that the decorator is given. Nothing is read from a signature. Must not know what an event is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from sluiceway import settings
from sluiceway.events.invocation import Invocation
from sluiceway.idempotency.guard import Guard
from sluiceway.idempotency.keys import Part
from sluiceway.idempotency.options import Options
from sluiceway.idempotency.outcomes import Fresh, Outcome, result_of
from sluiceway.ports import IdempotencyStore

__all__ = ["Protected", "idempotent", "idempotent_flow"]

E = TypeVar("E")
P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

_DEFAULTS: Final = Options()
_StoreOf = Callable[..., IdempotencyStore]
_DeadlineOf = Callable[..., float]


class Protected(Generic[E, P, T]):
    """An async function under a guard: call it for the result or an error, or ask for the `outcome`."""

    __slots__ = ("__wrapped__", "_clock", "_deadline_of", "_store_of", "guard")

    def __init__(
        self,
        function: Callable[Concatenate[E, P], Awaitable[T]],
        guard: Guard[T],
        *,
        options: Options,
        store_of: _StoreOf,
        deadline_of: _DeadlineOf | None,
    ) -> None:
        self.__wrapped__ = function
        self.guard = guard
        self._clock = options.clock
        self._store_of = store_of
        self._deadline_of = deadline_of

    async def __call__(self, event: E, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, now or from before. Raises as `Guard.value`."""
        outcome = await self.outcome(event, *args, **kwargs)
        return outcome.value if isinstance(outcome, Fresh) else result_of(outcome, now_ms=self._clock.now_ms())

    async def outcome(self, event: E, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        """What came of it. Raises as `Guard.run`."""
        deadline_of = self._deadline_of
        return await self.guard.run(
            event,
            lambda: self.__wrapped__(event, *args, **kwargs),
            store=self._store_of(event, *args, **kwargs),
            deadline=None if deadline_of is None else deadline_of(event, *args, **kwargs),
        )


def idempotent(
    *,
    key: Part,
    store: IdempotencyStore | _StoreOf,
    name: str = "",
    deadline: _DeadlineOf | None = None,
    options: Options = _DEFAULTS,
) -> Callable[[Callable[Concatenate[E, P], Awaitable[T]]], Protected[E, P, T]]:
    """Decorate an async function whose first argument is the event.

    `store` is the store, or takes the call's arguments and gives it; `deadline` takes them as well and gives a time on
    the event loop's clock. `name` begins the keys; without one they begin as Powertools' do:
    `<Lambda function>.<module>.<qualified name>`, which a renaming changes. With a store at hand the decorator is an
    App's step too. Raises ValueError for what is no key or name.
    """
    store_of = store if callable(store) else _always(store)

    def decorate(function: Callable[Concatenate[E, P], Awaitable[T]]) -> Protected[E, P, T]:
        guard = Guard[T](name or _name_of(function), key=key, options=options)
        return Protected(function, guard, options=options, store_of=store_of, deadline_of=deadline)

    return decorate


def idempotent_flow(
    *, key: Part, store: Callable[[S], IdempotencyStore], name: str = "", options: Options = _DEFAULTS
) -> Callable[
    [Callable[[E, Invocation, S], Awaitable[T]]],
    Protected[E, [Invocation, S], T],
]:
    """Decorate an App's flow: `store` takes the services, the deadline is the invocation's with its grace."""

    def store_of(_event: E, _call: Invocation, services: S) -> IdempotencyStore:
        return store(services)

    def decorate(flow: Callable[[E, Invocation, S], Awaitable[T]]) -> Protected[E, [Invocation, S], T]:
        guard = Guard[T](name or _name_of(flow), key=key, options=options)
        return Protected(flow, guard, options=options, store_of=store_of, deadline_of=_deadline_of)

    return decorate


def _deadline_of(_event: object, call: Invocation, _services: object) -> float:
    return call.deadline + call.grace_s


def _always(store: IdempotencyStore) -> _StoreOf:
    return lambda *_args, **_kwargs: store


def _name_of(function: Callable[..., Any]) -> str:
    """As Powertools 3.37 has it, outside Lambda too."""
    lambda_function = settings.text("AWS_LAMBDA_FUNCTION_NAME", default="test-func")
    module, qualname = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not qualname:
        raise ValueError("what is decorated has no name of its own: give it one")
    return f"{lambda_function}.{module}.{qualname}"
