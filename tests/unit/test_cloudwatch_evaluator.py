"""The task that evaluates alarms, on a virtual clock: when it looks, what it sets off, what it keeps back."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from localcloud.clock import Clock, LoopClock, run_virtual
from localcloud.services.cloudwatch.alarms import Alarms, AlarmView
from localcloud.services.cloudwatch.evaluator import LAG_S, Evaluator
from localcloud.services.cloudwatch.members import Members
from localcloud.services.cloudwatch.model import MetricId, Metrics, Stats
from localcloud.services.cloudwatch.notices import SnsNotice
from localcloud.services.cloudwatch.outlet import Refused
from localcloud.services.cloudwatch.putting import read_composite_alarm, read_metric_alarm

REGION = "us-west-2"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:told"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:acts"
START = 1_800_000_000.0  # a whole minute
CHANGES = "CloudWatch Alarm State Change"


class Hearing:
    """An outlet that keeps what it is told, with the second at which it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.published: list[tuple[float, str, SnsNotice]] = []
        self.invoked: list[tuple[float, str, dict[str, Any]]] = []
        self.emitted: list[tuple[float, str, str, Mapping[str, Any]]] = []
        self.refusals: list[Refused] = []

    def _at(self) -> float:
        return round(self._clock.time() - START, 3)

    def publish(self, topic_arn: str, notice: SnsNotice, *, alarm_arn: str) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.published.append((self._at(), topic_arn, notice))

    async def invoke(self, function_arn: str, payload: bytes, *, alarm_arn: str) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.invoked.append((self._at(), function_arn, json.loads(payload)))

    def emit(self, alarm_arn: str, detail_type: str, detail: Mapping[str, Any]) -> None:
        self.emitted.append((self._at(), alarm_arn.rpartition(":")[2], detail_type, detail))

    def states(self) -> list[tuple[float, str, str]]:
        """When which alarm came into which state."""
        return [(at, name, detail["state"]["value"]) for at, name, kind, detail in self.emitted if kind == CHANGES]


class World:
    """Alarms that are evaluated on the running loop's time."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), epoch_s=START)
        self.metrics = Metrics(self.clock, region="us-east-1")
        self.alarms = Alarms(clock=self.clock)
        self.heard = Hearing(self.clock)
        self.seen: list[AlarmView] = []
        self.looks: list[float] = []
        self.alarms.listen(self.seen.append)
        self.evaluator = Evaluator(self.alarms, self.metrics, clock=self.clock, outlet=self.heard)

    def metric(self, name: str = "m", **changes: Any) -> None:
        given: dict[str, Any] = {
            "AlarmName": name, "Namespace": "app", "MetricName": name, "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 0, "ComparisonOperator": "GreaterThanThreshold",
        }  # fmt: skip
        self.alarms.put(read_metric_alarm(Members({**given, **changes}), REGION))

    def composite(self, name: str, rule: str, **changes: Any) -> None:
        self.alarms.put(read_composite_alarm(Members({"AlarmName": name, "AlarmRule": rule, **changes}), REGION))

    def measure(self, name: str = "m", value: float = 1.0, *, is_fine: bool = False) -> None:
        stats = Stats(1.0, value, value, value)
        self.metrics.in_region(REGION).add(MetricId("app", name), stats, is_fine=is_fine)

    def set(self, name: str, value: Any) -> None:
        alarm = self.alarms.find(name, REGION)
        assert alarm is not None
        self.alarms.change(alarm, value, reason="set", data="")

    def state(self, name: str) -> str:
        alarm = self.alarms.find(name, REGION)
        assert alarm is not None
        return alarm.state.value

    def past(self, item_type: str) -> list[tuple[str, str]]:
        return [(item.name, item.summary) for item in self.alarms.past if item.item_type == item_type]

    async def until(self, second: float) -> None:
        """Let time go on to so many seconds after the start."""
        await asyncio.sleep(START + second - self.clock.time())


def on_time(story: Callable[[World], Awaitable[None]]) -> World:
    """Play `story` while the evaluator runs."""

    async def play() -> World:
        world = World()
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(world.evaluator.run())
                await story(world)
                task.cancel()
        return world

    return run_virtual(play)


def test_alarms_are_looked_at_at_once_and_then_on_their_minute() -> None:
    """A new one when it is put; then a moment after each minute has ended, so what was measured in it has come."""

    async def story(world: World) -> None:
        await world.until(20)
        world.metric(TreatMissingData="notBreaching")
        await world.until(59.9)
        world.measure()
        await world.until(130)

    assert on_time(story).heard.states() == [(20, "m", "OK"), (60 + LAG_S, "m", "ALARM")]


def test_high_resolution_alarms_are_looked_at_every_ten_seconds() -> None:
    """With 2 of 3 periods of ten seconds: the second breach makes the alarm, the next look after it."""

    async def story(world: World) -> None:
        world.metric(Period=10, EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData="ignore")
        for second, value in ((5, 0), (15, 1), (25, 1), (35, 0), (45, 0)):
            await world.until(second)
            world.measure(value=value, is_fine=True)
        await world.until(300)

    assert on_time(story).heard.states() == [
        (10 + LAG_S, "m", "OK"),
        (30 + LAG_S, "m", "ALARM"),
        (50 + LAG_S, "m", "OK"),
    ]


def test_it_sleeps_where_nothing_is_due() -> None:
    """Without alarms it wakes for none; with one of a minute's period, once a minute."""
    counts: list[int] = []

    async def story(world: World) -> None:
        look = world.evaluator.look

        def count(now_s: float) -> None:
            world.looks.append(now_s)
            look(now_s)

        world.evaluator.look = count  # type: ignore[method-assign]
        await world.until(3600)
        counts.append(len(world.looks))
        world.metric()
        await world.until(7200)
        counts.append(len(world.looks))

    on_time(story)
    assert counts[0] <= 1
    assert 60 <= counts[1] - counts[0] <= 63


