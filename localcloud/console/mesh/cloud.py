"""The local cloud's AWS APIs as the console calls them: signed as a developer would be, answers as JSON.

Knows operations by name only; what they mean is the callers'.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, cast

from localcloud.console.refusals import ApiError
from localcloud.state import RunningState
from sluiceway.aws.attributes import Value, decode_item
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.wire import Reply, ServiceSpec, Wire
from sluiceway.errors import ServiceError, SluicewayError

__all__ = ["CLOUDWATCH", "Cloud", "Json", "explain", "open_cloud_calls"]

Json: TypeAlias = dict[str, Any]

CLOUDWATCH: Final = ServiceSpec(
    "monitoring", "monitoring", "json-1.0", "CLOUDWATCH", target_prefix="GraniteServiceVersion20100801"
)
MAX_PAGES: Final = 5  # of a scan or a list: what a person looks at, not all that there is
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}  # anybody's: the root user
_NOT_FOUND: Final = ("ResourceNotFoundException", "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")


class Cloud:
    """One Region's services. Methods raise SluicewayError."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def ask(self, service: ServiceSpec, operation: str, request: Mapping[str, object]) -> Json:
        """One call; its answer."""
        return _read(await self.wire.call(service, operation, request))

    async def list_mappings(self) -> list[Json]:
        """Every event source mapping, the first few hundred."""
        found: list[Json] = []
        query: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            path = "/2015-03-31/event-source-mappings"
            told = _read(await self.wire.call(LAMBDA, "ListEventSourceMappings", method="GET", path=path, query=query))
            found += cast("list[Json]", told.get("EventSourceMappings") or [])
            if not told.get("NextMarker"):
                break
            query = {"Marker": str(told["NextMarker"])}
        return found

    async def read_items(
        self, operation: str, table: str, request: Mapping[str, object]
    ) -> tuple[list[Mapping[str, Value]], bool]:
        """Items of a Query or a Scan, and whether they are all: a few pages are read."""
        found: list[Mapping[str, Value]] = []
        asked: dict[str, object] = {"TableName": table, **request}
        for _ in range(MAX_PAGES):
            told = await self.ask(DYNAMODB, operation, asked)
            found += [decode_item(item) for item in cast("Sequence[dict[str, dict[str, object]]]", told["Items"])]
            if not told.get("LastEvaluatedKey"):
                return found, True
            asked["ExclusiveStartKey"] = told["LastEvaluatedKey"]
        return found, False


def _read(reply: Reply) -> Json:
    return reply.json() if reply.body else {}


def explain(error: SluicewayError) -> ApiError:
    """What a failed call is to the page."""
    if isinstance(error, ServiceError) and error.code in _NOT_FOUND:
        return ApiError(f"It is not there: {error}", status=404)
    return ApiError(f"The local cloud did not do it: {error}", status=409)


@asynccontextmanager
async def open_cloud_calls(state: RunningState) -> AsyncGenerator[Cloud]:
    """Calls to the cloud of `state`, for the length of the block; no connection is opened before the first."""
    environ = {"AWS_ENDPOINT_URL": state.endpoints["aws"], "AWS_REGION": state.region, **_KEYS}
    async with Wire.open(environ) as wire:
        yield Cloud(wire)
