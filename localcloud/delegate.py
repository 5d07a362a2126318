"""The long tail of AWS by moto, in this process: called as a function, never as a server of its own.

Owns the one worker thread in which moto is loaded (at its first call: 0.8 s) and called; one thread is the lock that
moto needs, for it does not support more (https://github.com/getmoto/moto/issues/7166). moto answers from memory; what
it has no answer for is refused here, so nothing ever reaches the network.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, cast

from localcloud.refusals import refuse
from localcloud.services.contract import Permission, WireRequest, WireResponse

__all__ = ["Delegate", "DelegatedService"]

_LOG: Final = logging.getLogger(__name__)
_NOT_YET: Final = (404, "Not yet implemented")  # what moto's dispatcher says where no backend matches

_Answer: TypeAlias = "tuple[int, Mapping[str, object], str | bytes]"
_Needs: TypeAlias = Callable[[WireRequest], tuple[Permission, ...]]


class Delegate:
    """moto behind its lock. One for the whole local cloud; `close` it at the end."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")
        self._process: Callable[[Any], _Answer | None] | None = None
        self._deferred: list[tuple[WireRequest, str]] = []

    async def call(self, request: WireRequest, host: str) -> WireResponse:
        """Let moto answer `request` as if it had come to `host` (`s3.us-east-1.amazonaws.com`)."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._call, request, host)

    async def prepare(self, request: WireRequest, host: str) -> WireResponse | None:
        """Set something up: now where moto is loaded, else (None) right after its loading, in the order of asking."""
        if self._process is not None:
            return await self.call(request, host)
        self._deferred.append((request, host))
        return None

    def close(self) -> None:
        """End the worker thread; a call under way is finished first."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _call(self, request: WireRequest, host: str) -> WireResponse:
        process = self._load()
        while self._deferred:
            setup, at = self._deferred.pop(0)
            response = _ask(process, setup, at)
            if response.status >= 300:
                _LOG.error("delegate.setup_failed method=%s path=%s body=%s", setup.method, setup.path, response.body)
        return _ask(process, request, host)

    def _load(self) -> Callable[[Any], _Answer | None]:
        if self._process is None:
            _LOG.info("delegate.loading")
            from moto.core.botocore_stubber import BotocoreStubber  # noqa: PLC0415 - 0.8 s, at the first call only

            self._process = cast("Callable[[Any], _Answer | None]", BotocoreStubber().process_request)
        return self._process


def _ask(process: Callable[[Any], _Answer | None], request: WireRequest, host: str) -> WireResponse:
    from botocore.awsrequest import AWSPreparedRequest  # noqa: PLC0415 - loaded with moto, in its thread
    from botocore.compat import HTTPHeaders  # noqa: PLC0415 - the same

    headers = HTTPHeaders()
    for name, value in request.headers.items():
        headers[name] = host if name == "host" else value
    url = f"https://{host}{request.path}" + (f"?{request.query}" if request.query else "")
    prepared = AWSPreparedRequest(request.method, url, headers, request.body, stream_output=False)
    answer = process(prepared)
    if answer is None or (answer[0], answer[2]) == _NOT_YET:
        message = f"{request.method} {request.path} of {request.service} is not served by this local cloud."
        return refuse(request, 501, code="NotImplemented", message=message)
    status, shown, body = answer
    return WireResponse(
        int(status),
        body.encode() if isinstance(body, str) else bytes(body),
        {str(name): str(value) for name, value in shown.items()},
    )


class DelegatedService:
    """One API of the delegate. `needs` says which permissions a request takes."""

    def __init__(self, name: str, delegate: Delegate, *, needs: _Needs) -> None:
        self.name = name
        self._delegate = delegate
        self._needs = needs

    async def handle(self, request: WireRequest) -> WireResponse:
        """Let moto answer."""
        return await self._delegate.call(request, self._host(request))

    async def prepare(self, request: WireRequest) -> WireResponse | None:
        """Set something up without loading moto for it; None where it waits for the loading."""
        return await self._delegate.prepare(request, self._host(request))

    def _host(self, request: WireRequest) -> str:
        return f"{self.name}.{request.region}.amazonaws.com"

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check."""
        return self._needs(request)
