"""codec.switch: who may ask switch_region for what, and what no misspelling turns into."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluiceway.codec import switch
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.switch import StepRefused, SwitchOrder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# As EventBridge's user guide shows an event of a schedule.
SCHEDULE: dict[str, Any] = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-28T03:40:00Z",
    "region": "us-west-2",
    "resources": ["arn:aws:events:us-west-2:123456789012:rule/SwitchRegionMinutely"],
    "detail": {},
}
# The metadata that API_Lambdas names.
PLAN: dict[str, Any] = {
    "InvokedBy": "RegionSwitch",
    "PlanArn": "arn:aws:arc-region-switch::123456789012:plan/sluiceway:abc123",
    "ExecutionId": "us-west-2/2026-11-28T03:40:00Z",
    "StepName": "raise-the-epoch",
}
RAISE: dict[str, Any] = {"action": "raise", "to": "us-west-2", "approval": "incident 7, Zoë"}
APPROVED = "ARC Region switch, execution us-west-2/2026-11-28T03:40:00Z"


def test_the_clock_publishes() -> None:
    """Whatever else is in the event; its id is for the logs."""
    order = switch.decode(SCHEDULE)
    assert order == SwitchOrder("publish", SCHEDULE["id"])
    assert switch.correlation_id(order) == SCHEDULE["id"]
    assert switch.decode({**SCHEDULE, **RAISE}).action == "publish"


def test_a_step_of_a_plan_hands_over_to_the_region_that_it_runs_in() -> None:
    """The execution is the approval: a person gave it in the step before, so nothing that speaks against it counts."""
    order = switch.decode(PLAN)
    assert order == SwitchOrder("raise", PLAN["ExecutionId"], to="", approval=APPROVED, force=True, of_plan=True)


@pytest.mark.parametrize(
    ("payload", "order"),
    [
        ({"action": "look"}, SwitchOrder("look", PLAN["ExecutionId"], of_plan=True)),
        ({"action": "publish"}, SwitchOrder("publish", PLAN["ExecutionId"], of_plan=True)),
        (
            {"action": "raise", "to": "us-east-1"},
            SwitchOrder("raise", PLAN["ExecutionId"], to="us-east-1", approval=APPROVED, of_plan=True),
        ),
        (RAISE, SwitchOrder("raise", PLAN["ExecutionId"], to="us-west-2", approval="incident 7, Zoë", of_plan=True)),
        (
            {"action": "drill", "minutes": 5},
            SwitchOrder("drill", PLAN["ExecutionId"], minutes=5, approval=APPROVED, of_plan=True),
        ),
    ],
)
def test_a_step_with_a_payload_does_what_the_payload_says(payload: dict[str, Any], order: SwitchOrder) -> None:
    """Region switch merges its own members into the payload: they make no hand-over of an order that was to look."""
    assert switch.decode({**PLAN, **payload}) == order


@pytest.mark.parametrize(
    "event",
    [
        {**PLAN, "ExecutionId": None},
        {**PLAN, "ExecutionId": " "},
        {**PLAN, "ExecutionId": "x" * 513},
        {**PLAN, "PlanArn": 1},
        {"PlanArn": "arn"},
        {**PLAN, "to": "us-west-2"},
        {**PLAN, "Force": True},
        {**PLAN, "action": "raise"},
    ],
)
def test_a_step_that_is_not_whole_is_no_order(event: dict[str, Any]) -> None:
    """Nor one whose payload names no action, or no Region."""
    with pytest.raises(Rejected) as caught:
        switch.decode(event)
    assert caught.value.reason == "malformed-event"


@pytest.mark.parametrize("event", [{**PLAN, "ExecutionId": ""}, {**PLAN, "action": "raise"}])
def test_a_step_of_a_plan_that_is_refused_fails(event: dict[str, Any]) -> None:
    """A plan reads no answer: one that says why would be a step that is done, and the next one would go on."""
    with pytest.raises(StepRefused) as caught:
        switch.decode(event)
    assert switch.refuse(caught.value) is None
    said = switch.refuse(Rejected("no", reason="not-ready"))
    assert said == {"refused": "not-ready", "message": "no"}


@pytest.mark.parametrize(
    ("event", "order"),
    [
        ({"action": "look"}, SwitchOrder("look", "invoke-look")),
        ({"action": "look", "to": "us-west-2"}, SwitchOrder("look", "invoke-look", to="us-west-2")),
        ({"action": "publish"}, SwitchOrder("publish", "invoke-publish")),
        ({"action": "survey"}, SwitchOrder("survey", "invoke-survey")),
        (RAISE, SwitchOrder("raise", "invoke-raise", to="us-west-2", approval="incident 7, Zoë")),
        (
            {**RAISE, "ends": 3, "force": True},
            SwitchOrder("raise", "invoke-raise", to="us-west-2", approval="incident 7, Zoë", ends=3, force=True),
        ),
        (
            {"action": "drill", "minutes": 10, "approval": "x"},
            SwitchOrder("drill", "invoke-drill", minutes=10, approval="x"),
        ),
        (
            {"action": "drill", "minutes": 0, "approval": "x"},
            SwitchOrder("drill", "invoke-drill", minutes=0, approval="x"),
        ),
    ],
)
def test_an_order_by_invoke(event: dict[str, Any], order: SwitchOrder) -> None:
    """Each action with its members."""
    assert switch.decode(event) == order


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ([], "root"),
        ("raise", "root"),
        ({}, "action"),
        ({"action": None}, "action"),
        ({"action": ["raise"]}, "action"),
        ({"action": "Raise"}, "action"),
        ({"action": "raise"}, "approval"),
        ({"action": "raise", "approval": "x"}, "to"),
        ({**RAISE, "to": None}, "to"),
        ({**RAISE, "to": " "}, "to"),
        ({**RAISE, "to": "u" * 33}, "to"),
        ({**RAISE, "to": "\ud800"}, "to"),
        ({**RAISE, "approval": None}, "approval"),
        ({**RAISE, "approval": ""}, "approval"),
        ({**RAISE, "approval": "\t \n"}, "approval"),
        ({**RAISE, "approval": "x" * 1025}, "approval"),
        ({**RAISE, "approval": "Zo\ud800"}, "approval"),
        ({**RAISE, "approval": True}, "approval"),
        ({**RAISE, "ends": -1}, "ends"),
        ({**RAISE, "ends": 1.0}, "ends"),
        ({**RAISE, "ends": True}, "ends"),
        ({**RAISE, "ends": 2**53}, "ends"),
        ({**RAISE, "ends": "1"}, "ends"),
        ({**RAISE, "force": 1}, "force"),
        ({**RAISE, "force": "false"}, "force"),
        ({**RAISE, "force": None}, "force"),
        ({**RAISE, "minutes": 1}, "minutes"),
        ({**RAISE, "forced": True}, "forced"),
        ({**RAISE, "x" * 70: True}, "x" * 64),
        ({**RAISE, "\ud800": True}, "?"),
        ({"action": "look", "to": ""}, "to"),
        ({"action": "look", "approval": "x"}, "approval"),
        ({"action": "publish", "to": "us-west-2"}, "to"),
        ({"action": "drill", "approval": "x"}, "minutes"),
        ({"action": "drill", "minutes": 1}, "approval"),
        ({"action": "drill", "minutes": 1441, "approval": "x"}, "minutes"),
        ({"action": "drill", "minutes": 1, "approval": "x", "to": "us-west-2"}, "to"),
        ({**SCHEDULE, "id": None}, "id"),
        ({**SCHEDULE, "detail-type": "scheduled event"}, "action"),
    ],
)
def test_what_is_no_order_is_refused_by_the_members_name(event: object, field: str) -> None:
    """In a few words that can be encoded, whatever was sent; the value is not among them."""
    with pytest.raises(Rejected) as caught:
        switch.decode(event)
    assert (caught.value.reason, caught.value.field) == ("malformed-event", field)
    told = switch.refuse(caught.value)
    assert told is not None
    assert (told["refused"], told["field"]) == ("malformed-event", field)
    assert len(json.dumps(told, ensure_ascii=False).encode()) < 400


def test_the_longest_approval_and_its_plan_are_taken() -> None:
    """1,024 characters by hand; a plan's execution always fits."""
    assert len(switch.decode({**RAISE, "approval": "ü" * 1024}).approval) == 1024
    assert len(switch.decode({**PLAN, "ExecutionId": "x" * 512}).approval) <= 1024


