"""Health checks on a virtual clock: when one flips, what counts, and how settings and several of them go together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.services.route53.alarm_data import evaluate
from localcloud.services.route53.check_config import AlarmName, CheckConfig
from localcloud.services.route53.errors import Route53Error
from localcloud.services.route53.health import HealthCheck, Outcome
from localcloud.services.route53.model import Route53
from localcloud.services.route53.reading import update_config
from localcloud.services.route53.snapshot import snapshot
from tests.unit.route53_setup import HOME_ALARM, World, open_route53

ALARM = CheckConfig(type="CLOUDWATCH_METRIC", alarm=AlarmName("us-west-2", "home"))


@asynccontextmanager
async def looking(route53: Route53) -> AsyncGenerator[None]:
    """The checkers run for the length of the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(route53.run())
        try:
            yield
        finally:
            task.cancel()


async def at(second: float) -> None:
    """Wait until just after a second of the loop's."""
    await asyncio.sleep(second + 0.001 - asyncio.get_running_loop().time())


@given(looks=st.lists(st.booleans(), max_size=60), threshold=st.integers(1, 10))
def test_as_many_looks_in_a_row_as_the_threshold_flip_a_check(looks: list[bool], threshold: int) -> None:
    """Both ways; a look that agrees with the status begins the count anew."""
    check = HealthCheck("x", "x", CheckConfig(type="HTTP", name="x", threshold=threshold), 0.0)
    expected = True
    for number, ok in enumerate(looks):
        check.count(ok=ok)
        row = looks[max(0, number + 1 - threshold) : number + 1]
        if len(row) == threshold and len(set(row)) == 1:
            expected = row[0]
        assert check.passes == expected


def test_an_outage_is_seen_after_interval_times_threshold() -> None:
    """Down from second 5 on: the looks at 10 and 20 fail, and the second one tells; the same on the way back."""

    async def main() -> list[tuple[float, bool]]:
        world = World()
        route53 = open_route53(world)
        check = await route53.create_check(CheckConfig(type="HTTP", name="x", interval_s=10, threshold=2), "x")
        seen: list[tuple[float, bool]] = []
        async with looking(route53):
            for second in (4, 11, 19, 21, 34, 41, 49, 51):
                await at(second)
                seen.append((second, route53.checks.is_healthy(check.id)))
                world.outcomes["x"] = not 4 <= second < 34
        return seen

    assert run_virtual(main) == [
        (4, True), (11, True), (19, True), (21, False), (34, False), (41, False), (49, False), (51, True),
    ]  # fmt: skip


def test_a_slow_look_delays_only_itself() -> None:
    """Looks begin each interval, however long they take; one that takes longer is followed at once."""

    async def main() -> list[float]:
        world = World(look_s=4.0)
        route53 = open_route53(world)
        await route53.create_check(CheckConfig(type="HTTP", name="x", interval_s=10), "x")
        async with looking(route53):
            await at(25)
            world.look_s = 14.0
            await at(60)
        return [when for when, _ in world.asked]

    assert run_virtual(main) == [0, 10, 20, 30, 44, 58]


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("disabled", [True, False])
def test_disabled_means_healthy_and_inverted_turns_that_round(*, ok: bool, inverted: bool, disabled: bool) -> None:
    """A disabled check is not asked and counts as healthy, so an inverted disabled one as unhealthy."""

    async def main() -> tuple[bool, int]:
        world = World(outcomes={"x": ok})
        route53 = open_route53(world)
        config = CheckConfig(type="HTTP", name="x", threshold=1, inverted=inverted, disabled=disabled)
        check = await route53.create_check(config, "x")
        assert route53.checks.is_healthy(check.id) is not inverted  # nothing is known yet
        async with looking(route53):
            await at(1)
            return route53.checks.is_healthy(check.id), len(world.asked)

    assert run_virtual(main) == ((disabled or ok) != inverted, 0 if disabled else 1)


def test_checks_made_and_changed_meanwhile_are_looked_at() -> None:
    """A new one at once; one that is disabled, or gone, no more."""

    async def main() -> list[tuple[float, str]]:
        world = World()
        route53 = open_route53(world)
        async with looking(route53):
            await at(5)
            one = await route53.create_check(CheckConfig(type="HTTP", name="one", interval_s=10), "1")
            two = await route53.create_check(CheckConfig(type="HTTP", name="two", interval_s=10), "2")
            await at(20)
            await route53.update_check(one.id, update_config({"Disabled": "true"}, one.config))
            route53.checks.remove(two.id)
            await at(60)
        return [(round(when), name) for when, name in world.asked]

    assert run_virtual(main) == [(5, "one"), (5, "two"), (15, "one"), (15, "two")]


