"""CreateFunction, GetFunction, GetFunctionConfiguration, ListFunctions, UpdateFunction*, DeleteFunction.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html and those beside it
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import platform
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from localcloud.compute.code import MAX_ZIPPED_BYTES, BadArchive
from localcloud.compute.function import LATEST, FunctionSpec, parse_reference
from localcloud.compute.publishing import check_revision
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record, function_arn, no_content
from localcloud.services.lambda_.configuration_members import CONFIGURATION, UNSERVED, read_changes
from localcloud.services.lambda_.descriptions import describe_configuration, describe_function
from localcloud.services.lambda_.errors import LambdaError, bad_constraint, refused
from localcloud.services.lambda_.members import Members, read_page
from localcloud.services.lambda_.routes import Call
from localcloud.services.lambda_.tag_operations import read_tags

__all__ = [
    "create_function",
    "delete_function",
    "get_function",
    "get_function_configuration",
    "list_functions",
    "list_page",
    "update_function_code",
    "update_function_configuration",
]

PAGE: Final = 50  # ListFunctions returns a maximum of 50 items in each response
_MACHINES: Final = {"amd64": "x86_64", "aarch64": "arm64"}
_NAME: Final = re.compile(r"[a-zA-Z0-9-_]{1,64}", re.ASCII)
_UNLISTED: Final = ("State", "LastUpdateStatus")


async def get_function(api: ApiParts, call: Call) -> WireResponse:
    """Configuration, code, tags and concurrency of a function, a version or an alias."""
    record, qualifier = find_record(api.functions, call)
    spec = await api.own.publisher.measure(record.describe(qualifier))
    return answer(describe_function(spec, record.spec, qualified=bool(qualifier)))


async def get_function_configuration(api: ApiParts, call: Call) -> WireResponse:
    """The configuration of a function, a version or an alias."""
    record, qualifier = find_record(api.functions, call)
    spec = await api.own.publisher.measure(record.describe(qualifier))
    return answer(describe_configuration(spec, qualified=bool(qualifier)))


async def list_functions(api: ApiParts, call: Call) -> WireResponse:
    """Functions by name; with FunctionVersion=ALL every version of each."""
    versions = call.text("FunctionVersion")
    if versions not in {"", "ALL"}:
        raise bad_constraint("FunctionVersion", versions, "Member must satisfy enum value set: [ALL]")
    specs: Iterable[FunctionSpec] = api.functions.list()
    if versions:
        specs = [each for spec in specs for each in api.records[spec.name].versions()]
    return answer(await list_page(api, call, list(specs), name="Functions", qualified=bool(versions)))


async def list_page(
    api: ApiParts, call: Call, specs: list[FunctionSpec], *, name: str, qualified: bool
) -> dict[str, Any]:
    """A page of configurations."""
    first, end, marker = read_page(call.query, [spec.version_arn for spec in specs], most=PAGE)
    shown = [await api.own.publisher.measure(spec) for spec in specs[first:end]]
    found = [describe_configuration(spec, qualified=qualified) for spec in shown]
    listed = [{key: value for key, value in each.items() if key not in _UNLISTED} for each in found]
    return {name: listed} | ({"NextMarker": marker} if marker else {})


async def create_function(api: ApiParts, call: Call) -> WireResponse:
    """Make a function of an archive."""
    members = Members.read(call.request.body)
    reference = parse_reference(members.required("FunctionName", longest=140))
    if reference is None or reference.qualifier or not _NAME.fullmatch(reference.name):
        constraint = "Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+, of at most 64 characters"
        raise bad_constraint("FunctionName", members.text("FunctionName"), constraint)
    members.refuse(CONFIGURATION, {**UNSERVED, "CodeSigningConfigArn": "code signing is not served here"})
    if members.choice("PackageType", ("Zip", "Image"), "Zip") == "Image" or "ImageUri" in members.inside("Code"):
        raise refused("PackageType: container images are not served by this local cloud")
    for name in ("Role", "Runtime", "Handler"):
        members.required(name)
    if reference.name in api.records:
        raise LambdaError("ResourceConflictException", f"Function already exist: {reference.name}", 409)
    changes = read_changes(members, api)
    changes |= {"architecture": _read_architecture(members), "tags": read_tags(members)}
    code = await _read_code(api, call, members.inside("Code"))
    spec = FunctionSpec(
        name=reference.name,
        arn=function_arn(reference.name, call.request.region),
        modified_s=api.own.clock.time(),
        revision_id=api.own.publisher.new_revision(),
        **(changes | code),
    )
    api.functions.add(spec)
    if members.flag("Publish"):
        spec, _ = await api.own.publisher.publish(api.records[spec.name])
    return answer(describe_configuration(spec), 201)


async def update_function_configuration(api: ApiParts, call: Call) -> WireResponse:
    """Change what is given of $LATEST; its environments end with their work."""
    record, qualifier = find_record(api.functions, call)
    _check_latest(qualifier)
    members = Members.read(call.request.body)
    check_revision(members.text("RevisionId"), record.spec.revision_id, call="GetFunction/GetAlias")
    changes = read_changes(members, api, role_arn=record.spec.role_arn)
    spec = _renew(api, replace(record.spec, **changes))
    return answer(describe_configuration(await api.own.publisher.measure(spec)))


async def update_function_code(api: ApiParts, call: Call) -> WireResponse:
    """Put other code in the place of that of $LATEST, and publish it where that is asked for."""
    record, qualifier = find_record(api.functions, call)
    _check_latest(qualifier)
    members = Members.read(call.request.body)
    if "ImageUri" in members:
        raise refused("ImageUri: container images are not served by this local cloud")
    if members.text("SourceKMSKeyArn"):
        raise refused("SourceKMSKeyArn: archives are not encrypted by this local cloud")
    check_revision(members.text("RevisionId"), record.spec.revision_id, call="GetFunction/GetAlias")
    changes = await _read_code(api, call, members)
    if "Architectures" in members:
        changes["architecture"] = _read_architecture(members)
    changed = replace(record.spec, dependency_dirs=(), **changes)
    if members.flag("DryRun"):
        return answer(describe_configuration(changed))
    spec = _renew(api, changed)
    if members.flag("Publish"):
        spec, _ = await api.own.publisher.publish(record)
    return answer(describe_configuration(spec))


async def delete_function(api: ApiParts, call: Call) -> WireResponse:
    """Unmake a function with all that is its, or one version."""
    record, qualifier = find_record(api.functions, call)
    if qualifier == LATEST:
        raise refused("$LATEST version cannot be deleted without deleting the function.")
    if qualifier in record.aliases:
        raise refused("Deletion of aliases is not currently supported.")
    if qualifier:
        await record.withdraw(qualifier)
    else:
        api.policies.forget(record.spec.arn)
        await api.functions.remove(record.spec.name)
    return no_content()


def _renew(api: ApiParts, spec: FunctionSpec) -> FunctionSpec:
    changed = replace(spec, modified_s=api.own.clock.time(), revision_id=api.own.publisher.new_revision())
    api.functions.add(changed)
    return changed


def _check_latest(qualifier: str) -> None:
    if qualifier not in {"", LATEST}:
        raise refused("This operation is permitted on Lambda functions only. Aliases and versions cannot be changed.")


async def _read_code(api: ApiParts, call: Call, members: Members) -> dict[str, Any]:
    """Where the code is that a request brings. Raises LambdaError."""
    if "ZipFile" in members:
        try:
            archive = base64.b64decode(members.text("ZipFile"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise LambdaError("SerializationException", "ZipFile must be a Blob", 400) from error
        if len(archive) > MAX_ZIPPED_BYTES:
            text = f"Zipped size must be smaller than {MAX_ZIPPED_BYTES} bytes"
            raise LambdaError("RequestEntityTooLargeException", text, 413)
    elif "S3Bucket" in members and "S3Key" in members:
        version = members.text("S3ObjectVersion")
        bucket, key = members.text("S3Bucket"), members.text("S3Key")
        archive = await api.read_object(bucket, key, version=version, request=call.request)
    else:
        raise refused("Please provide a source for function code.")
    try:
        folder, facts = await asyncio.to_thread(api.own.publisher.code.unpack, archive)
    except BadArchive as error:
        raise refused(str(error)) from error
    return {"code_dir": folder, "code_sha256": facts.sha256, "code_size": facts.size_bytes}


def _read_architecture(members: Members) -> str:
    machine = platform.machine().lower()
    given = members.texts("Architectures")
    if len(given) > 1 or any(each not in {"x86_64", "arm64"} for each in given):
        constraint = (
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be "
            "null]"
        )
        raise bad_constraint("architectures", f"[{', '.join(given)}]", constraint)
    return next(iter(given), _MACHINES.get(machine, machine) if "Architectures" in members else "x86_64")
