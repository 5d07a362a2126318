"""Which functions read a stream or a queue, and how: what ListEventSourceMappings tells.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from localcloud.replay.items import Kind
from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.wire import Caller
from sluiceway.errors import Misconfigured
from sluiceway.rules.criteria import FilterCriteria
from sluiceway.rules.patterns import InvalidPattern

__all__ = ["MappedRoutes", "NamedRoute", "Route", "list_mappings"]

MAX_PAGES: Final = 1_000
MAX_FILTERS: Final = 10  # the quota at its highest
_FILTERED: Final[Mapping[Kind, Literal["sqs", "kinesis", "dynamodb"]]] = {
    "sqs": "sqs",
    "kinesis": "kinesis",
    "dynamodb": "dynamodb",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A function and how it is invoked. `batch`: records of one event at most. `source_arn`: what the records say.

    `reports`: its answer names the records that failed. `bisects`: a failed batch is split.
    """

    function: str
    source_arn: str = ""
    batch: int = 10_000
    reports: bool = True
    bisects: bool = True
    criteria: FilterCriteria | None = None


@dataclass(frozen=True, slots=True)
class NamedRoute:
    """One function for everything. A failed batch is split down to the record; what an answer names is heeded."""

    function: str

    async def find(self, kind: Kind, origin: str) -> Sequence[Route]:  # noqa: ARG002 - as MappedRoutes
        """The function."""
        return (Route(self.function),)


class MappedRoutes:
    """The functions whose mappings read a source; the mappings are listed once."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._mappings: list[Mapping[str, Any]] | None = None
        self._found: dict[str, tuple[Route, ...]] = {}

    async def find(self, kind: Kind, origin: str) -> Sequence[Route]:
        """Those for a stream, table stream or queue by ARN, consumers' mappings too; for a function's event itself.

        Raises Misconfigured: none reads it, or a mapping has a window, whose state a replay has not.
        """
        if ":lambda:" in origin:
            return (Route(origin),)  # an event that was a function's own
        if origin not in self._found:
            if self._mappings is None:
                self._mappings = await list_mappings(self._caller)
            reading = [mapping for mapping in self._mappings if _reads(mapping, origin)]
            if not reading:
                said = f"no event source mapping reads {origin or 'what has no ARN'}: name a target"
                raise Misconfigured(said, what="--target same")
            self._found[origin] = tuple(_read_route(mapping, kind) for mapping in reading)
        return self._found[origin]


async def list_mappings(caller: Caller) -> list[Mapping[str, Any]]:
    """All mappings that are not on their way out. Raises ServiceError."""
    found: list[Mapping[str, Any]] = []
    query: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        reply = await caller.call(
            LAMBDA, "ListEventSourceMappings", method="GET", path="/2015-03-31/event-source-mappings", query=query
        )
        told = reply.json()
        found += cast("list[Mapping[str, Any]]", told.get("EventSourceMappings") or [])
        if not told.get("NextMarker"):
            break
        query = {"Marker": str(told["NextMarker"])}
    return [mapping for mapping in found if mapping.get("State") != "Deleting"]


def _reads(mapping: Mapping[str, Any], origin: str) -> bool:
    arn = str(mapping.get("EventSourceArn") or "")
    return bool(origin) and (arn == origin or arn.startswith(f"{origin}/consumer/"))


def _read_route(mapping: Mapping[str, Any], kind: Kind) -> Route:
    function = str(mapping["FunctionArn"])
    if mapping.get("TumblingWindowInSeconds"):
        raise Misconfigured(
            f"{function} counts in windows, whose state a replay has not: name one that does not, as lambda:NAME",
            what="--target same",
        )
    filters = cast("Mapping[str, Any]", mapping.get("FilterCriteria") or {}).get("Filters")
    try:
        criteria = FilterCriteria(_FILTERED[kind], filters, max_filters=MAX_FILTERS) if filters else None
    except (InvalidPattern, KeyError) as error:
        raise Misconfigured(f"the filters of {function} cannot be read", what="--target same") from error
    return Route(
        function,
        str(mapping["EventSourceArn"]),
        batch=int(mapping.get("BatchSize") or 100),
        reports="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()),
        bisects=bool(mapping.get("BisectBatchOnFunctionError")),
        criteria=criteria,
    )