def test_a_calculated_check_counts_its_healthy_children() -> None:
    """HealthThreshold of them; 0 is always healthy, more than there are never; a disabled child is healthy."""

    async def main() -> list[bool]:
        route53 = open_route53()
        ids: list[str] = []
        for name, ok, disabled in (("a", True, False), ("b", False, False), ("c", False, True)):
            config = CheckConfig(type="HTTP", name=name, threshold=1, disabled=disabled)
            child = await route53.create_check(config, name)
            route53.checks.see(child, Outcome(ok, "said"))
            ids.append(child.id)
        found: list[bool] = []
        for wanted in range(5):
            config = CheckConfig(type="CALCULATED", children=tuple(ids), health_threshold=wanted)
            found.append(route53.checks.is_healthy((await route53.create_check(config, f"of{wanted}")).id))
        return found

    assert run_virtual(main) == [True, True, True, False, False]


def test_a_check_is_never_its_own_child() -> None:
    """Neither directly nor by way of another; a child has to be there."""

    async def main() -> list[str]:
        route53 = open_route53()
        first = await route53.create_check(CheckConfig(type="CALCULATED", health_threshold=1), "1")
        second = await route53.create_check(CheckConfig(type="CALCULATED", children=(first.id,)), "2")
        codes: list[str] = []
        for child in (first.id, second.id, "none"):
            with suppress(Route53Error):
                try:
                    await route53.update_check(first.id, update_config({"ChildHealthChecks": [child]}, first.config))
                except Route53Error as error:
                    codes.append(error.code)
                    raise
        return codes

    assert run_virtual(main) == ["InvalidInput", "InvalidInput", "NoSuchHealthCheck"]


async def judged(world: World, insufficient: str) -> tuple[Route53, HealthCheck]:
    route53 = open_route53(world)
    world.definitions["home"] = HOME_ALARM
    config = CheckConfig(type=ALARM.type, alarm=ALARM.alarm, insufficient=insufficient)
    return route53, await route53.create_check(config, "home")


@pytest.mark.parametrize(
    ("insufficient", "expected"),
    [
        ("LastKnownStatus", [True, False, False, True, True]),
        ("Healthy", [True, False, True, True, True]),
        ("Unhealthy", [False, False, False, True, False]),
    ],
)
def test_a_metric_moves_a_check_and_its_absence_as_was_said(insufficient: str, expected: list[bool]) -> None:
    """No data, over the threshold, a dark Region, under the threshold, dark again; new checks begin as healthy."""

    async def main() -> list[bool]:
        world = World()
        route53, check = await judged(world, insufficient)
        minute = int(route53.checks.clock.time()) // 60 * 60
        found: list[bool] = []
        async with looking(route53):
            for second, values, is_dark in ((1, {}, False), (61, {0: 1.0}, False), (71, {}, True)):
                world.values, world.is_dark = {minute + start: value for start, value in values.items()}, is_dark
                await at(second + 10)
                found.append(route53.checks.is_healthy(check.id))
            world.values, world.is_dark = {minute + 60: 0.0}, False
            await at(135)
            found.append(route53.checks.is_healthy(check.id))
            world.is_dark = True
            await at(150)
            found.append(route53.checks.is_healthy(check.id))
        return found

    assert run_virtual(main) == expected


def test_an_alarm_that_is_not_there_makes_no_check() -> None:
    """A Region that gives no answer is believed for now, and asked again."""

    async def main() -> tuple[str, bool, bool]:
        world = World()
        route53 = open_route53(world)
        with pytest.raises(Route53Error) as refused:
            await route53.create_check(ALARM, "1")
        world.is_dark = True
        check = await route53.create_check(ALARM, "1")
        before = check.definition is None
        world.is_dark, world.definitions["home"] = False, HOME_ALARM
        async with looking(route53):
            await at(1)
        return refused.value.code, before, check.definition == HOME_ALARM

    assert run_virtual(main) == ("InvalidInput", True, True)


