"""Applications of the corpus that read streams: tumbling windows over Kinesis, and a table's changes published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.local.corpus import application

pytestmark = pytest.mark.local


def test_readings_are_added_up_by_windows(tmp_path: Path) -> None:
    """Every reading counts in one window; the one that is no number is found by bisecting, and told to a queue."""
    with application("kinesis_windows", tmp_path) as app:
        values = [1, 2, "broken", 4, 5, 6]
        put = app.client("kinesis").put_records(
            StreamName=app.outputs["Readings"],
            Records=[
                {"Data": json.dumps({"value": value}).encode(), "PartitionKey": f"s{n}"}
                for n, value in enumerate(values)
            ],
        )
        assert put["FailedRecordCount"] == 0
        failed = json.loads(app.receive("Unreadable"))
        batch = failed["KinesisBatchInfo"]
        assert (batch["batchSize"], batch["startSequenceNumber"]) == (1, put["Records"][2]["SequenceNumber"])
        assert failed["requestContext"]["condition"] == "RetryAttemptsExhausted"
        total = {"sum": 0, "count": 0}
        while total["count"] < 5:
            window = json.loads(app.receive("Totals"))
            total = {name: total[name] + window[name] for name in total}
        assert total == {"sum": 18, "count": 5}
        assert app.waiting("Unreadable") == 0


def test_an_outbox_is_published_by_a_function_and_a_pipe(tmp_path: Path) -> None:
    """One transaction writes balance and event: filters give one to the function, the other to the pipe."""
    with application("outbox", tmp_path) as app:
        table, tables = app.outputs["Accounts"], app.client("dynamodb")
        key = {"pk": {"S": "acc1"}, "sk": {"S": "balance"}}
        tables.put_item(TableName=table, Item=key | {"amount": {"N": "10"}})
        event = {"pk": {"S": "acc1"}, "sk": {"S": "event#1"}, "kind": {"S": "Deposited"}, "amount": {"N": "5"}}
        change = {
            "TableName": table,
            "Key": key,
            "UpdateExpression": "ADD amount :more",
            "ConditionExpression": "amount = :was",
            "ExpressionAttributeValues": {":more": {"N": "5"}, ":was": {"N": "10"}},
        }
        wanted = [{"Update": change}, {"Put": {"TableName": table, "Item": event}}]
        tables.transact_write_items(TransactItems=wanted)
        with pytest.raises(tables.exceptions.TransactionCanceledException) as refused:
            tables.transact_write_items(TransactItems=wanted)
        reasons = [reason["Code"] for reason in refused.value.response["CancellationReasons"]]
        assert reasons == ["ConditionalCheckFailed", "None"]
        assert json.loads(app.receive("Published")) == {"account": "acc1", "amount": 5}
        assert json.loads(app.receive("Balances")) == {"account": "acc1", "was": "10", "is": "15"}
        assert [app.waiting(queue) for queue in ("Published", "Balances")] == [0, 0]
