"""Powertools for AWS Lambda 3.37 and Sluiceway on one table: each reads what the other wrote, under the same keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency import idempotent as powertools_idempotent
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyValidationError,
)
from moto import mock_aws

from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.idempotency import Conflict, Fresh, Guard, InProgress, Options, Replayed, idempotent
from sluiceway.idempotency.layered import SpillingIdempotencyStore
from tests.contract.answer_tables import Post, make_moto, moto_tables
from tests.contract.idempotency_tables import DEFINITION, TABLE
from tests.fakes import MemoryBlobStore

EVENT = {"order": {"id": "o1", "total": 5}, "other": [1, 2]}
CONTEXT: Any = SimpleNamespace(
    function_name="shop", aws_request_id="r", get_remaining_time_in_millis=lambda: 30_000, memory_limit_in_mb=128
)
MD5 = Options(digest="md5")


@dataclass
class Shared:
    """A table, as both see it."""

    client: Any
    store: DynamoDbIdempotencyStore

    @property
    def layer(self) -> DynamoDBPersistenceLayer:
        return DynamoDBPersistenceLayer(table_name=TABLE, boto3_client=self.client)

    @property
    def items(self) -> list[dict[str, Any]]:
        return self.client.scan(TableName=TABLE)["Items"]


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop")
    with mock_aws():
        client = make_moto([DEFINITION])
        yield Shared(client, DynamoDbIdempotencyStore(Post(moto_tables(client)), TABLE))


def make_theirs(shared: Shared, config: IdempotencyConfig, *, prefix: str | None = None) -> Any:
    """A handler of theirs that counts its runs."""
    runs: list[object] = []

    @powertools_idempotent(persistence_store=shared.layer, config=config, key_prefix=prefix)
    def handler(event: Any, context: Any) -> Any:
        runs.append(event)
        return {"by": "theirs"}

    return SimpleNamespace(run=lambda event=EVENT: handler(event, CONTEXT), runs=runs)


async def ours() -> dict[str, str]:
    return {"by": "ours"}


async def test_they_replay_what_we_completed(shared: Shared) -> None:
    """Same key, status, data and expiry: their handler is not run."""
    guard = Guard[dict[str, str]]("orders", key="order.id", options=MD5)
    await guard.run(EVENT, ours, store=shared.store)
    theirs = make_theirs(shared, IdempotencyConfig(event_key_jmespath="order.id"), prefix="orders")
    assert (theirs.run(), theirs.runs) == ({"by": "ours"}, [])


async def test_we_replay_what_they_completed(shared: Shared) -> None:
    """Their record has no owner: it is complete all the same."""
    theirs = make_theirs(shared, IdempotencyConfig(event_key_jmespath="order.id"), prefix="orders")
    assert theirs.run() == {"by": "theirs"}
    guard = Guard[dict[str, str]]("orders", key="order.id", options=MD5)
    assert await guard.run(EVENT, ours, store=shared.store) == Replayed({"by": "theirs"})


@pytest.mark.parametrize(
    ("jmespath", "key"),
    [
        ("order.id", "order.id"),
        ("order", "order"),
        ("[order.id, order.total]", ("order.id", "order.total")),
        ("other[1]", "other[1]"),
        ("", lambda event: event),
    ],
)
async def test_keys_are_the_same_character_by_character(shared: Shared, jmespath: str, key: Any) -> None:
    """`<Lambda function>.<module>.<qualified name>#<md5>` for a function without a name of its own."""

    @idempotent_function(
        data_keyword_argument="event",
        persistence_store=shared.layer,
        config=IdempotencyConfig(event_key_jmespath=jmespath, lambda_context=CONTEXT),
    )
    def take(*, event: Any) -> str:
        return "theirs"

    take(event=EVENT)

    async def mine(event: Any) -> str:
        del event
        return "ours"

    mine.__qualname__ = take.__wrapped__.__qualname__
    protected = idempotent(key=key, store=shared.store, options=MD5)(mine)
    (item,) = shared.items
    assert protected.guard.key_of(EVENT) == item["id"]["S"]
    assert await protected.outcome(EVENT) == Replayed("theirs")


async def test_their_duplicate_of_our_work_in_progress_is_refused(shared: Shared) -> None:
    """Our lease is theirs: status and `in_progress_expiration` are what they look for."""
    guard = Guard[str]("orders", key="order.id", options=MD5)
    theirs = make_theirs(shared, IdempotencyConfig(event_key_jmespath="order.id"), prefix="orders")

    async def work() -> str:
        with pytest.raises(IdempotencyAlreadyInProgressError):
            theirs.run()
        return "done"

    assert await guard.run(EVENT, work, store=shared.store) == Fresh("done")
    assert theirs.run() == "done"


async def test_our_duplicate_of_their_work_in_progress_is_told(shared: Shared) -> None:
    """Until the end of their lease, to the millisecond; without one, until their record expires."""
    item = {"id": {"S": "orders#1"}, "status": {"S": "INPROGRESS"}, "expiration": {"N": "4000000000"}}
    guard = Guard[dict[str, str]]("orders", key="order.id", options=MD5)
    key = {"id": {"S": guard.key_of(EVENT)}}
    shared.client.put_item(TableName=TABLE, Item={**item, **key})
    assert await guard.run(EVENT, ours, store=shared.store) == InProgress(4_000_000_000_000)
    lease = {"in_progress_expiration": {"N": "3999999999123"}}
    shared.client.put_item(TableName=TABLE, Item={**item, **key, **lease})
    assert await guard.run(EVENT, ours, store=shared.store) == InProgress(3_999_999_999_123)
    lapsed = {"in_progress_expiration": {"N": "1"}}
    shared.client.put_item(TableName=TABLE, Item={**item, **key, **lapsed})
    assert await guard.run(EVENT, ours, store=shared.store) == Fresh({"by": "ours"})


async def test_payload_hashes_are_the_same(shared: Shared) -> None:
    """Each finds the other's conflict, and neither finds one where there is none."""
    options = Options(digest="md5", validate="order.total")
    guard = Guard[dict[str, str]]("orders", key="order.id", options=options)
    config = IdempotencyConfig(event_key_jmespath="order.id", payload_validation_jmespath="order.total")
    await guard.run(EVENT, ours, store=shared.store)
    theirs = make_theirs(shared, config, prefix="orders")
    assert theirs.run() == {"by": "ours"}
    with pytest.raises(IdempotencyValidationError):
        theirs.run({"order": {"id": "o1", "total": 6}})
    other = {"order": {"id": "o2", "total": 5}}
    theirs.run(other)
    assert await guard.run(other, ours, store=shared.store) == Replayed({"by": "theirs"})
    changed = {"order": {"id": "o2", "total": 7}}
    assert await guard.run(changed, ours, store=shared.store) == Conflict(guard.key_of(changed))


