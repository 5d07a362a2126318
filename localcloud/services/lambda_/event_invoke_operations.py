"""The settings of asynchronous invocations: Put, Update, Get, Delete and ListFunctionEventInvokeConfig(s).

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html and those beside it
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from localcloud.compute.async_settings import AGE_S, RETRIES, check_settings
from localcloud.compute.function import LATEST
from localcloud.compute.versions import AsyncSettings, FunctionRecord
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record, no_content
from localcloud.services.lambda_.descriptions import describe_settings
from localcloud.services.lambda_.errors import LambdaError, not_found, refused
from localcloud.services.lambda_.members import Members, read_page
from localcloud.services.lambda_.routes import Call

__all__ = ["delete_settings", "get_settings", "list_settings", "put_settings", "update_settings"]

PAGE: Final = 50  # ListFunctionEventInvokeConfigs, in one response


async def put_settings(api: ApiParts, call: Call) -> WireResponse:
    """Set what is given, and nothing else any longer."""
    return await _set(api, call, keeps=False)


async def update_settings(api: ApiParts, call: Call) -> WireResponse:
    """Change what is given."""
    return await _set(api, call, keeps=True)


async def get_settings(api: ApiParts, call: Call) -> WireResponse:
    """What is set of a function, a version or an alias."""
    record, qualifier = find_record(api.functions, call)
    return answer(describe_settings(record, qualifier, _find(record, qualifier)))


async def delete_settings(api: ApiParts, call: Call) -> WireResponse:
    """Set nothing any longer."""
    record, qualifier = find_record(api.functions, call)
    _find(record, qualifier)
    del record.settings[qualifier or LATEST]
    return no_content()


async def list_settings(api: ApiParts, call: Call) -> WireResponse:
    """What is set, by qualifier."""
    record, _ = find_record(api.functions, call)
    names = sorted(record.settings)
    first, end, marker = read_page(call.query, names, most=PAGE)
    found = [describe_settings(record, name, record.settings[name]) for name in names[first:end]]
    return answer({"FunctionEventInvokeConfigs": found} | ({"NextMarker": marker} if marker else {}))


async def _set(api: ApiParts, call: Call, *, keeps: bool) -> WireResponse:
    record, qualifier, spec = _target(api, call)
    members = Members.read(call.request.body)
    changes = _read(members)
    if not changes:
        raise refused("You must specify at least one of error handling or destination setting.")
    before = _find(record, qualifier) if keeps else AsyncSettings()
    settings = replace(before, modified_s=api.own.clock.time(), **changes)
    record.settings[qualifier or LATEST] = check_settings(settings, spec, api.records, may_do=api.own.may_do)
    return answer(describe_settings(record, qualifier, settings))


def _target(api: ApiParts, call: Call) -> tuple[FunctionRecord, str, Any]:
    try:
        record, qualifier = find_record(api.functions, call)
        return record, qualifier, record.describe(qualifier)
    except LambdaError as error:
        raise not_found("The function doesn't exist.") from error


def _read(members: Members) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "MaximumRetryAttempts" in members:
        changes["max_retries"] = members.integer("MaximumRetryAttempts", *RETRIES)
    if "MaximumEventAgeInSeconds" in members:
        changes["max_age_s"] = members.integer("MaximumEventAgeInSeconds", *AGE_S)
    if "DestinationConfig" in members:
        inside = members.inside("DestinationConfig")
        changes["on_success"] = inside.inside("OnSuccess").text("Destination")
        changes["on_failure"] = inside.inside("OnFailure").text("Destination")
    return changes


def _find(record: FunctionRecord, qualifier: str) -> AsyncSettings:
    settings = record.settings.get(qualifier or LATEST)
    if settings is None:
        raise not_found(f"The function {record.spec.arn}:{qualifier or LATEST} doesn't have an EventInvokeConfig")
    return settings