def test_an_action_is_done_at_a_change_of_state_alone() -> None:
    """To the topic of that state, once for each change, with what happened in the history."""
    other = TOPIC.replace("told", "well")

    async def story(world: World) -> None:
        world.metric(AlarmActions=[TOPIC], OKActions=[other], TreatMissingData="notBreaching")
        for second in (70, 130, 190):
            await world.until(second)
            world.measure()
        await world.until(600)

    world = on_time(story)
    assert [(at, arn) for at, arn, _ in world.heard.published] == [
        (0, other), (120 + LAG_S, TOPIC), (420 + LAG_S, other),
    ]  # fmt: skip
    assert world.past("StateUpdate") == [
        ("m", "Alarm updated from INSUFFICIENT_DATA to OK"),
        ("m", "Alarm updated from OK to ALARM"),
        ("m", "Alarm updated from ALARM to OK"),
    ]
    assert world.past("Action") == [("m", f"Successfully executed action {arn}") for arn in (other, TOPIC, other)]
    assert [(view.state, view.is_gone) for view in world.seen] == [
        ("INSUFFICIENT_DATA", False), ("OK", False), ("ALARM", False), ("OK", False),
    ]  # fmt: skip


def test_a_notice_is_json_as_cloudwatch_sends_it() -> None:
    """Every member of the schema, in its order, and the subject with the Region's name."""

    async def story(world: World) -> None:
        world.metric(
            "queue-age", AlarmDescription="too old", AlarmActions=[TOPIC], Unit="Seconds", DatapointsToAlarm=1,
            Dimensions=[{"Name": "Queue", "Value": "q"}], EvaluationPeriods=2,
        )  # fmt: skip
        await world.until(5)
        world.set("queue-age", "ALARM")
        await world.until(6)

    ((_, _, notice),) = on_time(story).heard.published
    assert notice.subject == 'ALARM: "queue-age" in US West (Oregon)'
    told = json.loads(notice.message)
    assert list(told.items()) == list({
        "AlarmName": "queue-age",
        "AlarmDescription": "too old",
        "AWSAccountId": "123456789012",
        "AlarmConfigurationUpdatedTimestamp": "2027-01-15T08:00:00.000+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": "set",
        "StateChangeTime": "2027-01-15T08:00:05.000+0000",
        "Region": "US West (Oregon)",
        "AlarmArn": f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:queue-age",
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "queue-age",
            "Namespace": "app",
            "StatisticType": "Statistic",
            "Statistic": "SUM",
            "Unit": "Seconds",
            "Dimensions": [{"value": "q", "name": "Queue"}],
            "Period": 60,
            "EvaluationPeriods": 2,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 0.0,
            "TreatMissingData": "missing",
            "EvaluateLowSampleCountPercentile": "",
        },
    }.items())  # fmt: skip


