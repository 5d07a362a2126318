"""Plans of faults: what is one, and what is said of what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.chaos.faults import CallDelay, Change, Delay, Kill, RegionPartition, Spread
from localcloud.chaos.plan import PlanError, Step, read_plan
from localcloud.chaos.random_plan import Targets, draw_plan


def _step(**members: Any) -> dict[str, Any]:
    return {"fault": "function.error", "for_s": 1, **members}


def _refusal(*steps: Any, **members: Any) -> str:
    with pytest.raises(PlanError) as refused:
        read_plan({"steps": list(steps), **members})
    return str(refused.value)


def test_a_plan_is_read_with_its_defaults() -> None:
    """A step begins at once, hits every invocation of every function, and draws by seed 0."""
    plan = read_plan(json.dumps({"steps": [{"fault": "function.kill", "for_s": 2.5}]}))
    assert plan.seed == 0
    assert plan.steps == (Step(fault=Kill("during", 0.1), at_s=0.0, for_s=2.5, functions=("*",)),)
    assert plan.ends_s == 2.5


def test_a_seed_said_beside_stands_above_the_plans_own() -> None:
    """What is told on is the seed that counts, so that a Region draws as the host says."""
    plan = read_plan({"seed": 4, "steps": [_step()]}, seed=9)
    assert (plan.seed, plan.told["seed"]) == (9, 9)


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        ({"fixed_s": 2}, Spread(2.0, 2.0)),
        ({"least_s": 0.5, "most_s": 1}, Spread(0.5, 1.0)),
        ({"median_s": 0.2, "spread": 0.8, "most_s": 3}, Spread(0.0, 3.0, 0.2, 0.8)),
    ],
)
def test_a_delay_is_fixed_even_or_log_normal(delay: dict[str, float], expected: Spread) -> None:
    """Of an invocation and of a call alike."""
    plan = read_plan(
        {
            "steps": [
                _step(fault="function.latency", delay=delay),
                _step(fault="call.latency", delay=delay, service="sqs"),
            ]
        }
    )
    assert [step.fault for step in plan.steps] == [Delay(expected), CallDelay(expected)]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (_step(rate=1.5), "steps[0].rate: a number from 0 to 1, not 1.5"),
        (_step(rate=float("nan")), "steps[0].rate: a number from 0 to 1, not nan"),
        (_step(rate=True), "steps[0].rate: a number from 0 to 1, not True"),
        (_step(for_s=0), "steps[0].for_s: a number from 0.1 to 86400, not 0"),
        (_step(at_s=-1), "steps[0].at_s: a number from 0 to 86400, not -1"),
        (_step(count=0), "steps[0].count: a whole number from 1 to 1000000, not 0"),
        (_step(functions=[]), "steps[0].functions: a list of 1 to 50 names, not []"),
        (_step(functions=["A", "A"]), "steps[0].functions[1]: text of 1 to 255 characters that is there once, not 'A'"),
        (_step(error_type="a\nb"), "steps[0].error_type: printable ASCII: it is sent in a header"),
        ({"fault": "function.error"}, "steps[0].for_s: is missing"),
        (7, "steps[0]: an object, not 7"),
        (_step(fault="function.change-response", status=99), "steps[0].status: a whole number from 200 to 599, not 99"),
        (_step(fault="function.kill", when="later"), "steps[0].when: one of before, during, after, not 'later'"),
        (_step(fault="call.throttle"), "steps[0].service: is missing"),
        (_step(fault="call.error", service="s3", status=404), "steps[0].status: one of 500, 503, not 404"),
        (
            _step(fault="call.drop", service="sqs", when="after", callers=["services"]),
            "steps[0].callers: services call without a connection that could be dropped",
        ),
        (_step(fault="function.latency", delay={"most_s": 1}), "steps[0].delay: fixed_s, or least_s and most_s"),
        (_step(fault="function.latency", delay={"fixed_s": 901}), "steps[0].delay.fixed_s: a number from 0 to 900"),
        (
            _step(fault="region.partition", source="us-east-1", target="us-east-1"),
            "steps[0].target: another Region than source, not 'us-east-1'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_limit(step: Any, said: str) -> None:
    """The message begins with the field's path and says what it may be."""
    assert _refusal(step).startswith(said)


def test_a_field_that_a_fault_has_not_is_refused() -> None:
    """A misspelt field would leave a fault on everything; the message says which there are."""
    said = _refusal(_step(ratte=0.1))
    assert said.startswith("steps[0].ratte: function.error has no such field; it has at_s, count, error_type, fault")


