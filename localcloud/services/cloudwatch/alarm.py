"""One alarm: its definition as somebody put it, and the state that it is in. Knows no request and no action's payload.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
and API_CompositeAlarm.html there
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from localcloud.services.cloudwatch.reasons import CREATED
from localcloud.services.cloudwatch.rules import Rule
from localcloud.services.cloudwatch.watch import State, Watch

__all__ = ["ACTIONS", "Alarm", "AlarmState", "Definition", "Kind", "Suppressor"]

Kind = Literal["MetricAlarm", "CompositeAlarm"]
ACTIONS: Final[Mapping[State, str]] = {  # the member that holds a state's actions
    "OK": "OKActions",
    "ALARM": "AlarmActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


@dataclass(frozen=True, slots=True)
class Suppressor:
    """What keeps a composite alarm from acting: another alarm, by name or ARN, and the two periods in seconds."""

    alarm: str
    wait_s: int
    extension_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An alarm as it was put: a metric alarm has a `watch`, a composite one a `rule`.

    `described`: its members in the API's names and types, as DescribeAlarms tells them. `tags` of its making.
    """

    name: str
    arn: str
    watch: Watch | None = None
    rule: Rule | None = None
    suppressor: Suppressor | None = None
    actions_enabled: bool = True
    actions: Mapping[State, tuple[str, ...]] = field(default_factory=dict[State, tuple[str, ...]])
    described: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def kind(self) -> Kind:
        """As AlarmType has it."""
        return "MetricAlarm" if self.rule is None else "CompositeAlarm"

    @property
    def region(self) -> str:
        """Its Region."""
        return self.arn.split(":")[3]

    @property
    def description(self) -> str | None:
        """AlarmDescription, None where it has none."""
        return self.described.get("AlarmDescription")

    def enabled(self, *, enabled: bool) -> Definition:
        """The same, with its actions switched."""
        return replace(self, actions_enabled=enabled, described={**self.described, "ActionsEnabled": enabled})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmState:
    """A state and why. `reason_data` is JSON, "" where there is none; dates in epoch seconds.

    `since_s`: of the change of `value`. `updated_s`: of the last change of anything here. `suppressed_by`: WaitPeriod,
    ExtensionPeriod or Alarm while its actions are kept back, else "".
    """

    value: State = "INSUFFICIENT_DATA"
    reason: str = CREATED
    reason_data: str = ""
    since_s: float
    updated_s: float
    suppressed_by: str = ""

    @property
    def suppressed_reason(self) -> str:
        """ActionsSuppressedReason."""
        return f"Actions suppressed by {self.suppressed_by}" if self.suppressed_by else ""


class Alarm:
    """An alarm with its present state. `configured_s`: when it was last put; `until_s`: the end of a waiting period."""

    def __init__(self, definition: Definition, now_s: float) -> None:
        self.definition = definition
        self.configured_s = now_s
        self.state = AlarmState(since_s=now_s, updated_s=now_s)
        self.tags = dict(definition.tags)
        self.looked_at = -1  # the last step of its clock at which it was evaluated
        self.until_s: float | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.definition.arn
