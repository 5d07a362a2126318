"""What a stage tells of each request when it is answered: CloudWatch's metrics, and a line of its access log.

Owns the names and dimensions of the namespace AWS/ApiGateway for REST and HTTP APIs, and how a log's format is filled.
A streamed answer is told when its last byte has gone.
Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html,
http-api-metrics.html and api-gateway-variables-for-access-logging.html there
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

from localcloud.gateway.message import ByteStream, HttpResponse
from localcloud.services.cloudwatch.counting import Counters, Dimensions, Tally
from localcloud.services.logs.model import Logs
from localcloud.template.properties import Properties

__all__ = [
    "HTTP_NAMES",
    "NAMESPACE",
    "REST_NAMES",
    "AccessLog",
    "Answered",
    "Called",
    "MetricNames",
    "StageTelling",
    "Telling",
    "measure",
    "read_access_log",
    "rest_dimensions",
    "stream_of",
]

NAMESPACE: Final = "AWS/ApiGateway"
MAX_FORMAT: Final = 3_072  # api-gateway-execution-service-limits-table: characters of an access log's format
MAX_LINE: Final = 256 * 1024  # characters here: CloudWatch Logs takes so many bytes of an event
MAX_SETS: Final = 1_000  # methods and resources with metrics of their own; an API has 300 routes
_ABSENT: Final = "-"
_VARIABLE: Final = re.compile(r"\$context\.(\w+(?:\.\w+)*)", re.ASCII)
_GROUP: Final = re.compile(r"arn:[\w-]+:logs:[\w-]+:\d{12}:log-group:([\w./#-]{1,512})(?::\*)?", re.ASCII)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MetricNames:
    """How one kind of API spells its metrics; `data` "" where it has none for that."""

    client_error: str
    server_error: str
    data: str = ""


REST_NAMES: Final = MetricNames("4XXError", "5XXError")
HTTP_NAMES: Final = MetricNames("4xx", "5xx", "DataProcessed")


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where lines go, and their format."""

    group: str
    format: str

    def fill(self, context: Mapping[str, Any]) -> str:
        """The line of one request. A variable that is unknown or has no value is `-`; values stand as they are."""
        line = _VARIABLE.sub(lambda found: _text(context, found[1]), self.format)
        return line.replace("\n", " ")[:MAX_LINE]


@dataclass(frozen=True, slots=True)
class Telling:
    """Whom the stages of all APIs tell."""

    counters: Counters
    logs: Logs