@given(
    st.dictionaries(st.sampled_from(["action", "to", "approval", "ends", "force", "minutes", "Action", "x"]), JSON)
    | JSON
)
@example({"action": "raise ", "to": "us-west-2", "approval": "x"})
def test_no_malformed_order_becomes_a_hand_over(event: object) -> None:
    """Whatever JSON comes: a `raise` is one that says so in that word, names its Region and who decided it."""
    try:
        order = switch.decode(event)
    except Rejected:
        return
    assert isinstance(event, dict)
    assert event["action"] == order.action
    assert set(event) - {"action"} <= {"to", "approval", "ends", "force", "minutes"}
    if order.action == "raise":
        assert (event["to"], event["approval"], event.get("ends", 0), event.get("force", False)) == (
            order.to, order.approval, order.ends, order.force,
        )  # fmt: skip
        assert order.to.strip()
        assert order.approval.strip()


@given(st.dictionaries(st.sampled_from([*PLAN, "action", "to", "approval", "force"]), JSON | st.just("raise")))
def test_no_malformed_step_becomes_a_hand_over(event: dict[str, Any]) -> None:
    """With members of a plan in it: those alone are an order, anything more has to name its action."""
    try:
        order = switch.decode(event)
    except Rejected:
        return
    more = set(event) - set(PLAN)
    assert order.action == "raise" if not more else order.action == event["action"]
    assert order.approval.strip() or order.action in {"look", "publish"}


def test_a_refusal_is_told_and_every_other_error_fails_the_invocation() -> None:
    """Who approves reads why; a plan's step that failed is run again by the plan."""
    error = Rejected("not handed over", reason="not-ready", field="to")
    assert switch.refuse(error) == {"refused": "not-ready", "message": "not handed over", "field": "to"}
    assert switch.refuse(Rejected("x", reason="y")) == {"refused": "y", "message": "x"}
    for other in (Retryable("x"), Misconfigured("x", what="y"), ValueError("x")):
        assert switch.refuse(other) is None


def test_a_reply_is_what_the_flow_gave() -> None:
    """JSON types, untouched."""
    reply = {"home": "us-west-2", "epoch": 2}
    assert switch.encode(reply) is reply
