"""Whether a metric alarm is OK, in ALARM or without enough data: CloudWatch's rules for data points and their gaps.

The rules, as its guide gives them: real data points of the evaluation range are used before anything is made up for
missing ones; as few as possible are made up; a breaching point that is as old as DatapointsToAlarm, with nothing but
breaching and missing ones after it, is an alarm however few there are (the guide's "premature alarm state", which keeps
a lone recent one from being one). Where the guide's sentence and its tables differ, the tables are followed: a real
point within the threshold, anywhere in the range, takes that rule away. Pure.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localcloud.services.cloudwatch.watch import Datapoint, State, Watch

__all__ = ["Verdict", "evaluate", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an evaluation found. `considered`: the real data points that it is made of, the newest first.

    `filled`: how many were made up. `starts`: the newest periods, as many as EvaluationPeriods, the newest first.
    """

    state: State
    considered: tuple[Datapoint, ...]
    filled: int
    starts: tuple[int, ...]


def evaluate(definition: Watch, datapoints: Sequence[Datapoint], now_s: float, *, current: State) -> State:
    """The state at `now_s` (epoch seconds) of an alarm that is in `current` until then.

    `datapoints`: in any order; those outside the evaluation range are passed over.
    """
    return judge(definition, datapoints, now_s, current=current).state


def judge(watch: Watch, datapoints: Sequence[Datapoint], now_s: float, *, current: State) -> Verdict:
    """The same, with what it is made of."""
    starts = watch.starts(now_s)
    found = {point.start_s: point for point in datapoints}
    real = [found[start_s] for start_s in starts if start_s in found]
    considered = real[: watch.evaluation_periods]
    filled = watch.evaluation_periods - len(considered)
    state = _decide(watch, considered, now_s, current=current)
    return Verdict(state, tuple(considered), filled, tuple(starts[: watch.evaluation_periods]))


def _decide(watch: Watch, considered: Sequence[Datapoint], now_s: float, *, current: State) -> State:
    samples = sum(point.samples for point in considered)
    if considered and samples < watch.least_samples:
        return current
    breaching = [point for point in considered if watch.breaches(point.value)]
    filled = watch.evaluation_periods - len(considered)
    if watch.treatment == "breaching":
        return "ALARM" if len(breaching) + filled >= watch.needed else "OK"
    if len(breaching) >= watch.needed:
        return "ALARM"
    if not filled or watch.treatment == "notBreaching" or len(breaching) < len(considered):
        return "OK"
    return _decide_gaps(watch, breaching, now_s, current=current)


def _decide_gaps(watch: Watch, breaching: Sequence[Datapoint], now_s: float, *, current: State) -> State:
    """Too few real points, each of them breaching, and the gaps count as nothing."""
    if watch.treatment == "ignore":
        return current
    if not breaching:
        return "INSUFFICIENT_DATA"
    age = 1 + (watch.starts(now_s)[0] - breaching[-1].start_s) // watch.period_s
    return "ALARM" if age >= watch.needed else current
