"""A survey of a pair through stubs of aioboto3's clients: what is told, and what stands where no answer comes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from sluiceway.aws.survey import WITHIN_S, AwsSurveyor
from sluiceway.errors import Misconfigured
from tests.unit.region_setup import virtual

AT = datetime(2026, 11, 28, 3, 40, tzinfo=UTC)
PLAN = "arn:aws:arc-region-switch::123456789012:plan/sluiceway:abc123"
ANSWERS: dict[str, Any] = {
    "describe_alarms": {
        "MetricAlarms": [{"AlarmName": "g-other-region-down", "StateValue": "ALARM", "StateUpdatedTimestamp": AT}],
        "CompositeAlarms": [],
    },
    "get_health_check_status": {
        "HealthCheckObservations": [
            {"StatusReport": {"Status": "Success: HTTP Status Code 200, OK"}},
            {"StatusReport": {"Status": "Failure: Connection timed out."}},
        ]
    },
    "list_plan_executions": {
        "items": [
            {
                "executionId": "e1",
                "executionState": "pendingManualApproval",
                "executionAction": "activate",
                "executionRegion": "us-west-2",
                "startTime": AT,
            }
        ]
    },
}


class Client:
    """One service's: what it is asked must be what botocore's model of the operation takes."""

    def __init__(self, service: str, clients: Clients) -> None:
        self._model = boto3.client(service, region_name="us-west-2")
        self._service = service
        self._clients = clients

    def __getattr__(self, name: str) -> Any:
        async def ask(**given: Any) -> Any:
            operation = self._model.meta.method_to_api_mapping[name]
            shape = self._model.meta.service_model.operation_model(operation).input_shape
            assert ParamValidator().validate(given, shape).generate_report() == ""
            self._clients.asked.append((name, given))
            answer = self._clients.troubles.get(self._service, ANSWERS[name])
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                await asyncio.sleep(3600)
            return answer

        return ask


class Clients:
    """As `Sdk`. `troubles`: by service, an error to raise, or None for no answer."""

    def __init__(self, **troubles: Any) -> None:
        self.troubles = troubles
        self.asked: list[tuple[str, Any]] = []
        self.is_open = False

    async def client(self, service: str) -> Any:
        assert self.is_open
        return Client(service, self)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Clients]:
        self.is_open = True
        yield self
        self.is_open = False


def surveyor(clients: Clients) -> AwsSurveyor:
    return AwsSurveyor(
        alarms=["g-other-region-down", "g-secondary-is-home"], checks=["c1"], plan=PLAN, open_clients=clients.open
    )


TOLD: dict[str, Any] = {
    "alarms": {"g-other-region-down": {"state": "ALARM", "since": "2026-11-28T03:40:00+00:00"}},
    "checks": {"c1": {"healthy": 1, "of": 2}},
    "executions": [
        {
            "id": "e1",
            "state": "pendingManualApproval",
            "action": "activate",
            "region": "us-west-2",
            "began": "2026-11-28T03:40:00+00:00",
        }
    ],
}


@virtual
async def test_a_survey_tells_alarms_checks_and_executions() -> None:
    """By name and id, as JSON; every question is one that the service takes, and the clients are closed after it."""
    clients = Clients()
    assert await surveyor(clients).survey() == TOLD
    assert clients.asked == [
        (
            "describe_alarms",
            {"AlarmNames": ["g-other-region-down", "g-secondary-is-home"], "AlarmTypes": ["MetricAlarm"]},
        ),
        ("get_health_check_status", {"HealthCheckId": "c1"}),
        ("list_plan_executions", {"planArn": PLAN, "maxResults": 10}),
    ]
    assert not clients.is_open


@pytest.mark.parametrize(
    ("service", "part"), [("cloudwatch", "alarms"), ("route53", "checks"), ("arc-region-switch", "executions")]
)
@pytest.mark.parametrize("trouble", ["refused", "broken", "silent"])
def test_a_service_that_does_not_answer_hides_no_other(service: str, part: str, trouble: str) -> None:
    """Its place says why: its own code, or what happened; a service that is silent costs 15 s."""

    @virtual
    async def go() -> None:
        denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Op")
        answers = {
            "refused": (denied, "AccessDenied"),
            "broken": (OSError("x"), "OSError"),
            "silent": (None, "TimeoutError"),
        }
        answer, why = answers[trouble]
        told = await surveyor(Clients(**{service: answer})).survey()
        assert told == {**TOLD, part: {"error": why}}
        assert asyncio.get_running_loop().time() == (WITHIN_S if trouble == "silent" else 0)

    go()


@virtual
async def test_what_a_stack_has_not_is_not_asked_for() -> None:
    """Neither names nor a plan: alarms alone."""
    clients = Clients()
    assert await AwsSurveyor(alarms=["a"], open_clients=clients.open).survey() == {"alarms": TOLD["alarms"]}


@virtual
async def test_without_the_layer_the_survey_says_what_to_attach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Misconfigured names it; nothing else of the function needs aioboto3."""
    monkeypatch.setitem(sys.modules, "aioboto3", None)
    with pytest.raises(Misconfigured, match="aws_sdk"):
        await AwsSurveyor(alarms=["a"]).survey()