def test_a_notice_tells_of_percentiles_and_of_n_out_of_n() -> None:
    """As ExtendedStatistic; DatapointsToAlarm is N where the alarm does not say."""

    async def story(world: World) -> None:
        percentile = {"ExtendedStatistic": "p99", "Statistic": None, "EvaluateLowSampleCountPercentile": "ignore"}
        world.metric(AlarmActions=[TOPIC], EvaluationPeriods=4, **percentile)
        await world.until(5)
        world.set("m", "ALARM")
        await world.until(6)

    ((_, _, notice),) = on_time(story).heard.published
    trigger = json.loads(notice.message)["Trigger"]
    assert (trigger["StatisticType"], trigger["ExtendedStatistic"]) == ("ExtendedStatistic", "p99")
    assert (trigger["DatapointsToAlarm"], trigger["EvaluateLowSampleCountPercentile"]) == (4, "ignore")


def test_a_long_name_leaves_the_subject_its_length() -> None:
    """A hundred characters at most, of ASCII."""

    async def story(world: World) -> None:
        world.metric("\u00fc" * 200, AlarmActions=[TOPIC])
        world.set("\u00fc" * 200, "ALARM")
        await world.until(1)

    ((_, _, notice),) = on_time(story).heard.published
    assert (len(notice.subject), notice.subject.isascii(), notice.subject[:9]) == (100, True, 'ALARM: "?')


def test_a_function_gets_the_documented_event() -> None:
    """Its source, alarm, both states with their reasons, and the metric."""

    async def story(world: World) -> None:
        world.metric(AlarmActions=[FUNCTION])
        await world.until(30)
        world.measure()
        await world.until(90)

    ((at, arn, event),) = on_time(story).heard.invoked
    assert (at, arn) == (60 + LAG_S, FUNCTION)
    data = event.pop("alarmData")
    assert event == {
        "source": "aws.cloudwatch",
        "alarmArn": f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:m",
        "accountId": "123456789012",
        "time": "2027-01-15T08:01:01.000+0000",
        "region": REGION,
    }
    (metric,) = data["configuration"].pop("metrics")
    assert (metric["returnData"], metric["metricStat"]) == (
        True,
        {"metric": {"namespace": "app", "name": "m", "dimensions": {}}, "period": 60, "stat": "Sum"},
    )
    reason = "Threshold Crossed: 1 datapoint [1.0 (15/01/27 08:00:00)] was greater than the threshold (0.0)."
    state = data.pop("state")
    assert (state["value"], state["reason"], json.loads(state["reasonData"])["recentDatapoints"]) == (
        "ALARM", reason, [1.0],
    )  # fmt: skip
    assert data == {
        "alarmName": "m",
        "previousState": {
            "value": "INSUFFICIENT_DATA",
            "reason": "Unchecked: Initial alarm creation",
            "timestamp": "2027-01-15T08:00:00.000+0000",
        },
        "configuration": {},
    }


def test_a_busy_lambda_is_asked_again_and_a_refusing_one_is_not() -> None:
    """After 1, 2, 4 seconds; the history has the end."""

    async def story(world: World) -> None:
        world.metric(AlarmActions=[FUNCTION])
        world.heard.refusals += [Refused("busy", retry=True)] * 3
        world.set("m", "ALARM")
        await world.until(20)
        world.set("m", "OK")
        world.heard.refusals += [Refused("not authorized")]
        world.set("m", "ALARM")
        await world.until(40)

    world = on_time(story)
    assert [at for at, _, _ in world.heard.invoked] == [7]
    assert world.past("Action") == [
        ("m", f"Successfully executed action {FUNCTION}"),
        ("m", f'Failed to execute action {FUNCTION}. Received error: "not authorized"'),
    ]


