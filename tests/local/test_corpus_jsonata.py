"""An application of the corpus in JSONata: orders priced in a Map, packed by a worker, redriven when one failed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.local.corpus import Application, application

pytestmark = pytest.mark.local


def order(app: Application, customer: str, *lines: tuple[str, int]) -> str:
    """The ARN of an order's execution."""
    text = json.dumps({"customer": customer, "lines": [{"sku": sku, "n": n} for sku, n in lines]})
    states = app.client("stepfunctions")
    return states.start_execution(stateMachineArn=app.outputs["Order"], input=text)["executionArn"]


def ended(app: Application, execution: str) -> dict[str, Any]:
    """The execution, once it has ended."""
    states = app.client("stepfunctions")
    while (told := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        pass
    return told


def test_orders_in_jsonata(tmp_path: Path) -> None:
    """Small orders are packed by a machine, large ones by who asks for work; what is not for sale fails by its name."""
    with application("order_pricing", tmp_path) as app:
        states, table = app.client("stepfunctions"), app.outputs["Prices"]
        for sku, price in (("lamp", "19.99"), ("sofa", "450.5")):
            item = {"sku": {"S": sku}, "price": {"N": price}}
            app.client("dynamodb").put_item(TableName=table, Item=item)
        small = ended(app, order(app, "ann", ("lamp", 2)))
        assert json.loads(small["output"]) == {"due": 39.98, "packed": "by machine"}
        digest = hashlib.md5(b"ann-1", usedforsecurity=False).hexdigest()
        assert json.loads(app.receive("Bills")) == {
            "reference": "ann-1", "digest": digest, "due": 39.98, "packed": "by machine"
        }  # fmt: skip
        large = order(app, "bob", ("lamp", 1), ("sofa", 1))
        work = states.get_activity_task(activityArn=app.outputs["Packing"], workerName="cleo")
        assert json.loads(work["input"]) == {"pack": ["sofa", "lamp"], "for": "bob"}
        states.send_task_heartbeat(taskToken=work["taskToken"])
        states.send_task_success(taskToken=work["taskToken"], output=json.dumps({"by": "cleo"}))
        assert json.loads(ended(app, large)["output"]) == {"due": 423.44, "packed": "by cleo"}
        wrong = ended(app, order(app, "dan", ("unicorn", 1)))
        assert (wrong["status"], wrong["error"], wrong["cause"]) == ("FAILED", "NotForSale", "order of dan")
        failed = ended(app, order(app, "nobody", ("lamp", 1)))
        assert (failed["error"], failed["redriveStatus"]) == ("NoSuchCustomer", "REDRIVABLE")
        states.redrive_execution(executionArn=failed["executionArn"])
        again = ended(app, failed["executionArn"])
        assert (again["error"], again["redriveCount"]) == ("NoSuchCustomer", 1)
        pages = states.get_paginator("get_execution_history").paginate(executionArn=failed["executionArn"])
        kinds = [event["type"] for page in pages for event in page["events"]]
        assert (kinds.count("ExecutionRedriven"), kinds.count("MapStateEntered")) == (1, 1)
        assert kinds.count("LambdaFunctionFailed") == 2
