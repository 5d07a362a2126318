"""CloudFormation's API keys and usage plans.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-apigateway-usageplan.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.gateway.apis import Apis, make_id
from localcloud.gateway.usage_plans import PERIODS, ApiKey, PlanStage, Quota, Rate, UsagePlan
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["ApiKeyHandler", "UsagePlanHandler", "UsagePlanKeyHandler", "plan_handlers"]

_SERVED: Final = Supported()
_STAGE_KEYS: Final = Supported(
    Support.SERVED, "a key opens a stage through a usage plan only, as on AWS since there are usage plans"
)
_VALUE: Final = re.compile(r"[\x21-\x7e]{20,128}")  # CreateApiKey: 20 to 128 characters
_RATE: Final = 10_000  # a throttle that names one of its two has the account's for the other
_BURST: Final = 5000


class ApiKeyHandler:
    """`AWS::ApiGateway::ApiKey`. Ref and APIKeyId are the id."""

    type: str = "AWS::ApiGateway::ApiKey"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "CustomerId": _SERVED,
        "Description": _SERVED,
        "Enabled": _SERVED,
        "GenerateDistinctId": Supported(Support.SERVED, "an id is never the value here", (True,)),
        "Name": _SERVED,
        "StageKeys.RestApiId": _STAGE_KEYS,
        "StageKeys.StageName": _STAGE_KEYS,
        "Tags": _SERVED,
        "Value": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Know the key. Raises TemplateError."""
        read = read_properties(resource)
        stack = resource.context.stack_name
        key_id = make_id(10, "key", stack, resource.context.region, resource.logical_id)
        name = read.text("Name", f"{stack[:5]}-{resource.logical_id[:5]}-{key_id}")
        value = read.text("Value", make_id(40, "value", key_id))
        if not _VALUE.fullmatch(value):
            raise read.error("Value", "API Key value should be at least 20 and at most 128 characters")
        for each in read.each("StageKeys"):
            _check_stage(self._apis, each, api="RestApiId", stage="StageName")
        try:
            self._apis.plans.add_key(ApiKey(key_id, name, value, enabled=read.flag("Enabled", False)))
        except ValueError as error:
            raise read.error("Value", str(error)) from error
        return Physical(key_id, {"APIKeyId": key_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget it."""
        self._apis.plans.remove_key(physical.ref)


class UsagePlanHandler:
    """`AWS::ApiGateway::UsagePlan`. Ref and Id are the id."""

    type: str = "AWS::ApiGateway::UsagePlan"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ApiStages.ApiId": _SERVED,
        "ApiStages.Stage": _SERVED,
        "ApiStages.Throttle": _SERVED,
        "Description": _SERVED,
        "Quota.Limit": _SERVED,
        "Quota.Offset": _SERVED,
        "Quota.Period": _SERVED,
        "Tags": _SERVED,
        "Throttle.BurstLimit": _SERVED,
        "Throttle.RateLimit": _SERVED,
        "UsagePlanName": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Know the plan. Raises TemplateError."""
        read = read_properties(resource)
        context = resource.context
        plan_id = make_id(6, "plan", context.stack_name, context.region, resource.logical_id)
        self._apis.plans.add_plan(
            UsagePlan(
                id=plan_id,
                name=read.text("UsagePlanName", f"{context.stack_name}-{resource.logical_id}"),
                stages=tuple(self._read_stage(each) for each in read.each("ApiStages")),
                rate=_read_rate(read.nested("Throttle")) if "Throttle" in read else None,
                quota=_read_quota(read.nested("Quota")) if "Quota" in read else None,
            )
        )
        return Physical(plan_id, {"Id": plan_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget it."""
        self._apis.plans.remove_plan(physical.ref)

    def _read_stage(self, read: Properties) -> PlanStage:
        api_id, stage = _check_stage(self._apis, read, api="ApiId", stage="Stage")
        nested = read.nested("Throttle")
        rates: dict[tuple[str, str], Rate] = {}
        for name in nested.values:
            path, _, method = name.rpartition("/")
            rates[path or "/", method.upper()] = _read_rate(nested.nested(name))
        return PlanStage(api_id, stage, rates)


def _check_stage(apis: Apis, read: Properties, *, api: str, stage: str) -> tuple[str, str]:
    """The API and the stage that two properties name. Raises TemplateError where there is no such stage."""
    api_id, name = read.text(api), read.text(stage)
    if f"/{api_id}/{name}" not in apis.gateway.paths():
        raise read.error(stage, f"API Stage not found: {api_id}:{name}")
    return api_id, name


def _read_rate(read: Properties) -> Rate:
    return Rate(read.number("RateLimit", _RATE, low=0), read.integer("BurstLimit", _BURST, low=0))


def _read_quota(read: Properties) -> Quota:
    period = read.choice("Period", tuple(PERIODS))
    offset, highest = read.integer("Offset", 0), PERIODS[period]
    if not 0 <= offset <= highest:
        rule = f"must be between 0 and {highest} inclusive" if highest else "must be zero"
        raise read.error("Offset", f"Usage Plan quota offset {rule} in the {period} period")
    return Quota(read.integer("Limit", low=0), period, offset)


class UsagePlanKeyHandler:
    """`AWS::ApiGateway::UsagePlanKey`. Ref and Id are `<key id>:<plan id>`."""

    type: str = "AWS::ApiGateway::UsagePlanKey"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "KeyId": _SERVED,
        "KeyType": Supported(Support.SERVED, "there is no other type", ("API_KEY",)),
        "UsagePlanId": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Put the key into the plan. Raises TemplateError."""
        read = read_properties(resource)
        key_id, plan_id = read.text("KeyId"), read.text("UsagePlanId")
        plans = self._apis.plans
        if key_id not in plans.keys:
            raise read.error("KeyId", "Invalid API Key identifier specified")
        if plan_id not in plans.plans:
            raise read.error("UsagePlanId", "Invalid Usage Plan ID specified")
        try:
            plans.attach(plan_id, key_id)
        except ValueError as error:
            raise read.error("KeyId", str(error)) from error
        both = f"{key_id}:{plan_id}"
        return Physical(both, {"Id": both})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take it out again."""
        key_id, _, plan_id = physical.ref.partition(":")
        self._apis.plans.detach(plan_id, key_id)


def plan_handlers(apis: Apis) -> tuple[ResourceHandler, ...]:
    """The handlers of keys and plans."""
    return (ApiKeyHandler(apis), UsagePlanHandler(apis), UsagePlanKeyHandler(apis))
