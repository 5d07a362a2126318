"""The long tail of AWS by moto, in this process: called as a function, never as a server of its own.

Owns the one worker thread in which moto is loaded (at its first call: 0.8 s) and called; one thread is the lock that
moto needs, for it does not support more (https://github.com/getmoto/moto/issues/7166). moto answers from memory, which
a `Keeper` may fill and keep; what it has no answer for is refused here, so nothing ever reaches the network.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from localcloud.refusals import refuse
from localcloud.services.contract import Permission, WireRequest, WireResponse

__all__ = ["Ask", "Delegate", "DelegateFailed", "DelegatedService", "Keeper", "Then"]

_LOG: Final = logging.getLogger(__name__)
Ask: TypeAlias = Callable[[WireRequest], WireResponse]
Then: TypeAlias = Callable[[WireResponse], None]
"""What follows a setup that succeeded, in the worker thread: it may reach into moto, as `s3.identity` does."""
_AskAt: TypeAlias = Callable[[WireRequest, str], WireResponse | None]
_Needs: TypeAlias = Callable[[WireRequest], tuple[Permission, ...]]


@dataclass(frozen=True, slots=True)
class _Setup:
    request: WireRequest
    host: str
    then: Then | None


class DelegateFailed(Exception):
    """moto raised `error` over `request`, at `place` in its code: what it reads, it takes on trust."""

    def __init__(self, request: WireRequest, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        self.place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        super().__init__(f"{type(error).__name__} at {self.place}")
        self.request = request
        self.error = error


class Keeper(Protocol):
    """Keeps beyond the process what one API of moto holds. Called in the worker thread, by asking moto itself."""

    def restore(self, ask: Ask) -> None:
        """Give moto what was kept: once, when it is loaded and the template's own is made."""
        ...

    def hear(self, request: WireRequest, response: WireResponse, ask: Ask) -> None:
        """Keep what an answered request has changed, before anybody learns of the answer."""
        ...


class Delegate:
    """moto behind its lock. One for the whole local cloud; `close` it at the end.

    `keepers`: by signing name, for the APIs that outlive the process.
    """

    def __init__(self, keepers: Mapping[str, Keeper] | None = None) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")
        self._ask: _AskAt | None = None
        self._keepers = dict(keepers or {})
        self._unrestored = list(self._keepers.values())
        self._deferred: list[_Setup] = []

    @property
    def is_loaded(self) -> bool:
        """Whether moto was needed yet."""
        return self._ask is not None

    async def call(self, request: WireRequest, host: str) -> WireResponse:
        """Let moto answer `request` as if it had come to `host` (`s3.us-east-1.amazonaws.com`).

        Raises DelegateFailed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._call, request, host)

    async def prepare(self, request: WireRequest, host: str, *, then: Then | None = None) -> WireResponse | None:
        """Set something up: now where moto is loaded, else (None) right after its loading, in the order of asking."""
        if self._ask is not None:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._call, request, host, then)
        self._deferred.append(_Setup(request, host, then))
        return None

    def close(self) -> None:
        """End the worker thread; a call under way is finished first."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _call(self, request: WireRequest, host: str, then: Then | None = None) -> WireResponse:
        ask = self._load()
        while self._deferred:
            setup = self._deferred.pop(0)
            response = self._set_up(ask, setup)
            if response.status >= 300:
                what = setup.request.target or f"{setup.request.method} {setup.request.path}"
                _LOG.error("delegate.setup_failed what=%s body=%s", what, response.body)
        while self._unrestored:
            self._unrestored[0].restore(_at_home(ask))
            self._unrestored.pop(0)
        return self._set_up(ask, _Setup(request, host, then))

    def _set_up(self, ask: _AskAt, setup: _Setup) -> WireResponse:
        answer = self._perform(ask, setup.request, setup.host)
        if setup.then is not None and answer.status < 300:
            setup.then(answer)
        return answer

    def _perform(self, ask: _AskAt, request: WireRequest, host: str) -> WireResponse:
        answer = _ask(ask, request, host)
        keeper = self._keepers.get(request.service)
        if keeper is not None:
            keeper.hear(request, answer, _at_home(ask))
        return answer

    def _load(self) -> _AskAt:
        if self._ask is None:
            _LOG.info("delegate.loading")
            from localcloud.moto_call import ask_moto  # noqa: PLC0415 - 0.8 s, at the first call only

            self._ask = ask_moto
        return self._ask


def _home(request: WireRequest) -> str:
    return f"{request.service}.{request.region}.amazonaws.com"


def _at_home(ask: _AskAt) -> Ask:
    return lambda request: _ask(ask, request, _home(request))


def _ask(ask: _AskAt, request: WireRequest, host: str) -> WireResponse:
    try:
        answer = ask(request, host)
    except Exception as error:
        raise DelegateFailed(request, error) from error
    if answer is None:
        message = f"{request.method} {request.path} of {request.service} is not served by this local cloud."
        return refuse(request, 501, code="NotImplemented", message=message)
    return answer


class DelegatedService:
    """One API of the delegate. `needs` says which permissions a request takes."""

    def __init__(self, name: str, delegate: Delegate, *, needs: _Needs) -> None:
        self.name = name
        self._delegate = delegate
        self._needs = needs

    async def handle(self, request: WireRequest) -> WireResponse:
        """Let moto answer. Raises DelegateFailed."""
        return await self._delegate.call(request, self._host(request))

    async def prepare(self, request: WireRequest, *, then: Then | None = None) -> WireResponse | None:
        """Set something up without loading moto for it; None where it waits for the loading. `then` follows success."""
        return await self._delegate.prepare(request, self._host(request), then=then)

    def _host(self, request: WireRequest) -> str:
        return f"{self.name}.{request.region}.amazonaws.com"

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check."""
        return self._needs(request)