@dataclass(slots=True)
class Called:
    """How an integration was called: nothing where it never was. `status` is its answer's, "" without one.

    `error` is what kept it from answering.
    """

    latency_ms: float | None = None
    status: str = ""
    error: str = ""

    def context(self) -> dict[str, Any]:
        """The variables that tell of it."""
        latency = "" if self.latency_ms is None else str(int(self.latency_ms))
        service = "200" if self.status else ""
        return {
            "integration": {
                "latency": latency,
                "status": self.status,
                "integrationStatus": service,
                "error": self.error,
            },
            "integrationLatency": latency,
            "integrationStatus": service,
            "integrationErrorMessage": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request that came `began` (the loop's time). `method` and `resource` are those of its route, "" for none.

    `context` gives what the log's format may name; `in_bytes` is the request's body.
    """

    began: float
    called: Called
    method: str
    resource: str
    in_bytes: int
    context: Callable[[], dict[str, Any]]


@dataclass(slots=True)
class _Tallies:
    count: Tally
    client_error: Tally
    server_error: Tally
    latency: Tally
    integration_latency: Tally
    data: Tally | None


@dataclass(kw_only=True)
class StageTelling:
    """What one stage tells. `sets`: the dimensions of all its metrics, `own`: those of an API's own methods.

    `is_measured` says of a method and a resource whether they have metrics of their own.
    """

    telling: Telling
    names: MetricNames
    region: str
    sets: list[Dimensions]
    own: Dimensions
    log: AccessLog | None = None
    stream: str = ""
    is_measured: Callable[[str, str], bool] = lambda _method, _resource: False
    _tallies: dict[tuple[str, str], _Tallies] = field(default_factory=dict[tuple[str, str], _Tallies])

    def tell(self, answered: Answered, response: HttpResponse) -> HttpResponse:
        """Tell of an answer, now or when its stream has ended. The answer to send."""
        if response.stream is None:
            self._note(answered, response.status, len(response.body))
            return response
        return replace(response, stream=_Counted(response.stream, lambda size: self._end(answered, response, size)))

    def _end(self, answered: Answered, response: HttpResponse, size: int) -> None:
        self._note(answered, response.status, len(response.body) + size)

    def _note(self, answered: Answered, status: int, out_bytes: int) -> None:
        latency_ms = float(round((asyncio.get_running_loop().time() - answered.began) * 1000))
        tallies = self._of(answered.method, answered.resource)
        tallies.count.note(1.0)
        tallies.client_error.note(1.0 if 400 <= status < 500 else 0.0)
        tallies.server_error.note(1.0 if status >= 500 else 0.0)
        tallies.latency.note(latency_ms)
        if answered.called.latency_ms is not None:
            tallies.integration_latency.note(answered.called.latency_ms)
        if tallies.data is not None:
            tallies.data.note(float(answered.in_bytes + out_bytes))
        if self.log is not None:
            told = {
                **answered.context(),
                **answered.called.context(),
                "status": str(status),
                "responseLength": str(out_bytes),
                "responseLatency": str(int(latency_ms)),
                "dataProcessed": str(answered.in_bytes + out_bytes),
            }
            self.telling.logs.append(self.log.group, self.stream, self.log.fill(told))

    def _of(self, method: str, resource: str) -> _Tallies:
        key = (method, resource) if method and self.is_measured(method, resource) else ("", "")
        if key not in self._tallies and len(self._tallies) >= MAX_SETS:
            key = ("", "")
        if key not in self._tallies:
            self._tallies[key] = self._make(*key)
        return self._tallies[key]

    def _make(self, method: str, resource: str) -> _Tallies:
        own: list[Dimensions] = [{**self.own, "Method": method, "Resource": resource}] if method else []
        sets = [*self.sets, *own]

        def tally(name: str, unit: str = "Count") -> Tally:
            return self.telling.counters.tally(NAMESPACE, name, sets, region=self.region, unit=unit)

        return _Tallies(
            count=tally("Count"),
            client_error=tally(self.names.client_error),
            server_error=tally(self.names.server_error),
            latency=tally("Latency", "Milliseconds"),
            integration_latency=tally("IntegrationLatency", "Milliseconds"),
            data=tally(self.names.data, "Bytes") if self.names.data else None,
        )


async def measure(called: Called, work: Awaitable[T], status_of: Callable[[T], int]) -> T:
    """What `work` answers, with its course noted. Raises what `work` does."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        answer = await work
        called.status = str(status_of(answer))
    except Exception as error:
        called.error = str(getattr(error, "reason", "") or error)
        raise
    finally:
        called.latency_ms = float(round((loop.time() - began) * 1000))
    return answer


def rest_dimensions(api_id: str, name: str) -> dict[str, str]:
    """`ApiName` of a REST API: what is ASCII of its name, else its id.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    """
    return {"ApiName": name.encode("ascii", "ignore").decode().strip() or api_id}


def read_access_log(read: Properties, name: str) -> AccessLog | None:
    """`AccessLogSetting` (or `AccessLogSettings`), None where it is not there. Raises TemplateError."""
    if name not in read:
        return None
    given = read.nested(name)
    target, text = given.text("DestinationArn"), given.text("Format")
    if ":firehose:" in target:
        raise given.error("DestinationArn", "Amazon Data Firehose is not served here; name a log group")
    found = _GROUP.fullmatch(target)
    if found is None:
        raise given.error("DestinationArn", f"{target!r} is no log group's ARN")
    if len(text) > MAX_FORMAT:
        raise given.error("Format", f"has {len(text)} characters, {MAX_FORMAT} at most")
    if "\n" in text.strip("\n"):
        raise given.error("Format", "must be a single line")
    return AccessLog(found[1], text.strip("\n"))


def stream_of(api_id: str, stage: str) -> str:
    """The log stream of a stage: 32 hex digits, as API Gateway's are."""
    return hashlib.sha256(f"{api_id}/{stage}".encode()).hexdigest()[:32]


def _text(context: Mapping[str, Any], path: str) -> str:
    found: Any = context
    for part in path.split("."):
        found = cast("Mapping[str, Any]", found).get(part) if isinstance(found, Mapping) else None
    if found is None or found == "" or isinstance(found, Mapping | list):
        return _ABSENT
    return ("true" if found else "false") if isinstance(found, bool) else str(found)


class _Counted:
    """A streamed body that tells its size when it has ended, or nobody reads on."""

    def __init__(self, stream: ByteStream, end: Callable[[int], None]) -> None:
        self._stream = stream
        self._chunks: AsyncIterator[bytes] = aiter(stream)
        self._end: Callable[[int], None] | None = end
        self._size = 0

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except Exception:  # the end is one, too
            self._tell()
            raise
        self._size += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Nobody reads on."""
        self._tell()
        await self._stream.aclose()

    def _tell(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(self._size)
