"""What may be set of asynchronous invocations: retries, age, destinations. Raises Lambda's own refusals.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from localcloud.compute.function import FunctionSpec, parse_reference
from localcloud.compute.invocation_destinations import (
    DEAD_LETTERS,
    ON_FAILURE,
    ON_SUCCESS,
    find_missing,
    service_of,
)
from localcloud.compute.versions import AsyncSettings, FunctionRecord
from localcloud.services.lambda_.errors import bad_constraint, refused

__all__ = ["MayDo", "check_dead_letters", "check_settings"]

MayDo = Callable[[str, str, str], bool]
"""Whether a role (ARN) may do an action on a resource (ARN)."""
RETRIES: Final = (0, 2)  # PutFunctionEventInvokeConfig: MaximumRetryAttempts
AGE_S: Final = (60, 21_600)  # PutFunctionEventInvokeConfig: MaximumEventAgeInSeconds
_ARN: Final = re.compile(
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)", re.ASCII
)


def check_settings(
    settings: AsyncSettings, spec: FunctionSpec, records: Mapping[str, FunctionRecord], *, may_do: MayDo
) -> AsyncSettings:
    """`settings`, where a function whose role is that of `spec` can have them. Raises LambdaError."""
    _check_range("MaximumRetryAttempts", settings.max_retries, RETRIES)
    _check_range("MaximumEventAgeInSeconds", settings.max_age_s, AGE_S)
    for name, arn in (("onSuccess", settings.on_success), ("onFailure", settings.on_failure)):
        if arn and not _ARN.fullmatch(arn):
            constraint = f"Member must satisfy regular expression pattern: ^$|{_ARN.pattern}"
            raise bad_constraint(f"destinationConfig.{name}.destination", arn, constraint)
    for arn, allowed in ((settings.on_success, ON_SUCCESS), (settings.on_failure, ON_FAILURE)):
        if arn and not service_of(arn, allowed):
            raise refused(
                "The provided destination config DestinationConfig("
                f"onSuccess={_show('OnSuccess', settings.on_success)}, "
                f"onFailure={_show('OnFailure', settings.on_failure)}) is invalid."
            )
        if arn:
            _check_reach(arn, spec, records, may_do=may_do)
    return settings


def check_dead_letters(arn: str, role_arn: str, may_do: MayDo) -> str:
    """`arn`, where it may have the dead letters of a function with this role. Raises LambdaError."""
    if arn and not service_of(arn, DEAD_LETTERS):
        raise refused(f"{arn}: only standard SQS queues and standard SNS topics may have dead letters")
    missing = find_missing(arn, role_arn, may_do) if arn else ""
    if missing:
        raise refused(f"The provided execution role does not have permissions to call {missing}")
    return arn


def _check_reach(arn: str, spec: FunctionSpec, records: Mapping[str, FunctionRecord], *, may_do: MayDo) -> None:
    reference = parse_reference(arn) if ":lambda:" in arn else None
    if reference is not None and reference.name == spec.name:
        raise refused("You can't specify the function as a destination for itself.")
    if ":lambda:" in arn and (reference is None or (reference.region == spec.region and reference.name not in records)):
        raise refused(f"The destination ARN {arn} is invalid.")
    missing = find_missing(arn, spec.role_arn, may_do)
    if missing:
        action = missing.partition(" on ")[0]
        raise refused(
            f"The function's execution role {spec.role_arn} does not have permissions to call {action} on {arn}"
        )


def _check_range(name: str, value: int | None, bounds: tuple[int, int]) -> None:
    if value is not None and value < bounds[0]:
        raise bad_constraint(name, value, f"Member must have value greater than or equal to {bounds[0]}")
    if value is not None and value > bounds[1]:
        raise bad_constraint(name, value, f"Member must have value less than or equal to {bounds[1]}")


def _show(name: str, arn: str) -> str:
    return f"{name}(destination={arn})" if arn else "null"
