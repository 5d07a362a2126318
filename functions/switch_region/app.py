"""Multi-Region: moves traffic on a person's approval, and tells the alarm that traffic follows which Region is home."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.failover import DynamoDbDrillStore, DynamoDbMarkStore, HttpProber
from sluiceway.aws.survey import AwsSurveyor
from sluiceway.aws.wire import Wire
from sluiceway.codec import switch
from sluiceway.errors import Misconfigured
from sluiceway.flows.switch import SwitchDesk, switch_region
from sluiceway.ports import SystemClock
from sluiceway.ports.standby import Workload
from sluiceway.region.records import open_records
from sluiceway.steps.gauge import EmbeddedGauge
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[SwitchDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    environ, clock = settings.environ(), SystemClock()
    other = settings.text("OTHER_REGION")
    doubts_table, url = settings.text("REGIONS_TABLE"), settings.url("PROBE_URL")
    namespace = settings.text("POWERTOOLS_METRICS_NAMESPACE")
    async with Wire.open(environ) as wire, open_records(environ, wire, clock=clock) as records:
        if other not in records.regions[1:]:
            raise Misconfigured(f"{other} is no other Region of the group", what="OTHER_REGION")
        yield SwitchDesk(
            terms=records.terms,
            home=records.home,
            doubts=records.doubts,
            marks=DynamoDbMarkStore(records.tables(), group=records.group, region=records.region, clock=clock),
            prober=HttpProber(url),
            drills=DynamoDbDrillStore(Table(wire, doubts_table), group=records.group, region=records.region),
            gauge=EmbeddedGauge(namespace, clock, resolution_s=60),
            clock=clock,
            group=records.group,
            region=records.region,
            other=other,
            workload=_workload(wire),
            surveyor=AwsSurveyor(
                alarms=_names("SURVEY_ALARMS"),
                checks=_names("SURVEY_CHECKS"),
                plan=settings.text("SURVEY_PLAN", default=" ").strip(),
            ),
        )


def _workload(wire: Wire) -> Workload | None:
    """What rests in a pilot light; None everywhere else."""
    mappings, rules = _names("RESTING_MAPPINGS"), _names("RESTING_RULES")
    if not mappings and not rules:
        return None
    from sluiceway.aws.standby import AwsWorkload  # noqa: PLC0415 - a pilot light's alone: no other loads its services

    return AwsWorkload(wire, mappings=mappings, rules=rules)


def _names(setting: str) -> list[str]:
    """The names that a setting lists, with commas between them; none where it is empty."""
    return [name for name in settings.text(setting, default=",").split(",") if name.strip()]


handler = App(switch_region, source=switch, steps=[log_context, metrics, trace], lifespan=lifespan)
