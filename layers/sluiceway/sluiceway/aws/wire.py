"""The wire client: one signed call to an AWS service, retried, within one deadline.

This module owns what a call is. It must not know any operation by name: those are beside it, one module a service.
One `Wire` lives as long as the execution environment and holds the connections, the credentials, the retry quota and
what was learnt about the services' clocks.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from sluiceway import settings
from sluiceway.aws.connection import Exchange, Failure, TransportError
from sluiceway.aws.credentials import CredentialProvider, CredentialSource, names_web_identity
from sluiceway.aws.endpoints import Endpoint, ServiceSpec, parse_url, read_region, resolve_endpoint
from sluiceway.aws.http import Origin, Pool, Reading
from sluiceway.aws.reply import SIGNATURE_CODES, Fault, Reply, read_fault
from sluiceway.aws.request import Request, prepare_request
from sluiceway.aws.retry import Cause, RetryQuota, choose_pause_s, classify, read_advice_s, read_max_attempts
from sluiceway.aws.sigv4 import Credentials, Signer, encode_label
from sluiceway.aws.stream import Stream
from sluiceway.aws.tls import make_context
from sluiceway.errors import DeadlineExceeded, Misconfigured

__all__ = ["Caller", "Outside", "Reply", "ServiceSpec", "Stream", "StreamingCaller", "Wire", "encode_label"]

FOREVER: Final = float("inf")
STALLED_AFTER_S: Final = 60.0  # between two pieces of a body, as in AWS SDKs
FETCH_TIMEOUT_S: Final = 2.0  # of the container credentials endpoint (botocore: ContainerMetadataFetcher)
MAX_SKEW_S: Final = 240.0  # AWS refuses a signature that is 5 minutes old; the SDKs mend the clock from 4 on
EXPIRED_CODES: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
FAILURE_CODES: Final[Mapping[Failure, str]] = {
    "connect": "ConnectFailed",
    "stale": "ConnectionClosed",
    "reset": "ConnectionClosed",
    "timeout": "TimedOut",
    "violation": "MalformedReply",
}


class Caller(Protocol):
    """What typed operations need: `Wire` is the one for AWS."""

    async def call(  # noqa: PLR0913 - the parts of one HTTP request, keyword-only
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """Send one request and return its answer once it is a success (2xx).

        A mapping as `body` is sent as JSON; bytes go as they are. `path` is percent-encoded already (`encode_label`
        encodes a segment); `query` values are plain text. `deadline` is on the event loop's clock (`loop.time()`), in
        seconds, and covers every attempt and every wait between them.

        Raises `ServiceUnavailable` (retries spent, or unreachable), `ServiceRefused`, `ConditionFailed`,
        `ServiceMisconfigured` (permissions, credentials or the resource), `DeadlineExceeded`, `Misconfigured` (no
        region or credentials), `Rejected` (a header cannot be sent).
        """
        ...


class StreamingCaller(Caller, Protocol):
    """What operations need whose answer is read as it is made."""

    def stream(  # noqa: PLR0913 - the parts of one HTTP request, keyword-only
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object],
        *,
        path: str,
        deadline: float | None = None,
        idle_s: float = STALLED_AFTER_S,
    ) -> AbstractAsyncContextManager[Stream]:
        """POST one request; gives the body of its answer, as it arrives, once the head says that it is a success.

        Until then it is retried as `call` is, and raises the same; after it nothing is. `idle_s` is the longest wait
        for a piece of the body, in seconds. Leaving the context closes the connection at once, cancelled or not,
        unless the body was read to its end.
        """
        ...


def _draw() -> float:
    import random  # noqa: PLC0415 - retries only: not on the cold path

    return random.random()  # noqa: S311 - jitter


class Outside(NamedTuple):
    """What a Wire asks of the world, so that a test can be deterministic.

    `now`: epoch seconds; `draw`: 0 to 1; `sleep`: seconds; `trace_header`: the invocation's X-Ray header or "";
    `credentials`: those to sign with, None for what the environment names.
    """

    now: Callable[[], float] = time.time  # noqa: TID251 - signatures need the wall clock; this is its port
    draw: Callable[[], float] = _draw
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    trace_header: Callable[[], str] = settings.trace_header
    credentials: CredentialProvider | None = None


class _Target:
    """One service as this Wire reaches it; `skew_s` is what its clock is ahead of ours."""

    __slots__ = ("endpoint", "pool", "signer", "skew_s")

    def __init__(self, endpoint: Endpoint, pool: Pool, signer: Signer) -> None:
        self.endpoint = endpoint
        self.pool = pool
        self.signer = signer
        self.skew_s = 0.0

    def mend_clock(self, date: str, sent_at: float) -> bool:
        """Whether the `date` of a refusal shows that our clock is wrong; the next signature then goes by it."""
        served_at = _read_date(date)
        if served_at is None or abs(served_at - (sent_at + self.skew_s)) < MAX_SKEW_S:
            return False
        self.skew_s = served_at - sent_at
        return True


class _Ask:
    """One call while it lasts: what is asked, and what its retries have cost."""

    __slots__ = ("give_up_at", "operation", "request", "retries", "service", "spent", "target")

    def __init__(
        self, service: ServiceSpec, operation: str, *, target: _Target, request: Request, deadline: float | None
    ) -> None:
        self.service = service
        self.operation = operation
        self.target = target
        self.request = request
        self.give_up_at = FOREVER if deadline is None else deadline
        self.retries = 0
        self.spent = 0

    @property
    def name(self) -> tuple[str, str]:
        """Service and operation, for errors."""
        return self.service.endpoint_prefix, self.operation


class _Sent(NamedTuple):
    """An attempt under way, signed with these credentials `at` that time."""

    exchange: Exchange
    credentials: Credentials
    at: float


class _Miss(NamedTuple):
    """An attempt that failed: what to tell, whether another may help, and the pause that the service asks for."""

    fault: Fault
    cause: Cause | None
    advice_s: float | None = None


_CORRUPT: Final = Fault(200, "ChecksumMismatch", "the answer does not have its own checksum", "")


class Wire:
    """Signed calls to AWS. Enter `Wire.open` in the lifespan; it closes every connection on the way out."""

    def __init__(self, environ: Mapping[str, str], outside: Outside) -> None:
        self._environ = environ
        self._outside = outside
        self._region = read_region(environ)
        self._max_attempts = read_max_attempts(environ)
        self._traced = bool(environ.get("AWS_LAMBDA_FUNCTION_NAME"))
        self._pools: dict[Origin, Pool] = {}
        self._targets: dict[ServiceSpec, _Target] = {}
        self._quota = RetryQuota()
        self._tls: ssl.SSLContext | None = None
        own = CredentialSource(environ, fetch=self._fetch, now=outside.now, sleep=outside.sleep)
        self._credentials: CredentialProvider = outside.credentials or own
        self._credentials.check()

    @classmethod
    @asynccontextmanager
    async def open(cls, environ: Mapping[str, str], *, outside: Outside | None = None) -> AsyncGenerator[Wire]:
        """A Wire for the settings in `environ` (`sluiceway.settings.environ()`).

        Opens no connection: the first call does. Raises Misconfigured when Region or credentials are not set.
        """
        outside = outside or Outside()
        if outside.credentials is None and names_web_identity(environ):
            from sluiceway.aws.assume_role import identify  # noqa: PLC0415 - outside AWS only: not on the cold path

            async with identify(environ, outside) as identified, cls.open(environ, outside=identified) as wire:
                yield wire
            return
        wire = cls(environ, outside)
        try:
            yield wire
        finally:
            for pool in wire._pools.values():
                pool.close()

    async def call(  # noqa: PLR0913 - see Caller
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """As `Caller.call` says."""
        target = self._targets.get(service) or self._aim(service)
        request = prepare_request(
            service, operation, body, endpoint=target.endpoint, method=method, path=path, query=query, headers=headers
        )
        ask = _Ask(service, operation, target=target, request=request, deadline=deadline)
        while True:
            outcome = await self._attempt(ask)
            if isinstance(outcome, Reply):
                self._quota.win_back(ask.spent)
                return outcome
            await self._pause(ask, outcome)

    @asynccontextmanager
    async def stream(  # noqa: PLR0913 - see StreamingCaller
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object],
        *,
        path: str,
        deadline: float | None = None,
        idle_s: float = STALLED_AFTER_S,
    ) -> AsyncGenerator[Stream]:
        """As `StreamingCaller.stream` says."""
        target = self._targets.get(service) or self._aim(service)
        request = prepare_request(
            service, operation, body, endpoint=target.endpoint, method="POST", path=path, query=None, headers=None
        )
        ask = _Ask(service, operation, target=target, request=request, deadline=deadline)
        while not isinstance(outcome := await self._begin(ask, idle_s), Reading):
            await self._pause(ask, outcome)
        self._quota.win_back(ask.spent)
        try:
            yield Stream(outcome, lambda error: _explain(ask, error).fault.outage(*ask.name, after_s=None))
        finally:
            outcome.close()

    def _aim(self, service: ServiceSpec) -> _Target:
        endpoint = resolve_endpoint(service, self._region, self._environ)
        signer = Signer(service=service.signing_name, region=self._region, s3_paths=service.signing_name == "s3")
        target = _Target(endpoint, self._pool(endpoint.origin), signer)
        self._targets[service] = target
        return target

    def _pool(self, origin: Origin) -> Pool:
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, tls=self._make_tls)
        return pool

    def _make_tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = make_context(self._environ.get("AWS_CA_BUNDLE") or "", what="AWS_CA_BUNDLE")
        return self._tls

    async def _attempt(self, ask: _Ask) -> Reply | _Miss:
        """Send the request once, signed now. Raises DeadlineExceeded and Misconfigured."""
        sent = self._sign(ask, self._credentials.at_hand() or await self._fresh_credentials(ask))
        try:
            head, body = await ask.target.pool.exchange(sent.exchange)
        except TransportError as error:
            return _explain(ask, error)
        reply = Reply(head.status, head.headers, body)
        if 200 <= head.status < 300:
            return reply if _is_whole(reply) else _Miss(_CORRUPT, "transient")
        return self._diagnose(ask, reply, sent)

    async def _begin(self, ask: _Ask, idle_s: float) -> Reading | _Miss:
        """As `_attempt`, up to the head of a success; a refusal is read to its end."""
        sent = self._sign(ask, self._credentials.at_hand() or await self._fresh_credentials(ask))
        try:
            reading = await ask.target.pool.begin(sent.exchange, idle_s=idle_s)
            if 200 <= reading.head.status < 300:
                return reading
            reply = Reply(*reading.head, body=await reading.read_to_end())
        except TransportError as error:
            return _explain(ask, error)
        return self._diagnose(ask, reply, sent)

    def _sign(self, ask: _Ask, credentials: Credentials) -> _Sent:
        target, request = ask.target, ask.request
        trace = self._outside.trace_header() if self._traced else ""
        now = self._outside.now()
        content = request.sign(target.signer, credentials, _amz_date(int(now + target.skew_s)), trace=trace)
        exchange = Exchange(content, request.method == "HEAD", ask.service.read_timeout_s, ask.give_up_at)
        return _Sent(exchange, credentials, now)

    def _diagnose(self, ask: _Ask, reply: Reply, sent: _Sent) -> _Miss:
        fault = read_fault(reply)
        cause = classify(fault.status, fault.code)
        if fault.code in SIGNATURE_CODES and ask.target.mend_clock(reply.headers.get("date", ""), sent.at):
            cause = "transient"
        if fault.code in EXPIRED_CODES:
            self._credentials.forget(sent.credentials)
            cause = "transient"
        return _Miss(fault, cause, read_advice_s(reply.headers))

    async def _pause(self, ask: _Ask, miss: _Miss) -> None:
        """Wait before the next attempt, or raise what the caller must know when there is none."""
        service, fault = ask.service, miss.fault
        if miss.cause is None:
            raise fault.refusal(*ask.name)
        pause_s = choose_pause_s(
            miss.cause, ask.retries, chance=self._outside.draw(), base_s=service.retry_base_s, advice_s=miss.advice_s
        )
        most = service.max_attempts if service.max_attempts == 1 else self._max_attempts or service.max_attempts
        more = ask.retries + 1 < most
        in_time = asyncio.get_running_loop().time() + pause_s < ask.give_up_at
        spent = self._quota.spend(miss.cause) if more and in_time else None
        if spent is None:
            raise fault.outage(*ask.name, after_s=miss.advice_s)
        ask.spent = spent
        ask.retries += 1
        await self._outside.sleep(pause_s)

    async def _fresh_credentials(self, ask: _Ask) -> Credentials:
        try:
            async with asyncio.timeout_at(None if ask.give_up_at == FOREVER else ask.give_up_at):
                return await self._credentials.get()
        except TimeoutError as error:
            raise DeadlineExceeded(f"{ask.service.endpoint_prefix} {ask.operation}: no credentials in time") from error

    async def _fetch(self, url: str, headers: Mapping[str, str]) -> Reply:
        """GET for the container credentials endpoint. Raises OSError when no answer comes."""
        endpoint = parse_url(url, what="AWS_CONTAINER_CREDENTIALS_FULL_URI")
        lines = "".join([f"{name}: {value}\r\n" for name, value in {"host": endpoint.host, **headers}.items()])
        content = f"GET {endpoint.path or '/'} HTTP/1.1\r\n{lines}\r\n".encode()
        give_up_at = asyncio.get_running_loop().time() + FETCH_TIMEOUT_S
        try:
            head, body = await self._pool(endpoint.origin).exchange(
                Exchange(content, bodiless=False, read_timeout_s=FETCH_TIMEOUT_S, give_up_at=give_up_at)
            )
        except TransportError as error:
            raise OSError(str(error)) from error
        return Reply(head.status, head.headers, body)


def _explain(ask: _Ask, error: TransportError) -> _Miss:
    where = " ".join(ask.name)
    if error.failure == "deadline":
        raise DeadlineExceeded(f"{where}: {error}") from error
    if error.failure == "certificate":
        raise Misconfigured(f"{where}: {error}", what="AWS_CA_BUNDLE") from error
    return _Miss(Fault(0, FAILURE_CODES[error.failure], str(error), ""), "transient")


@lru_cache(4)  # several calls go out in one second
def _amz_date(epoch_s: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(epoch_s))


def _is_whole(reply: Reply) -> bool:
    """DynamoDB sends a checksum with every answer; the SDKs hold the body against it and ask again when it differs."""
    checksum = reply.headers.get("x-amz-crc32")
    return checksum is None or checksum == str(zlib.crc32(reply.body)) or "content-encoding" in reply.headers


def _read_date(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - after a refusal only: not on the cold path

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
