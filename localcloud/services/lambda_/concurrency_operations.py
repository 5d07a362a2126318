"""Reserved and provisioned concurrency, and what the account has.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html,
API_PutProvisionedConcurrencyConfig.html, API_GetAccountSettings.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from localcloud.compute.aliases import find_alias
from localcloud.compute.code import MAX_UNZIPPED_BYTES, MAX_ZIPPED_BYTES
from localcloud.compute.concurrency import ACCOUNT_CONCURRENCY, check_provision, check_reserve, unreserved
from localcloud.compute.function import LATEST
from localcloud.compute.versions import FunctionRecord
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record, no_content
from localcloud.services.lambda_.descriptions import describe_provision
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, no_such_function, refused
from localcloud.services.lambda_.members import Members, read_page
from localcloud.services.lambda_.routes import Call

__all__ = [
    "delete_concurrency",
    "delete_provisioned",
    "get_account_settings",
    "get_concurrency",
    "get_provisioned",
    "list_provisioned",
    "put_concurrency",
    "put_provisioned",
]

PAGE: Final = 50  # ListProvisionedConcurrencyConfigs, in one response
MAX_INTEGER: Final = 2**31 - 1
TOTAL_CODE_BYTES: Final = 75 * 1024**3  # gettingstarted-limits: function and layer storage
_UNQUALIFIED: Final = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please "
    "specify either a function name or an unqualified function ARN."
)


async def put_concurrency(api: ApiParts, call: Call) -> WireResponse:
    """Reserve concurrency."""
    record = _unqualified(api, call)
    count = Members.read(call.request.body).integer("ReservedConcurrentExecutions", 0, MAX_INTEGER)
    if count is None:
        raise bad_constraint("ReservedConcurrentExecutions", "null", "Member must not be null")
    check_reserve(record, count, api.records.values())
    record.note(replace(record.spec, reserved_concurrency=count))
    return answer({"ReservedConcurrentExecutions": count})


async def get_concurrency(api: ApiParts, call: Call) -> WireResponse:
    """What is reserved; nothing where nothing is."""
    reserved = _unqualified(api, call).spec.reserved_concurrency
    return answer({} if reserved is None else {"ReservedConcurrentExecutions": reserved})


async def delete_concurrency(api: ApiParts, call: Call) -> WireResponse:
    """Reserve nothing any longer."""
    record = _unqualified(api, call)
    record.note(replace(record.spec, reserved_concurrency=None))
    return no_content()


async def put_provisioned(api: ApiParts, call: Call) -> WireResponse:
    """Start environments for a version or an alias."""
    record, qualifier = _published(
        api, call, "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    count = Members.read(call.request.body).integer("ProvisionedConcurrentExecutions", 1, MAX_INTEGER)
    if count is None:
        raise bad_constraint("ProvisionedConcurrentExecutions", "null", "Member must not be null")
    check_provision(record, qualifier, count, records=api.records.values())
    provision = await record.provision(qualifier, count, now_s=api.own.clock.time())
    return answer(describe_provision(provision), 202)


async def get_provisioned(api: ApiParts, call: Call) -> WireResponse:
    """How far it is."""
    record, qualifier = _published(api, call)
    provision = record.provisions.get(qualifier)
    if provision is None:
        text = "No Provisioned Concurrency Config found for this function"
        raise LambdaError("ProvisionedConcurrencyConfigNotFoundException", text, 404)
    return answer(describe_provision(provision))


async def delete_provisioned(api: ApiParts, call: Call) -> WireResponse:
    """Keep no environments any longer; done as well where there are none."""
    record, qualifier = _published(api, call)
    await record.provision(qualifier, 0, now_s=api.own.clock.time())
    return no_content()


async def list_provisioned(api: ApiParts, call: Call) -> WireResponse:
    """Every configuration of a function, by qualifier."""
    record, _ = find_record(api.functions, call)
    names = sorted(record.provisions)
    first, end, marker = read_page(call.query, names, most=PAGE)
    found = [
        {"FunctionArn": f"{record.spec.arn}:{name}"} | describe_provision(record.provisions[name])
        for name in names[first:end]
    ]
    return answer({"ProvisionedConcurrencyConfigs": found} | ({"NextMarker": marker} if marker else {}))


async def get_account_settings(api: ApiParts, call: Call) -> WireResponse:  # noqa: ARG001 - an operation
    """Limits, and what is used of them."""
    specs = [spec for record in api.records.values() for spec in record.versions()]
    measured = [await api.own.publisher.measure(spec) for spec in specs]
    return answer(
        {
            "AccountLimit": {
                "TotalCodeSize": TOTAL_CODE_BYTES,
                "CodeSizeUnzipped": MAX_UNZIPPED_BYTES,
                "CodeSizeZipped": MAX_ZIPPED_BYTES,
                "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
                "UnreservedConcurrentExecutions": unreserved(api.records.values()),
            },
            "AccountUsage": {
                "TotalCodeSize": sum(spec.code_size for spec in measured),
                "FunctionCount": len(api.records),
            },
        }
    )


def _unqualified(api: ApiParts, call: Call) -> FunctionRecord:
    record, qualifier = find_record(api.functions, call)
    if qualifier:
        raise refused(_UNQUALIFIED)
    return record


def _published(
    api: ApiParts,
    call: Call,
    unpublished: str = "The function resource provided must be an alias or a published version.",
) -> tuple[FunctionRecord, str]:
    """The function, and a qualifier that names a version or an alias of it."""
    record, qualifier = find_record(api.functions, call)
    if qualifier in {"", LATEST}:
        raise refused(unpublished)
    if qualifier.isdecimal():
        if record.find(qualifier) is None:
            raise no_such_function(f"{record.spec.arn}:{qualifier}")
    else:
        find_alias(record, qualifier)
    return record, qualifier