@pytest.mark.parametrize("text", ["", "[", "[]", '{"steps": []}', '{"steps": {}}', "{}", "null", '{"steps": 1e999}'])
def test_a_document_that_is_no_plan_is_refused(text: str) -> None:
    """Whatever it is, the error is the plan's own."""
    with pytest.raises(PlanError):
        read_plan(text)


def test_two_faults_of_a_kind_in_one_region_do_not_overlap() -> None:
    """The first to end would end the other as well: one after the other is well."""
    kill = {"fault": "region.kill", "region": "us-east-1"}
    assert _refusal({**kill, "for_s": 5}, {**kill, "at_s": 4, "for_s": 5}).startswith("steps[1].at_s: region.kill of")
    assert len(read_plan({"steps": [{**kill, "for_s": 5}, {**kill, "at_s": 5, "for_s": 5}]}).steps) == 2


def test_partitions_overlap_where_they_share_a_direction() -> None:
    """One way and back are two partitions; both ways and one of them are not."""
    one = {"fault": "region.partition", "source": "a", "target": "b", "both": False, "for_s": 1}
    back = {**one, "source": "b", "target": "a"}
    assert [step.fault for step in read_plan({"steps": [one, back]}).steps] == [
        RegionPartition("a", "b", both=False),
        RegionPartition("b", "a", both=False),
    ]
    assert "region.partition of steps[0]" in _refusal(one, {**back, "both": True})


def test_a_changed_body_may_be_empty() -> None:
    """Which is another thing than a body that is left alone."""
    plan = read_plan(
        {
            "steps": [
                _step(fault="function.change-response", status=500, body=""),
                _step(fault="function.change-response", status=500),
            ]
        }
    )
    assert [step.fault for step in plan.steps] == [Change(500, ""), Change(500, None)]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    [
        "fault",
        "at_s",
        "for_s",
        "rate",
        "count",
        "functions",
        "regions",
        "service",
        "operations",
        "callers",
        "delay",
        "status",
        "when",
        "after_s",
        "region",
        "source",
        "target",
        "both",
        "table",
        "by_s",
        "late_s",
        "body",
        "error_type",
        "message",
    ]
)
_KINDS = st.sampled_from(
    [
        "function.latency",
        "function.error",
        "function.kill",
        "function.change-response",
        "call.drop",
        "call.latency",
        "region.kill",
        "region.partition",
        "region.skew",
        "region.pause-replication",
    ]
)


@given(st.dictionaries(_FIELDS, _JSON, max_size=6), _KINDS)
def test_any_step_is_read_or_refused_by_name(members: dict[str, Any], kind: str) -> None:
    """Whatever its fields hold: a plan, or a PlanError that begins with a place in it; never another error."""
    plan, said = None, ""
    try:
        plan = read_plan({"steps": [{**members, "fault": kind}]})
    except PlanError as error:
        said = str(error)
    assert said.startswith("steps[0]") if plan is None else read_plan(json.dumps(plan.told)) == plan


@given(
    st.integers(0, 2**63 - 1),
    st.integers(5, 3600),
    st.lists(st.sampled_from(["GenerateAnswer", "ReadJob", "FilterRecords"]), min_size=1, unique=True),
    st.lists(st.sampled_from(["us-east-1", "us-west-2"]), unique=True),
)
def test_a_random_plan_is_a_plan_that_its_seed_repeats(
    seed: int, for_s: int, functions: list[str], regions: list[str]
) -> None:
    """It can be read, ends in time, names nothing that does not run, and comes again from the same seed."""
    targets = Targets(tuple(functions), ("sqs", "dynamodb", "iam"), tuple(regions), ("Jobs",))
    told = draw_plan(seed, for_s, targets)
    plan = read_plan(json.dumps(told))
    assert draw_plan(seed, for_s, targets) == told
    assert plan.ends_s <= for_s + 0.2
    named = {name for step in plan.steps for name in step.functions}
    assert named <= set(functions)
    assert {step.service for step in plan.steps} <= {"", "sqs", "dynamodb"}
    assert any(step.kind == "region" for step in plan.steps) == (len(regions) > 1)


def test_there_is_no_random_plan_where_nothing_runs() -> None:
    """A cloud without functions has nothing that could be broken."""
    with pytest.raises(ValueError, match="no function runs here"):
        draw_plan(1, 60, Targets((), ("sqs",)))
