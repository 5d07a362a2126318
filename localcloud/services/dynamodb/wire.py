"""DynamoDB and DynamoDB Streams on the wire: AWS JSON 1.0 in, an operation of the model, AWS JSON 1.0 out.

Owns the protocol, the Regions' databases and the life of their background work; knows no rule of the model.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, cast

from localcloud.clock import Clock
from localcloud.json_text import MalformedJson, read_json
from localcloud.regions.links import Links
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.dynamodb import (
    account,
    batches,
    control,
    items,
    queries,
    resource_policies,
    scans,
    stream_requests,
    table_updates,
    tagging,
    transactions,
)
from localcloud.services.dynamodb.access import needed_permissions
from localcloud.services.dynamodb.errors import DynamoError, malformed
from localcloud.services.dynamodb.global_tables import GlobalTables
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.streams import StreamLimits
from localcloud.services.dynamodb.strong_requests import perform_strong
from localcloud.services.iam.policy import Document
from localcloud.services.iam.tags import with_resource_tags

__all__ = ["DynamoService", "read_needs"]

CONTENT_TYPE: Final = "application/x-amz-json-1.0"
SWEEP_S: Final = 30.0  # AWS promises "within a few days"; a person at a laptop should see it happen
_Operation = Callable[[Database, Members], dict[str, Any]]
_TABLE_OPERATIONS: Final[Mapping[str, _Operation]] = {
    "BatchGetItem": batches.batch_get_item,
    "BatchWriteItem": batches.batch_write_item,
    "CreateTable": control.create_table,
    "DeleteItem": items.delete_item,
    "DeleteResourcePolicy": resource_policies.delete_resource_policy,
    "DeleteTable": control.delete_table,
    "DescribeContinuousBackups": control.describe_continuous_backups,
    "DescribeLimits": account.describe_limits,
    "DescribeTable": control.describe_table,
    "DescribeTimeToLive": control.describe_time_to_live,
    "GetItem": items.get_item,
    "GetResourcePolicy": resource_policies.get_resource_policy,
    "ListTables": control.list_tables,
    "ListTagsOfResource": tagging.list_tags_of_resource,
    "PutItem": items.put_item,
    "PutResourcePolicy": resource_policies.put_resource_policy,
    "Query": queries.query,
    "Scan": scans.scan,
    "TagResource": tagging.tag_resource,
    "TransactGetItems": transactions.transact_get_items,
    "TransactWriteItems": transactions.transact_write_items,
    "UntagResource": tagging.untag_resource,
    "UpdateItem": items.update_item,
    "UpdateTable": table_updates.update_table,
    "UpdateTimeToLive": control.update_time_to_live,
}
_STREAM_OPERATIONS: Final[Mapping[str, _Operation]] = {
    "DescribeStream": stream_requests.describe_stream,
    "GetRecords": stream_requests.get_records,
    "GetShardIterator": stream_requests.get_shard_iterator,
    "ListStreams": stream_requests.list_streams,
}
_DESCRIBE_ENDPOINTS: Final = "DynamoDB_20120810.DescribeEndpoints"
_TARGETS: Final = {"DynamoDB_20120810": _TABLE_OPERATIONS, "DynamoDBStreams_20120810": _STREAM_OPERATIONS}


class DynamoService:
    """The DynamoDB and DynamoDB Streams APIs of every Region. `store` None keeps nothing beyond the process.

    `run()` must be running for items to expire. `stream_limits`: a shard's life and a stream's memory. `links`: between
    the Regions of global tables. `holds_policies` False, before the first request: nobody goes by the tables' resource
    policies, so none are taken. Not for use by several threads.
    """

    name = "dynamodb"

    def __init__(
        self,
        clock: Clock,
        *,
        store: Store | None = None,
        randomness: Random | None = None,
        stream_limits: StreamLimits | None = None,
        links: Links | None = None,
    ) -> None:
        self.holds_policies = True
        self._clock = clock
        self._stream_limits = stream_limits
        self._store = store
        self._randomness = randomness or Random()  # noqa: S311 - table ids, not secrets
        self._databases: dict[str, Database] = {}
        self.links = links or Links(rng=Random(self._randomness.getrandbits(64)))  # noqa: S311 - lags, not secrets
        self.global_tables = GlobalTables(self.database, links=self.links, clock=clock)

    def database(self, region: str) -> Database:
        """The database of `region`, loaded from the store at first use."""
        found = self._databases.get(region)
        if found is None:
            found = Database(
                region,
                self._clock,
                account_id=ACCOUNT_ID,
                randomness=self._randomness,
                stream_limits=self._stream_limits,
            )
            if self._store is not None:
                self._store.load(found)
            found.global_tables = self.global_tables
            found.holds_policies = self.holds_policies
            self._databases[region] = found
            self.global_tables.adopt(found)
        return found

    async def run(self) -> None:
        """Delete expired items, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for database in list(self._databases.values()):
                database.sweep()

    def close(self) -> None:
        """Let every replica have what the links let through, and close the store, if there is one."""
        self.links.flush()
        if self._store is not None:
            self._store.close()

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            answer = await self._perform(request)
        except DynamoError as error:
            return _respond(error.status, error.body())
        return _respond(200, answer)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check; empty for a malformed request or an unknown operation."""
        needed = read_needs(request)
        if needed:
            self.database(request.region)  # what was kept of its tables has tags
        return with_resource_tags(needed, self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a table, for its indexes as well; None where there is none, and for its stream, which has none.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
        """
        parts = arn.split(":", 5)
        kind, _, path = parts[-1].partition("/")
        name, _, rest = path.partition("/")
        database = self._databases.get(parts[3]) if len(parts) == 6 else None
        if database is None or kind != "table" or rest.startswith("stream/"):
            return None
        try:
            return dict(database.table(name).definition.tags)
        except DynamoError:
            return None

    def policy_of(self, arn: str) -> Document | None:
        """The resource policy of a table or index, None where it has none."""
        return resource_policies.find_policy(self._databases, arn)

    async def _perform(self, request: WireRequest) -> dict[str, Any]:
        version, _, operation = request.target.partition(".")
        perform = _TARGETS.get(version, {}).get(operation)
        if request.target == _DESCRIBE_ENDPOINTS:
            host = request.headers.get("host", f"dynamodb.{request.region}.amazonaws.com")
            return account.describe_endpoints(host, Members(_parse(request.body)))
        if perform is None:
            raise _unknown(operation)
        database, raw = self.database(request.region), _parse(request.body)
        answer = await perform_strong(database, operation, raw, perform=perform)
        return perform(database, Members(raw)) if answer is None else answer


def _unknown(operation: str) -> DynamoError:
    reason = account.REFUSED.get(operation)
    named = f"The local cloud does not serve the DynamoDB operation {operation or '(none named)'}"
    return DynamoError("UnknownOperationException", named if reason is None else f"{named}: {reason}")


def read_needs(request: WireRequest) -> tuple[Permission, ...]:
    """What IAM would check; empty for a malformed request or an unknown operation."""
    version, _, operation = request.target.partition(".")
    try:
        raw = _parse(request.body)
    except DynamoError:
        return ()
    if operation not in _TARGETS.get(version, {}) and request.target != _DESCRIBE_ENDPOINTS:
        return ()
    return needed_permissions(operation, raw, f"arn:aws:dynamodb:{request.region}:{ACCOUNT_ID}:")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        raw = read_json(body or b"{}")
    except MalformedJson as error:
        raise malformed("The request body is not JSON") from error
    if not isinstance(raw, dict):
        raise malformed("Unexpected value type in payload")
    return cast("dict[str, Any]", raw)


def _respond(status: int, answer: Mapping[str, Any]) -> WireResponse:
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return WireResponse(status, body, {"content-type": CONTENT_TYPE, "x-amz-crc32": str(zlib.crc32(body))})