def test_no_more_than_so_many_wait_for_a_busy_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one fails, in the history."""
    monkeypatch.setattr("localcloud.services.cloudwatch.evaluator.MAX_WAITING", 2)

    async def story(world: World) -> None:
        world.metric(AlarmActions=[f"{FUNCTION}{number}" for number in range(3)])
        await world.until(5)
        world.heard.refusals += [Refused("busy", retry=True)] * 3
        world.set("m", "ALARM")
        await world.until(20)

    world = on_time(story)
    assert world.past("Action") == [
        ("m", f'Failed to execute action {FUNCTION}2. Received error: "busy"'),
        ("m", f"Successfully executed action {FUNCTION}0"),
        ("m", f"Successfully executed action {FUNCTION}1"),
    ]


def test_a_topic_that_refuses_is_in_the_history() -> None:
    """And the other actions of the state are done."""

    async def story(world: World) -> None:
        world.metric(AlarmActions=[TOPIC, f"{TOPIC}2"])
        world.heard.refusals += [Refused("Topic does not exist")]
        world.set("m", "ALARM")
        await world.until(1)

    assert on_time(story).past("Action") == [
        ("m", f'Failed to execute action {TOPIC}. Received error: "Topic does not exist"'),
        ("m", f"Successfully executed action {TOPIC}2"),
    ]


def test_disabled_actions_are_not_done_and_not_made_up_for() -> None:
    """Events tell of the state all the same; enabling again does nothing by itself."""

    async def story(world: World) -> None:
        world.metric(AlarmActions=[TOPIC], ActionsEnabled=False)
        await world.until(5)
        world.set("m", "ALARM")
        world.alarms.enable(["m", "no"], REGION, enabled=True)
        await world.until(6)

    world = on_time(story)
    assert (world.heard.published, world.heard.states()) == ([], [(5, "m", "ALARM")])


def test_a_set_state_lasts_until_the_next_look() -> None:
    """SetAlarmState is temporary for a metric alarm."""

    async def story(world: World) -> None:
        world.metric(TreatMissingData="notBreaching")
        await world.until(10)
        world.set("m", "ALARM")
        await world.until(90)

    assert on_time(story).heard.states() == [(0, "m", "OK"), (10, "m", "ALARM"), (60 + LAG_S, "m", "OK")]


def test_events_tell_of_definitions_and_states() -> None:
    """Create, update and delete, with the definition, and the one before."""

    async def story(world: World) -> None:
        world.metric(AlarmDescription="a")
        world.metric(AlarmDescription="b", Threshold=5)
        world.alarms.delete(["m"], REGION)
        await world.until(1)

    events = [(kind, detail) for _, _, kind, detail in on_time(story).heard.emitted]
    assert [(kind, detail["operation"]) for kind, detail in events] == [
        ("CloudWatch Alarm Configuration Change", operation) for operation in ("create", "update", "delete")
    ]
    created, updated = events[0][1], events[1][1]
    assert (updated["configuration"]["threshold"], updated["previousConfiguration"]["threshold"]) == (5.0, 0.0)
    metrics = created["configuration"].pop("metrics")
    assert len(metrics) == 1
    assert created == {
        "alarmName": "m",
        "operation": "create",
        "state": {"value": "INSUFFICIENT_DATA", "timestamp": "2027-01-15T08:00:00.000+0000"},
        "configuration": {
            "evaluationPeriods": 1,
            "threshold": 0.0,
            "comparisonOperator": "GreaterThanThreshold",
            "treatMissingData": "missing",
            "description": "a",
            "alarmName": "m",
            "actionsEnabled": True,
            "timestamp": "2027-01-15T08:00:00.000+0000",
            "okActions": [],
            "alarmActions": [],
            "insufficientDataActions": [],
        },
    }


# ---------------------------------------------------------------------- composite alarms


def test_states_propagate_through_composite_alarms() -> None:
    """A composite of composites follows in the same moment, in the order of cause; its reason names the child."""

    async def story(world: World) -> None:
        world.metric("a")
        world.metric("b")
        world.composite("both", "ALARM(a) AND ALARM(b)", AlarmActions=[TOPIC])
        world.composite("outer", f'ALARM("arn:aws:cloudwatch:{REGION}:123456789012:alarm:both") OR FALSE')
        await world.until(10)
        for name, value in (("a", "ALARM"), ("b", "ALARM"), ("a", "OK")):
            world.set(name, value)
        await world.until(20)

    world = on_time(story)
    assert world.heard.states() == [
        (0, "both", "OK"),
        (0, "outer", "OK"),
        (10, "a", "ALARM"),
        (10, "b", "ALARM"),
        (10, "both", "ALARM"),
        (10, "outer", "ALARM"),
        (10, "a", "OK"),
        (10, "both", "OK"),
        (10, "outer", "OK"),
    ]
    ((_, _, notice),) = world.heard.published
    told = json.loads(notice.message)
    arn = f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:"
    assert told["NewStateReason"] == f"{arn}b transitioned to ALARM at Friday 15 January, 2027 08:00:10 UTC"
    assert (told["AlarmRule"], "Trigger" in told) == ("ALARM(a) AND ALARM(b)", False)
    at = "2027-01-15T08:00:10.000+0000"
    assert told["TriggeringChildren"] == [{"Arn": f"{arn}b", "State": {"Value": "ALARM", "Timestamp": at}}]


def test_a_new_composite_alarm_says_that_it_was_made() -> None:
    """And an updated one that it was updated; its children are in the reason's data."""

    async def story(world: World) -> None:
        world.metric("a")
        world.composite("c", "OK(a)")
        world.composite("c", "NOT OK(a)")
        await world.until(1)

    world = on_time(story)
    states = [item for item in world.alarms.past if item.item_type == "StateUpdate" and item.name == "c"]
    arn = f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:c"
    reasons = [json.loads(item.data)["newState"]["stateReason"] for item in states]
    assert reasons == [
        f"{arn} was created and its alarm rule evaluates to OK",
        f"{arn} was updated and its alarm rule evaluates to ALARM",
    ]
    triggering = json.loads(states[0].data)["newState"]["stateReasonData"]["triggeringAlarms"]
    assert [each["state"]["value"] for each in triggering] == ["INSUFFICIENT_DATA"]