async def test_a_result_that_is_not_in_the_record_is_never_replayed_by_them_as_nothing(shared: Shared) -> None:
    """Spilled or not kept: they fail on it aloud."""
    theirs = make_theirs(shared, IdempotencyConfig(event_key_jmespath="order.id"), prefix="orders")
    guard = Guard[dict[str, str]]("orders", key="order.id", options=MD5)
    spilling = SpillingIdempotencyStore(shared.store, MemoryBlobStore(), max_inline_bytes=1)
    await guard.run(EVENT, ours, store=spilling)
    with pytest.raises(json.JSONDecodeError):
        theirs.run()
    other = {"order": {"id": "o2"}}

    async def large() -> Any:
        return {"by": "x" * 400_000}

    await guard.run(other, large, store=shared.store)
    with pytest.raises(json.JSONDecodeError):
        theirs.run(other)
    assert theirs.runs == []


async def test_an_item_of_ours_has_their_attributes(shared: Shared) -> None:
    """Names and types, to the attribute; `owner` is all that is added."""
    await Guard[dict[str, str]]("orders", key="order.id", options=Options(validate="order.total")).run(
        EVENT, ours, store=shared.store
    )
    (item,) = shared.items
    assert {name: next(iter(value)) for name, value in item.items()} == {
        "id": "S",
        "status": "S",
        "expiration": "N",
        "in_progress_expiration": "N",
        "data": "S",
        "validation": "S",
        "owner": "S",
    }


async def test_their_functions_overwrite_records_of_ours_without_asking(shared: Shared) -> None:
    """What sharing a table costs: their end is unconditional. Ours finds out, and is in doubt rather than wrong."""
    guard = Guard[str]("orders", key="order.id", options=MD5)

    async def work() -> str:
        key = {"id": {"S": guard.key_of(EVENT)}}
        shared.client.update_item(
            TableName=TABLE,
            Key=key,
            UpdateExpression="SET #data = :data, #status = :status",
            ExpressionAttributeNames={"#data": "data", "#status": "status"},
            ExpressionAttributeValues={":data": {"S": '"theirs"'}, ":status": {"S": "COMPLETED"}},
        )
        return "ours"

    assert type(await guard.run(EVENT, work, store=shared.store)).__name__ == "InDoubt"
    assert await guard.run(EVENT, work, store=shared.store) == Replayed("theirs")
