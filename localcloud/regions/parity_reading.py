"""The facts of one Region that a failover depends on: limits, functions as deployed, tables; through boto's clients.

A function is known by its log group (`/sluiceway/<stack>/<function>`), a table by its logical id, since the rest of
their names differs by Region. Each part is read by itself: one that is refused hides no other. Sources:
https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html and API_ListFunctions.html,
https://docs.aws.amazon.com/apigateway/latest/api/API_GetAccount.html,
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeLimits.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from localcloud.regions.parity import Facts
from sluiceway.errors import Misconfigured

__all__ = ["Clients", "read_facts"]

WITHIN_S: Final = 30.0  # for each part
MOST_PAGES: Final = 40  # of 50 functions or 100 tables

_MEMBERS: Final = {"runtime": "Runtime", "memory_mb": "MemorySize", "timeout_s": "Timeout", "code": "CodeSha256"}

_Values = dict[str, str]


class Clients(Protocol):
    """Clients of one Region, by botocore's names of services."""

    async def client(self, service: str) -> Any:
        """The client of `service`. Raises Misconfigured where there is none."""
        ...


async def read_facts(clients: Clients, stack: str) -> Facts:
    """The facts of `stack` in a Region. Raises Misconfigured where no client can be made at all."""
    values: _Values = {}
    unread: dict[str, str] = {}
    for part, read in _PARTS.items():
        try:
            async with asyncio.timeout(WITHIN_S):
                values |= {f"{part} {name}": value for name, value in (await read(clients, stack)).items()}
        except Misconfigured:
            raise
        except Exception as error:  # noqa: BLE001 - botocore's errors are made as they come; one part is one line
            unread[part] = _code(error)
    return Facts(values, unread)


def _code(error: Exception) -> str:
    answer: Any = getattr(error, "response", {})
    try:
        return str(answer["Error"]["Code"])
    except (KeyError, TypeError):
        return type(error).__name__


async def _read_concurrency(clients: Clients, stack: str) -> _Values:
    del stack
    limit = (await (await clients.client("lambda")).get_account_settings())["AccountLimit"]
    return {"most": str(limit["ConcurrentExecutions"])}


async def _read_functions(clients: Clients, stack: str) -> _Values:
    client = await clients.client("lambda")
    found: _Values = {}
    marker: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = await client.list_functions(**marker)
        for function in page["Functions"]:
            group = function.get("LoggingConfig", {}).get("LogGroup", "")
            if group.startswith(f"/sluiceway/{stack}/"):
                found |= {f"{group.rpartition('/')[2]} {name}": value for name, value in _describe_function(function)}
        if not page.get("NextMarker"):
            break
        marker = {"Marker": page["NextMarker"]}
    return found


def _describe_function(function: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, member in _MEMBERS.items():
        if member in function:
            yield name, str(function[member])
    yield "architecture", ",".join(function.get("Architectures", ()))
    yield "layers", ",".join(_describe_layer(each) for each in function.get("Layers", ()))
    yield "variables", ",".join(sorted(function.get("Environment", {}).get("Variables", {})))


def _describe_layer(layer: Mapping[str, Any]) -> str:
    """Its name without Region, account and version, and its size: versions count up in each Region for itself."""
    return f"{layer['Arn'].split(':')[6]} ({layer.get('CodeSize', 0)} bytes)"


async def _read_throttle(clients: Clients, stack: str) -> _Values:
    client = await clients.client("apigateway")
    told = (await client.get_account())["throttleSettings"]
    found = {"account_per_s": str(told["rateLimit"]), "account_burst": str(told["burstLimit"])}
    for api in (await client.get_rest_apis(limit=500))["items"]:
        if api["name"] == stack:
            for stage in (await client.get_stages(restApiId=api["id"]))["item"]:
                for path, setting in stage.get("methodSettings", {}).items():
                    found[f"{stage['stageName']} {path} per_s"] = str(setting.get("throttlingRateLimit"))
                    found[f"{stage['stageName']} {path} burst"] = str(setting.get("throttlingBurstLimit"))
    return found


async def _read_streams(clients: Clients, stack: str) -> _Values:
    del stack
    told = await (await clients.client("kinesis")).describe_limits()
    return {name: str(told[name]) for name in ("ShardLimit", "OnDemandStreamCountLimit")}


async def _read_tables(clients: Clients, stack: str) -> _Values:
    client = await clients.client("dynamodb")
    found: _Values = {}
    start: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = await client.list_tables(**start)
        for name in page["TableNames"]:
            if own := re.fullmatch(rf"{re.escape(stack)}-([A-Za-z]+)(?:-[A-Za-z0-9]+)?", name):
                table = (await client.describe_table(TableName=name))["Table"]
                lives = (await client.describe_time_to_live(TableName=name))["TimeToLiveDescription"]
                found |= {f"{own[1]} {key}": value for key, value in _describe_table(table, lives)}
        if not page.get("LastEvaluatedTableName"):
            break
        start = {"ExclusiveStartTableName": page["LastEvaluatedTableName"]}
    return found


def _describe_table(table: Mapping[str, Any], lives: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "billing", table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    yield "key", _describe_key(table["KeySchema"])
    for index in (*table.get("GlobalSecondaryIndexes", ()), *table.get("LocalSecondaryIndexes", ())):
        yield f"index {index['IndexName']}", _describe_key(index["KeySchema"])
    yield "stream", table.get("StreamSpecification", {}).get("StreamViewType", "none")
    yield "time_to_live", lives.get("AttributeName", "none")


def _describe_key(schema: list[Mapping[str, str]]) -> str:
    return ",".join(f"{each['AttributeName']} {each['KeyType']}" for each in schema)


_PARTS: Final[Mapping[str, Callable[[Clients, str], Awaitable[_Values]]]] = {
    "concurrency": _read_concurrency,
    "function": _read_functions,
    "throttle": _read_throttle,
    "streams": _read_streams,
    "table": _read_tables,
}
