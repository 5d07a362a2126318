"""PublishVersion, ListVersionsByFunction, and the operations of aliases.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html, API_CreateAlias.html and those beside it
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from localcloud.compute.aliases import alias_arn, find_alias, make_alias
from localcloud.compute.publishing import check_revision
from localcloud.compute.versions import Alias
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record, no_content
from localcloud.services.lambda_.descriptions import describe_alias, describe_configuration
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.lambda_.function_operations import list_page
from localcloud.services.lambda_.members import Members, read_page
from localcloud.services.lambda_.routes import Call

__all__ = [
    "create_alias",
    "delete_alias",
    "get_alias",
    "list_aliases",
    "list_versions",
    "publish_version",
    "update_alias",
]

PAGE: Final = 50  # ListAliases, in one response


async def publish_version(api: ApiParts, call: Call) -> WireResponse:
    """Publish $LATEST as it is; the newest version again where nothing has changed since."""
    record, _ = find_record(api.functions, call)
    members = Members.read(call.request.body)
    spec, is_new = await api.own.publisher.publish(
        record,
        description=members.text("Description", longest=256) if "Description" in members else None,
        sha256=members.text("CodeSha256"),
        revision=members.text("RevisionId"),
    )
    if is_new:
        record.note(replace(record.spec, revision_id=api.own.publisher.new_revision()))
    return answer(describe_configuration(spec), 201)


async def list_versions(api: ApiParts, call: Call) -> WireResponse:
    """$LATEST and every version, in order."""
    record, _ = find_record(api.functions, call)
    return answer(await list_page(api, call, list(record.versions()), name="Versions", qualified=True))


async def create_alias(api: ApiParts, call: Call) -> WireResponse:
    """Make an alias."""
    record, _ = find_record(api.functions, call)
    members = Members.read(call.request.body)
    alias = Alias(
        name=members.required("Name"),
        version=members.required("FunctionVersion"),
        description=members.text("Description"),
        weights=members.inside("RoutingConfig").numbers("AdditionalVersionWeights"),
        revision_id=api.own.publisher.new_revision(),
    )
    made = make_alias(record, alias)
    if made.name in record.aliases:
        raise LambdaError("ResourceConflictException", f"Alias already exists: {alias_arn(record, made.name)}", 409)
    record.aliases[made.name] = made
    return answer(describe_alias(record, made), 201)


async def get_alias(api: ApiParts, call: Call) -> WireResponse:
    """One alias."""
    record, _ = find_record(api.functions, call)
    return answer(describe_alias(record, find_alias(record, call.parts["Name"])))


async def update_alias(api: ApiParts, call: Call) -> WireResponse:
    """Change what is given; what is provisioned for the alias follows it to its versions."""
    record, _ = find_record(api.functions, call)
    alias = find_alias(record, call.parts["Name"])
    members = Members.read(call.request.body)
    check_revision(members.text("RevisionId"), alias.revision_id, call="GetFunction/GetAlias")
    weights = members.inside("RoutingConfig").numbers("AdditionalVersionWeights")
    changed = Alias(
        name=alias.name,
        version=members.text("FunctionVersion", alias.version),
        description=members.text("Description", alias.description),
        weights=weights if "RoutingConfig" in members else alias.weights,
        revision_id=api.own.publisher.new_revision(),
    )
    await record.repoint(make_alias(record, changed), now_s=api.own.clock.time())
    return answer(describe_alias(record, changed))


async def delete_alias(api: ApiParts, call: Call) -> WireResponse:
    """Unmake an alias, with its policy and what is set and provisioned for it; done as well where there is none."""
    record, _ = find_record(api.functions, call)
    name = call.parts["Name"]
    if name in record.aliases:
        api.policies.forget(alias_arn(record, name))
        await record.remove_alias(name)
    return no_content()


async def list_aliases(api: ApiParts, call: Call) -> WireResponse:
    """Aliases by name; with FunctionVersion those that have a share in it."""
    record, _ = find_record(api.functions, call)
    version = call.text("FunctionVersion")
    names = [
        name
        for name, alias in sorted(record.aliases.items())
        if version in {"", alias.version} or version in alias.weights
    ]
    first, end, marker = read_page(call.query, names, most=PAGE)
    found = [describe_alias(record, record.aliases[name]) for name in names[first:end]]
    return answer({"Aliases": found} | ({"NextMarker": marker} if marker else {}))