SUPPRESSED: dict[str, Any] = {
    "AlarmActions": [TOPIC],
    "OKActions": [f"{TOPIC}-ok"],
    "ActionsSuppressor": "quiet",
    "ActionsSuppressorWaitPeriod": 20,
    "ActionsSuppressorExtensionPeriod": 30,
}
STORIES = [  # Create_Composite_Alarm_Suppression.html, examples 1 to 6, a unit of time being ten seconds
    ([(20, "a", "ALARM")], [(40, TOPIC)]),
    ([(20, "a", "ALARM"), (30, "quiet", "ALARM")], []),
    ([(20, "a", "ALARM"), (30, "a", "OK")], [(50, f"{TOPIC}-ok")]),
    ([(10, "quiet", "ALARM"), (20, "a", "ALARM")], []),
    ([(20, "a", "ALARM"), (30, "quiet", "ALARM"), (60, "quiet", "OK")], [(90, TOPIC)]),
    ([(20, "a", "ALARM"), (30, "quiet", "ALARM"), (60, "quiet", "OK"), (70, "a", "OK")], [(90, f"{TOPIC}-ok")]),
]


@pytest.mark.parametrize(("steps", "done"), STORIES)
def test_a_suppressor_keeps_actions_back(steps: list[tuple[int, str, str]], done: list[tuple[int, str]]) -> None:
    """The guide's examples; states and events come at once whatever the suppressor is in."""

    async def story(world: World) -> None:
        world.composite("a", "FALSE")
        world.composite("quiet", "FALSE")
        world.composite("c", "ALARM(a)", **SUPPRESSED)
        await world.until(100)  # the OK of its making waits as well
        world.heard.published.clear()
        for second, name, value in steps:
            await world.until(100 + second)
            world.set(name, value)
        await world.until(400)

    world = on_time(story)
    assert [(at - 100, arn) for at, arn, _ in world.heard.published] == done
    asked = [(at - 100, value) for at, name, value in world.heard.states() if name == "c" and at > 0]
    assert asked == [(second, value) for second, name, value in steps if name == "a"]


def test_what_keeps_actions_back_is_told() -> None:
    """WaitPeriod, Alarm, ExtensionPeriod, and nothing again."""
    told: list[str] = []

    async def story(world: World) -> None:
        world.composite("a", "FALSE")
        world.composite("quiet", "FALSE")
        world.composite("c", "ALARM(a)", **SUPPRESSED)
        await world.until(25)
        world.set("a", "ALARM")
        alarm = world.alarms.find("c", REGION)
        assert alarm is not None
        told.append(alarm.state.suppressed_by)
        for second, value in ((30, "ALARM"), (40, "OK")):
            await world.until(second)
            world.set("quiet", value)
            told.append(alarm.state.suppressed_by)
        await world.until(71)
        told.append(alarm.state.suppressed_by)

    world = on_time(story)
    assert told == ["WaitPeriod", "Alarm", "ExtensionPeriod", ""]
    (detail,) = [detail for at, name, _, detail in world.heard.emitted if (at, name) == (25, "c")]
    assert detail["state"]["actionsSuppressedReason"] == "Actions suppressed by WaitPeriod"
    configuration = {"alarmRule": "ALARM(a)", "actionsSuppressor": "quiet"}
    periods = {"actionsSuppressorWaitPeriod": 20, "actionsSuppressorExtensionPeriod": 30}
    assert detail["configuration"] == configuration | periods