def test_whole_periods_count_alone() -> None:
    """The minute under way says nothing yet; every period has to breach, and one that does not is enough for OK."""
    twice = HOME_ALARM.__class__("app", "m", "Sum", (), 60, 2, 1.0, "GreaterThanThreshold")
    cases = {
        "ALARM": {0: 2.0, 60: 2.0},
        "OK": {0: 2.0, 60: 1.0, 120: 2.0},
        "INSUFFICIENT_DATA": {60: 2.0, 120: 2.0},
    }
    assert [evaluate(twice, values, 150.0) for values in cases.values()] == list(cases)
    assert evaluate(twice, {}, 150.0) == "INSUFFICIENT_DATA"


def test_metrics_are_put_at_every_look() -> None:
    """Status and share of checkers; times where they are measured; children of calculated checks."""

    async def main() -> list[tuple[str, float, str]]:
        world = World(outcomes={"x": False})
        route53 = open_route53(world)
        config = CheckConfig(type="HTTP", name="x", threshold=1, measures_latency=True)
        child = await route53.create_check(config, "x")
        await route53.create_check(CheckConfig(type="CALCULATED", children=(child.id,), health_threshold=1), "y")
        async with looking(route53):
            await at(1)
        return sorted((name, value, unit) for _, name, value, unit in world.metrics)

    assert run_virtual(main) == [
        ("ChildHealthCheckHealthyCount", 1.0, "Count"),
        ("ConnectionTime", 1.5, "Milliseconds"),
        ("HealthCheckPercentageHealthy", 0.0, "Percent"),
        ("HealthCheckStatus", 0.0, "None"),
        ("HealthCheckStatus", 1.0, "None"),
        ("TimeToFirstByte", 2.5, "Milliseconds"),
    ]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (CheckConfig(type="FTP", name="x"), "InvalidInput"),
        (CheckConfig(type="RECOVERY_CONTROL"), "NotImplemented"),
        (CheckConfig(type="HTTP"), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", interval_s=20), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", threshold=11), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", port=70_000), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", search="y"), "InvalidInput"),
        (CheckConfig(type="HTTP_STR_MATCH", name="x"), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", path="/a b"), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", alarm=AlarmName("us-east-1", "a")), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", children=("a",)), "InvalidInput"),
        (CheckConfig(type="HTTP", name="x", regions=("us-east-1",)), "InvalidInput"),
        (CheckConfig(type="HTTP", address="192.0.2.1"), "NotImplemented"),
        (CheckConfig(type="HTTP", address="x"), "InvalidInput"),
        (CheckConfig(type="TCP", name="x"), "InvalidInput"),
        (CheckConfig(type="TCP", name="x", port=1, path="/"), "InvalidInput"),
        (CheckConfig(type="CALCULATED", name="x"), "InvalidInput"),
        (CheckConfig(type="CLOUDWATCH_METRIC"), "InvalidInput"),
        (CheckConfig(type="CLOUDWATCH_METRIC", alarm=ALARM.alarm, insufficient="x"), "InvalidInput"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: CheckConfig, code: str) -> None:
    """With AWS's code, and nothing is made."""

    async def main() -> tuple[str, int]:
        route53 = open_route53()
        with pytest.raises(Route53Error) as refused:
            await route53.create_check(config, "x")
        return refused.value.code, len(route53.checks.all())

    assert run_virtual(main) == (code, 0)


def test_a_snapshot_tells_how_many_looks_speak_against_a_status() -> None:
    """Two of three failed: still healthy, and not for long."""

    async def main() -> tuple[bool, int, int]:
        route53 = open_route53()
        check = await route53.create_check(CheckConfig(type="HTTP", name="x", threshold=3), "x")
        for _ in range(2):
            route53.checks.see(check, Outcome(False, "said"))
        (told,) = snapshot(route53)["checks"]
        return told["healthy"], told["in_a_row"], told["threshold"]

    assert run_virtual(main) == (True, 2, 3)


def test_a_look_that_nobody_foresaw_ends_no_other() -> None:
    """It is told in the log, and looked again."""

    async def main() -> list[str]:
        world = World()
        route53 = open_route53(world)
        for name in ("broken", "whole"):
            await route53.create_check(CheckConfig(type="HTTP", name=name, interval_s=10), name)
        plain = world.ask

        async def ask(config: CheckConfig) -> Outcome:
            outcome = await plain(config)
            if config.name == "broken":
                raise LookupError
            return outcome

        world.ask = ask  # type: ignore[method-assign]
        async with looking(route53):
            await at(15)
        return sorted(name for _, name in world.asked)

    assert run_virtual(main) == ["broken", "broken", "whole", "whole"]
