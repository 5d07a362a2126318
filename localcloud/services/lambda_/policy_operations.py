"""AddPermission, RemovePermission, GetPolicy: the resource policy of a function, a version or an alias, each its own.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

from localcloud.compute.function import LATEST
from localcloud.compute.policies import NO_POLICY_OF_LATEST, Grant, make_statement
from localcloud.compute.publishing import check_revision
from localcloud.compute.versions import FunctionRecord
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record, no_content
from localcloud.services.lambda_.errors import LambdaError, not_found, refused
from localcloud.services.lambda_.members import Members
from localcloud.services.lambda_.routes import Call

__all__ = ["add_permission", "get_policy", "remove_permission"]

MAX_POLICY_BYTES: Final = 20 * 1024  # gettingstarted-limits: resource-based policy
_SID: Final = re.compile(r"[a-zA-Z0-9-_]{1,100}", re.ASCII)
_ACTION: Final = re.compile(r"lambda:[*]|lambda:[a-zA-Z]+|[*]", re.ASCII)
_PRINCIPAL: Final = re.compile(r"[^\s]+")


async def add_permission(api: ApiParts, call: Call) -> WireResponse:
    """Add a statement; the answer has it as JSON text."""
    record, qualifier = _target(api, call)
    members = Members.read(call.request.body)
    for name in ("PrincipalOrgID", "EventSourceToken"):
        if name in members:
            raise refused(f"{name} is not served by this local cloud")
    grant = Grant(
        sid=members.matching("StatementId", _SID),
        action=members.matching("Action", _ACTION),
        principal=members.matching("Principal", _PRINCIPAL),
        source_arn=members.text("SourceArn"),
        source_account=members.text("SourceAccount"),
        url_auth_type=members.choice("FunctionUrlAuthType", ("", "NONE", "AWS_IAM"), ""),
        via_url=members.flag("InvokedViaFunctionUrl"),
    )
    check_revision(members.text("RevisionId"), _revision(record, qualifier), call="GetFunction/GetAlias")
    arn = _arn(record, qualifier)
    if any(each.sid == grant.sid for each in api.policies.of(arn)):
        text = (
            f"The statement id ({grant.sid}) provided already exists. Please provide a new statement id, or remove the "
            "existing statement."
        )
        raise LambdaError("ResourceConflictException", text, 409)
    api.policies.add(arn, grant)
    if len(_policy(api, arn)) > MAX_POLICY_BYTES:
        api.policies.remove(grant.sid, function_arn=arn)
        text = f"The final policy size ({MAX_POLICY_BYTES}) is bigger than the limit (20480)."
        raise LambdaError("PolicyLengthExceededException", text, 400)
    _touch(api, record, qualifier)
    return answer({"Statement": json.dumps(make_statement(grant, arn), separators=(",", ":"))}, 201)


async def remove_permission(api: ApiParts, call: Call) -> WireResponse:
    """Take a statement away."""
    record, qualifier = _target(api, call)
    arn, sid = _arn(record, qualifier), call.parts["StatementId"]
    grants = api.policies.of(arn)
    if not grants:
        raise not_found("No policy is associated with the given resource.")
    if all(each.sid != sid for each in grants):
        raise not_found(f"Statement {sid} is not found in resource policy.")
    check_revision(call.text("RevisionId"), _revision(record, qualifier), call="GetFunction/GetAlias")
    api.policies.remove(sid, function_arn=arn)
    _touch(api, record, qualifier)
    return no_content()


async def get_policy(api: ApiParts, call: Call) -> WireResponse:
    """The policy as JSON text, and the revision of what it is of."""
    record, qualifier = _target(api, call)
    arn = _arn(record, qualifier)
    if not api.policies.of(arn):
        raise not_found("The resource you requested does not exist.")
    return answer({"Policy": _policy(api, arn), "RevisionId": _revision(record, qualifier)})


def _target(api: ApiParts, call: Call) -> tuple[FunctionRecord, str]:
    record, qualifier = find_record(api.functions, call)
    record.describe(qualifier)
    if qualifier == LATEST:
        raise refused(NO_POLICY_OF_LATEST)
    return record, qualifier


def _arn(record: FunctionRecord, qualifier: str) -> str:
    return f"{record.spec.arn}:{qualifier}" if qualifier else record.spec.arn


def _policy(api: ApiParts, arn: str) -> str:
    statements = [make_statement(grant, arn) for grant in api.policies.of(arn)]
    return json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": statements}, separators=(",", ":"))


def _revision(record: FunctionRecord, qualifier: str) -> str:
    alias = record.aliases.get(qualifier)
    return alias.revision_id if alias is not None else record.describe(qualifier).revision_id


def _touch(api: ApiParts, record: FunctionRecord, qualifier: str) -> None:
    """A policy is part of the revision of what it is of."""
    revision, alias = api.own.publisher.new_revision(), record.aliases.get(qualifier)
    found = record.find(qualifier)
    if alias is not None:
        record.aliases[qualifier] = replace(alias, revision_id=revision)
    elif found is not None:
        found.spec = replace(found.spec, revision_id=revision)
