"""What API Gateway's own API tells here: API keys, with their values where asked for, and usage plans.

A key that a template makes without a value has one that nobody could know otherwise. Everything else of the API makes
or changes what a template makes here, and is refused by name.
Source: https://docs.aws.amazon.com/apigateway/latest/api/API_GetApiKey.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from localcloud.gateway.usage_plans import ApiKey, Rate, UsagePlan, UsagePlans
from localcloud.services.contract import Permission, WireRequest, WireResponse

__all__ = ["ApiGatewayService"]

MAX_PAGE: Final = 500  # the API's limit on `limit`
_PAGE: Final = 25
_SERVED: Final = "GetApiKeys, GetApiKey, GetUsagePlans, GetUsagePlan, GetUsagePlanKeys and GetUsagePlanKey"


@dataclass(frozen=True, slots=True)
class _Refused(Exception):
    status: int
    code: str
    message: str


class ApiGatewayService:
    """The `apigateway` API over the keys and plans of one Region."""

    name = "apigateway"

    def __init__(self, plans: UsagePlans) -> None:
        self._plans = plans
        self._routes: tuple[tuple[re.Pattern[str], Callable[..., Any]], ...] = (
            (re.compile(r"/apikeys/?"), self._list_keys),
            (re.compile(r"/apikeys/([^/]+)/?"), self._tell_key),
            (re.compile(r"/usageplans/?"), self._list_plans),
            (re.compile(r"/usageplans/([^/]+)/?"), self._tell_plan),
            (re.compile(r"/usageplans/([^/]+)/keys/?"), self._list_members),
            (re.compile(r"/usageplans/([^/]+)/keys/([^/]+)/?"), self._tell_member),
        )

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer a request; errors are answers."""
        try:
            return _json(200, self._answer(request))
        except _Refused as refused:
            return _json(refused.status, {"message": refused.message}, refused.code)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """`apigateway:GET` and its like, on the path."""
        resource = f"arn:aws:apigateway:{request.region}::{unquote(request.path)}"
        return (Permission(f"apigateway:{request.method}", resource),)

    def _answer(self, request: WireRequest) -> Any:
        query = {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        for pattern, answer in self._routes:
            found = pattern.fullmatch(request.path)
            if found is not None and request.method == "GET":
                return answer(query, *(unquote(each) for each in found.groups()))
        message = f"{request.method} {request.path[:200]} is not served by this local cloud, which has {_SERVED}."
        raise _Refused(501, "NotImplemented", message)

    def _list_keys(self, query: Mapping[str, str]) -> Any:
        start = query.get("name", "")
        keys = [key for key in self._plans.keys.values() if key.name.startswith(start)]
        shows = query.get("includeValues") == "true"
        return _page(query, [(key.id, _key(key, shows_value=shows)) for key in keys])

    def _tell_key(self, query: Mapping[str, str], key_id: str) -> Any:
        key = self._plans.keys.get(key_id)
        if key is None:
            raise _Refused(404, "NotFoundException", "Invalid API Key identifier specified")
        return _key(key, shows_value=query.get("includeValue") == "true")

    def _list_plans(self, query: Mapping[str, str]) -> Any:
        wanted = query.get("keyId", "")
        plans = [
            plan
            for plan in self._plans.plans.values()
            if not wanted or any(key.id == wanted for key in self._plans.members(plan.id))
        ]
        return _page(query, [(plan.id, _plan(plan)) for plan in plans])

    def _tell_plan(self, query: Mapping[str, str], plan_id: str) -> Any:  # noqa: ARG002 - as the others
        return _plan(self._find_plan(plan_id))

    def _list_members(self, query: Mapping[str, str], plan_id: str) -> Any:
        plan, start = self._find_plan(plan_id), query.get("name", "")
        keys = [key for key in self._plans.members(plan.id) if key.name.startswith(start)]
        return _page(query, [(key.id, _member(key)) for key in keys])

    def _tell_member(self, query: Mapping[str, str], plan_id: str, key_id: str) -> Any:  # noqa: ARG002 - as the others
        found = next((key for key in self._plans.members(self._find_plan(plan_id).id) if key.id == key_id), None)
        if found is None:
            raise _Refused(404, "NotFoundException", "Invalid Usage Plan Key identifier specified")
        return _member(found)

    def _find_plan(self, plan_id: str) -> UsagePlan:
        plan = self._plans.plans.get(plan_id)
        if plan is None:
            raise _Refused(404, "NotFoundException", "Invalid Usage Plan ID specified")
        return plan


def _page(query: Mapping[str, str], entries: Iterable[tuple[str, Any]]) -> Any:
    """As many entries as `limit` says, from the one that `position` names."""
    limit, position = query.get("limit", str(_PAGE)), query.get("position", "")
    if not limit.isdecimal() or not 1 <= int(limit) <= MAX_PAGE:
        raise _Refused(400, "BadRequestException", f"limit must be from 1 to {MAX_PAGE}")
    listed = list(entries)
    start = next((index for index, (name, _) in enumerate(listed) if name == position), None if position else 0)
    if start is None:
        raise _Refused(400, "BadRequestException", "Invalid position parameter")
    end = start + int(limit)
    more = {"position": listed[end][0]} if end < len(listed) else {}
    return {"item": [entry for _, entry in listed[start:end]], **more}


def _key(key: ApiKey, *, shows_value: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"id": key.id, "name": key.name, "enabled": key.enabled, "stageKeys": []}
    return told | ({"value": key.value} if shows_value else {})


def _member(key: ApiKey) -> dict[str, Any]:
    return {"id": key.id, "name": key.name, "type": "API_KEY", "value": key.value}


def _plan(plan: UsagePlan) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    for each in plan.stages:
        rates = {f"{path}/{method}": _rate(rate) for (path, method), rate in each.rates.items()}
        stages.append({"apiId": each.api_id, "stage": each.stage, **({"throttle": rates} if rates else {})})
    told: dict[str, Any] = {"id": plan.id, "name": plan.name, "apiStages": stages}
    if plan.rate is not None:
        told["throttle"] = _rate(plan.rate)
    if plan.quota is not None:
        told["quota"] = {"limit": plan.quota.limit, "offset": plan.quota.offset, "period": plan.quota.period}
    return told


def _rate(rate: Rate) -> dict[str, Any]:
    return {"rateLimit": rate.rate, "burstLimit": int(rate.burst)}


def _json(status: int, told: Any, code: str = "") -> WireResponse:
    headers = {"content-type": "application/json", **({"x-amzn-errortype": code} if code else {})}
    return WireResponse(status, json.dumps(told, separators=(",", ":")).encode(), headers)