def test_a_suppressor_without_waiting_lets_actions_through_at_once() -> None:
    """With periods of 0 seconds only its ALARM keeps anything back."""
    periods = {"ActionsSuppressorWaitPeriod": 0, "ActionsSuppressorExtensionPeriod": 0}

    async def story(world: World) -> None:
        world.composite("a", "FALSE")
        world.composite("quiet", "FALSE")
        world.composite("c", "ALARM(a)", **SUPPRESSED | periods)
        await world.until(10)
        world.heard.published.clear()
        world.set("a", "ALARM")
        assert [item["state"].get("actionsSuppressedBy") for item in changes(world, "c")] == [None, None]
        await world.until(20)
        world.set("quiet", "ALARM")
        world.set("a", "OK")
        await world.until(30)
        world.set("quiet", "OK")
        await world.until(40)

    def changes(world: World, name: str) -> list[Mapping[str, Any]]:
        told = [errand for errand in world.alarms.errands if getattr(errand, "detail_type", "") == CHANGES]
        before = [detail for _, found, kind, detail in world.heard.emitted if (found, kind) == (name, CHANGES)]
        return before + [errand.detail for errand in told if errand.arn.endswith(f":{name}")]

    heard = on_time(story).heard
    assert [(at, arn) for at, arn, _ in heard.published] == [(10, TOPIC), (30, f"{TOPIC}-ok")]


def test_a_suppressor_that_was_never_in_alarm_does_not_extend_the_wait() -> None:
    """Its other changes mean nothing while the composite alarm waits for it."""

    async def story(world: World) -> None:
        world.composite("a", "FALSE")
        world.metric("quiet")
        world.composite("c", "ALARM(a)", **SUPPRESSED)
        await world.until(70)
        world.heard.published.clear()
        world.set("a", "ALARM")
        world.set("quiet", "OK")
        await world.until(200)

    assert [(at, arn) for at, arn, _ in on_time(story).heard.published] == [(90, TOPIC)]


def test_an_update_that_changes_no_state_keeps_the_reason() -> None:
    """Why a composite alarm is in its state is why it came into it."""

    async def story(world: World) -> None:
        world.composite("c", "FALSE")
        world.composite("c", "NOT TRUE")

    (view,) = on_time(story).alarms.snapshot()
    assert view.reason.endswith("was created and its alarm rule evaluates to OK")


def test_another_suppressor_ends_the_period_of_the_first() -> None:
    """If the suppressor is replaced, a period that runs is discarded."""

    async def story(world: World) -> None:
        world.composite("a", "FALSE")
        world.composite("quiet", "FALSE")
        world.composite("c", "ALARM(a)", **SUPPRESSED)
        await world.until(30)
        world.heard.published.clear()
        world.set("a", "ALARM")
        world.composite("c", "ALARM(a)", **SUPPRESSED | {"ActionsSuppressor": "a"})
        await world.until(100)

    assert on_time(story).heard.published == []


def test_random_stories_leave_every_composite_as_its_rule_says() -> None:
    """After any sequence of states, each composite alarm has the value of its rule over its children's states."""
    rng = random.Random(7)
    rules = {
        "c1": ("ALARM(a) AND NOT OK(b)", lambda s: s["a"] == "ALARM" and s["b"] != "OK"),
        "c2": ("ALARM(c1) OR INSUFFICIENT_DATA(b)", lambda s: s["c1"] == "ALARM" or s["b"] == "INSUFFICIENT_DATA"),
        "c3": ("ALARM(c1) AND OK(c2)", lambda s: s["c1"] == "ALARM" and s["c2"] == "OK"),
    }

    async def story(world: World) -> None:
        world.metric("a")
        world.metric("b")
        for name, (rule, _) in rules.items():
            world.composite(name, rule)
        for _ in range(200):
            world.set(rng.choice("ab"), rng.choice(("OK", "ALARM", "INSUFFICIENT_DATA")))
            states = {view.name: view.state for view in world.alarms.snapshot()}
            for name, (_, holds) in rules.items():
                assert states[name] == ("ALARM" if holds(states) else "OK")

    on_time(story)
