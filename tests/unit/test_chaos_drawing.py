"""Who is hit: by the seed, the step, and the order in which invocations come."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.chaos.drawing import Draw, Verdict, draws_of, judge
from localcloud.chaos.faults import Drop, Fail, Spread
from localcloud.chaos.plan import read_plan
from localcloud.chaos.running import Caller, Run, edges_of, find_functions
from localcloud.clock import run_virtual
from localcloud.compute.function import FunctionSpec


def _draws(*steps: dict[str, Any], seed: int = 1, region: str = "us-east-1") -> list[Draw]:
    return draws_of(read_plan({"seed": seed, "steps": [{"for_s": 10, **step} for step in steps]}), region)


def _hits(seed: int, rate: float, count: int = 200, region: str = "us-east-1") -> list[bool]:
    (draw,) = _draws({"fault": "function.error", "rate": rate}, seed=seed, region=region)
    return [draw.hits() is not None for _ in range(count)]


@given(st.integers(0, 2**63 - 1), st.floats(0, 1))
def test_a_seed_hits_the_same_ones_each_time(seed: int, rate: float) -> None:
    """The same sequence of invocations, the same seed: the same hits."""
    assert _hits(seed, rate) == _hits(seed, rate)


def test_other_seeds_and_other_regions_hit_others() -> None:
    """Two Regions that run one plan are not hit in step."""
    assert _hits(1, 0.5) != _hits(2, 0.5)
    assert _hits(1, 0.5) != _hits(1, 0.5, region="us-west-2")


def test_a_rate_is_how_many_of_all_are_hit() -> None:
    """0 none, 1 all, 0.3 about three of ten."""
    assert sum(_hits(7, 0.0)) == 0
    assert sum(_hits(7, 1.0)) == 200
    assert 0.25 < sum(_hits(7, 0.3, 5000)) / 5000 < 0.35


def test_a_count_ends_the_hits_and_not_the_draws() -> None:
    """The first `count` hits are those of the same step without a count."""
    (free,) = _draws({"fault": "function.error", "rate": 0.5})
    (bound,) = _draws({"fault": "function.error", "rate": 0.5, "count": 3})
    hits = [free.hits() is not None for _ in range(50)]
    bound_hits = [bound.hits() is not None for _ in range(50)]
    assert [at for at, hit in enumerate(bound_hits) if hit] == [at for at, hit in enumerate(hits) if hit][:3]


def test_a_step_is_not_moved_by_another() -> None:
    """Each draws from its own generator: what one hits is the same with and without the other."""
    alone = _draws({"fault": "function.error", "rate": 0.5})
    beside = _draws({"fault": "function.error", "rate": 0.5}, {"fault": "function.drop-response", "rate": 0.5})
    one = [judge(alone).fault for _ in range(60)]
    both = [judge(beside).fault for _ in range(60)]
    assert [isinstance(fault, Fail) for fault in both] == [fault is not None for fault in one]
    assert any(isinstance(fault, Drop) for fault in both)


def test_delays_add_up_and_the_first_other_fault_counts() -> None:
    """Two delays are waited for one after the other; of two faults the earlier step's is carried out."""
    draws = _draws(
        {"fault": "function.latency", "delay": {"fixed_s": 1}},
        {"fault": "function.drop-response"},
        {"fault": "function.latency", "delay": {"fixed_s": 2}},
        {"fault": "function.error"},
    )
    assert judge(draws) == Verdict(3.0, (0, 2), Drop(), 1)


@given(st.floats(0.001, 900), st.floats(0, 5), st.integers(0, 2**32))
def test_a_log_normal_delay_is_positive_and_cut_off(median_s: float, spread: float, seed: int) -> None:
    """However wide it is spread."""
    assert 0 <= Spread(0.0, 900.0, median_s, spread).draw(random.Random(seed)) <= 900.0


def test_a_log_normal_delay_has_its_median() -> None:
    """Half of the delays are below the median that the plan says."""
    spread, rng = Spread(0.0, 900.0, 0.2, 0.8), random.Random(3)
    drawn = sorted(spread.draw(rng) for _ in range(4001))
    assert drawn[2000] == pytest.approx(0.2, rel=0.06)
    assert drawn[3365] == pytest.approx(0.2 * 2.718281828**0.8, rel=0.08)  # one standard deviation: 84.13 %


def _spec(name: str, logical_id: str = "") -> FunctionSpec:
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    return FunctionSpec(name=name, arn=arn, handler="app.handler", code_dir=Path("/nowhere"), logical_id=logical_id)


SPECS = (_spec("app-ReadJob", "ReadJob"), _spec("plain"))


def _run(*steps: dict[str, Any]) -> Run:
    plan = read_plan({"steps": list(steps)})
    return Run(plan, "us-east-1", find_functions(plan, SPECS, "us-east-1"), began=0.0)


def test_a_function_is_meant_by_its_logical_id_or_its_name() -> None:
    """Both are one function, and every function has one star."""

    async def check() -> None:
        for named in ("ReadJob", "app-ReadJob"):
            assert _run({"fault": "function.error", "for_s": 1, "functions": [named]}).touched() == {"app-ReadJob"}
        assert _run({"fault": "function.error", "for_s": 1}).touched() == {"app-ReadJob", "plain"}

    run_virtual(check)


def test_calls_are_met_by_service_operation_and_caller() -> None:
    """Each of them keeps a call out; who says no caller means functions, never people."""

    async def check() -> None:
        run = _run({"fault": "call.throttle", "service": "sqs", "operations": ["SendMessage"], "for_s": 1})
        function, person = Caller("functions", "plain"), Caller("people")
        assert run.of_call("sqs", "SendMessage", function).step == 0
        assert run.of_call("sqs", "SendMessage", person).step == -1
        assert run.of_call("sqs", "SendMessage", Caller("services")).step == -1
        assert run.of_call("sqs", "ReceiveMessage", function).step == -1
        assert run.of_call("sns", "SendMessage", function).step == -1
        one = _run({"fault": "call.throttle", "service": "sqs", "callers": ["ReadJob", "people"], "for_s": 1})
        assert one.of_call("sqs", "SendMessage", Caller("functions", "app-ReadJob")).step == 0
        assert one.of_call("sqs", "SendMessage", function).step == -1
        assert one.of_call("sqs", "SendMessage", person).step == 0

    run_virtual(check)


def test_a_step_is_on_in_its_time_only() -> None:
    """From at_s, for for_s; its edges are in order, and at one moment ends come before beginnings."""

    async def check() -> None:
        run = _run(
            {"fault": "function.error", "at_s": 1, "for_s": 2}, {"fault": "function.error", "at_s": 3, "for_s": 1}
        )
        found = []
        for _ in range(5):
            found.append(run.of_function("plain").step)
            await asyncio.sleep(1)
        assert found == [-1, 0, 0, 1, -1]
        assert edges_of(run.plan) == [(1.0, True, 0), (3.0, False, 0), (3.0, True, 1), (4.0, False, 1)]

    run_virtual(check)


def test_a_run_that_is_over_hits_nobody() -> None:
    """An environment that outlives the plan with its proxy is left alone."""

    async def check() -> None:
        run = _run({"fault": "function.error", "for_s": 5})
        assert run.of_function("plain").step == 0
        run.over.set()
        assert run.of_function("plain") == Verdict()

    run_virtual(check)
