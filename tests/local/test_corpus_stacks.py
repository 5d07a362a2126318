"""Applications of the corpus that orchestrate: a saga, and a stack that makes its own resources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.local.corpus import Application, application

pytestmark = pytest.mark.local


def order(app: Application, name: str, *, total: int, sku: str = "lamp") -> str:
    """An order begun, under its own name."""
    started = app.client("stepfunctions").start_execution(
        stateMachineArn=app.outputs["Order"],
        name=name,
        input=json.dumps({"order": name, "total": total, "sku": sku}),
    )
    return started["executionArn"]


def ended(app: Application, execution: str) -> dict[str, Any]:
    """The execution, once it has ended: its history is asked for until the last event says so."""
    states = app.client("stepfunctions")
    while (told := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        pass
    return told


def in_stock(app: Application, sku: str) -> str:
    found = app.client("dynamodb").get_item(TableName=app.outputs["Stock"], Key={"sku": {"S": sku}})
    return found["Item"]["amount"]["N"]


def test_a_saga_of_orders(tmp_path: Path) -> None:
    """A bank that is busy is asked again, a declined card gives the stock back, a person approves or does not."""
    with application("order_saga", tmp_path) as app:
        states = app.client("stepfunctions")
        app.client("dynamodb").put_item(
            TableName=app.outputs["Stock"], Item={"sku": {"S": "lamp"}, "amount": {"N": "4"}}
        )
        busy, declined = order(app, "busy", total=5), order(app, "declined", total=7)
        large, doubtful = order(app, "large", total=500), order(app, "doubtful", total=900)
        told = ended(app, declined)
        assert (told["status"], told["error"]) == ("FAILED", "CardDeclined")
        assert json.loads(told["cause"])["errorMessage"] == "not enough money"
        asked = {each["order"]: each["token"] for each in app.received("Approvals", 2)}
        states.send_task_heartbeat(taskToken=asked["large"])
        states.send_task_success(taskToken=asked["large"], output=json.dumps({"by": "carol"}))
        states.send_task_failure(taskToken=asked["doubtful"], error="NotApproved", cause="who is that")
        approved, refused = ended(app, large), ended(app, doubtful)
        assert (refused["status"], refused["error"], refused["cause"]) == ("FAILED", "NotApproved", "who is that")
        assert json.loads(approved["output"])["approval"] == {"by": "carol"}
        paid = json.loads(ended(app, busy)["output"])
        assert paid["payment"] == {"receipt": "paid 5", "attempts": 2}
        assert in_stock(app, "lamp") == "2"
        nothing = ended(app, order(app, "late", total=1, sku="sofa"))
        assert (nothing["status"], nothing["error"]) == ("FAILED", "SoldOut")


def test_a_stack_with_rows_secrets_and_a_stack_inside(tmp_path: Path) -> None:
    """A custom resource plants rows that a nested stack's function reads; settings come from parameter and secret."""
    with application("custom_resources", tmp_path) as app:
        assert (app.outputs["Count"], app.outputs["PhysicalId"]) == ("2", f"seeds-of-{app.outputs['Seeds']}")
        assert app.invoke("Reader") == {"names": ["birch", "oak"], "planted": "2"}
        assert app.invoke("Settings") == {"mode": "quiet", "user": "gardener", "same": True, "size": 20}
        app.client("ssm").put_parameter(Name="/seeds/mode", Value="loud", Overwrite=True)
        assert app.invoke("Settings")["mode"] == "quiet"
        stacks = app.client("cloudformation").describe_stacks()["Stacks"]
        assert {stack["StackStatus"] for stack in stacks} == {"CREATE_COMPLETE"}
