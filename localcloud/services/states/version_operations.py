"""The operations on versions and aliases of state machines.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-cd-aliasing-versioning.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from localcloud.services.states.call import MACHINE, QUALIFIED, Call, Result, cut
from localcloud.services.states.errors import StatesError, invalid_arn, no_resource, validation
from localcloud.services.states.model import StateMachine
from localcloud.services.states.versions import Alias

__all__ = ["VERSION_OPERATIONS"]


async def _publish(call: Call) -> Result:
    machine, wanted = call.machine(), call.values.get("revisionId")
    if wanted not in {None, machine.revision.revision_id}:
        raise StatesError("ConflictException", "The revision ID is not that of the state machine's current revision")
    version = call.machines.publish(machine, call.values.get("description", ""))
    return {"stateMachineVersionArn": version.arn, "creationDate": version.created_s}


async def _list_versions(call: Call) -> Result:
    versions = sorted(call.machine().versions.by_number.values(), key=lambda each: -each.number)
    page, more = cut(versions, call.values)
    listed = [{"stateMachineVersionArn": each.arn, "creationDate": each.created_s} for each in page]
    return {"stateMachineVersions": listed, **more}


async def _delete_version(call: Call) -> Result:
    machine, number = _split(call, call.values["stateMachineVersionArn"])
    if not number.isdigit():
        raise invalid_arn(call.values["stateMachineVersionArn"])
    machine.versions.remove(int(number))
    return {}


async def _create_alias(call: Call) -> Result:
    routing = call.values["routingConfiguration"]
    arn: str = routing[0]["stateMachineVersionArn"].rpartition(":")[0]
    if not MACHINE.fullmatch(arn):
        raise invalid_arn(routing[0]["stateMachineVersionArn"])
    versions = call.machines.find(arn).versions
    now_s = call.machines.world.clock.time()
    alias = versions.put_alias(call.values["name"], routing, call.values.get("description", ""), now_s=now_s)
    return {"stateMachineAliasArn": alias.arn, "creationDate": alias.created_s}


async def _update_alias(call: Call) -> Result:
    if not {"description", "routingConfiguration"} & call.values.keys():
        raise validation("Either description or routingConfiguration must be specified")
    machine, name = _split(call, call.values["stateMachineAliasArn"])
    alias = machine.versions.find_alias(name)
    if "routingConfiguration" in call.values:
        alias.routes = machine.versions.read_routes(call.values["routingConfiguration"])
    alias.description = call.values.get("description", alias.description)
    alias.updated_s = call.machines.world.clock.time()
    return {"updateDate": alias.updated_s}


async def _describe_alias(call: Call) -> Result:
    machine, name = _split(call, call.values["stateMachineAliasArn"])
    alias = machine.versions.find_alias(name)
    routing = [
        {"stateMachineVersionArn": f"{machine.revision.arn}:{number}", "weight": weight}
        for number, weight in alias.routes
    ]
    found: dict[str, Any] = {
        "stateMachineAliasArn": alias.arn,
        "name": alias.name,
        "routingConfiguration": routing,
        "creationDate": alias.created_s,
        "updateDate": alias.updated_s,
    }
    return found | ({"description": alias.description} if alias.description else {})


async def _delete_alias(call: Call) -> Result:
    machine, name = _split(call, call.values["stateMachineAliasArn"])
    machine.versions.find_alias(name)
    del machine.versions.aliases[name]
    return {}


async def _list_aliases(call: Call) -> Result:
    arn: str = call.values["stateMachineArn"]
    machine, number = _split(call, arn) if QUALIFIED.fullmatch(arn) else (call.machine(), "")
    aliases = sorted(machine.versions.aliases.values(), key=lambda each: each.name)
    page, more = cut([each for each in aliases if _leads_to(each, number)], call.values)
    listed = [{"stateMachineAliasArn": each.arn, "creationDate": each.created_s} for each in page]
    return {"stateMachineAliases": listed, **more}


def _leads_to(alias: Alias, number: str) -> bool:
    return not number or (number.isdigit() and int(number) in dict(alias.routes))


def _split(call: Call, arn: str) -> tuple[StateMachine, str]:
    """The machine of a qualified ARN, and the qualifier. Raises StatesError."""
    if not QUALIFIED.fullmatch(arn):
        raise invalid_arn(arn)
    machine, _, qualifier = arn.rpartition(":")
    try:
        return call.machines.find(machine), qualifier
    except StatesError as error:
        raise no_resource(arn) from error


VERSION_OPERATIONS: Final[Mapping[str, Callable[[Call], Awaitable[Result]]]] = {
    "CreateStateMachineAlias": _create_alias,
    "DeleteStateMachineAlias": _delete_alias,
    "DeleteStateMachineVersion": _delete_version,
    "DescribeStateMachineAlias": _describe_alias,
    "ListStateMachineAliases": _list_aliases,
    "ListStateMachineVersions": _list_versions,
    "PublishStateMachineVersion": _publish,
    "UpdateStateMachineAlias": _update_alias,
}
