"""CloudFormation's IAM resources: roles and policies, made in the IAM model.

Documents are parsed when the resource is made, so that a fault in a policy ends the start and names its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.iam.errors import IamError, InvalidTags
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Document, parse_document
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["ManagedPolicyHandler", "PolicyHandler", "RoleHandler", "generate_name"]

_RECORDED: Final = Supported(Support.PARTIAL, "recorded; nothing here reads it")
_NO_USERS: Final = Supported(Support.REFUSED, "the local cloud has roles, no users and groups")
MAX_NAME: Final = 64  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html


def generate_name(resource: Resource) -> str:
    """A physical name as CloudFormation makes one; always the same for a Region, stack and logical id."""
    context = resource.context
    seed = f"{context.region}/{context.stack_name}/{resource.logical_id}"
    suffix = hashlib.sha256(seed.encode()).hexdigest()[:12].upper()
    return f"{context.stack_name}-{resource.logical_id}"[: MAX_NAME - 13] + f"-{suffix}"


class RoleHandler:
    """`AWS::IAM::Role`. Ref is the name; attributes Arn and RoleId."""

    type: str = "AWS::IAM::Role"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "AssumeRolePolicyDocument": Supported(),
        "Description": _RECORDED,
        "ManagedPolicyArns": Supported(),
        "MaxSessionDuration": Supported(
            Support.PARTIAL, "holds for AssumeRole; the credentials of functions and services last as long as the role"
        ),
        "Path": Supported(),
        "PermissionsBoundary": Supported(),
        "Policies.PolicyDocument": Supported(),
        "Policies.PolicyName": Supported(),
        "RoleName": Supported(),
        "Tags": Supported(),
    }

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    async def create(self, resource: Resource) -> Physical:
        """Make the role with its policies. Raises TemplateError for a document or policy that makes no sense."""
        read = read_properties(resource)
        name = read.text("RoleName", generate_name(resource))
        trust = _document(read, "AssumeRolePolicyDocument", name=name, resource_policy=True)
        inline = [_document(entry, "PolicyDocument", name=entry.text("PolicyName")) for entry in read.each("Policies")]
        tags = [(tag.text("Key"), tag.text("Value")) for tag in read.each("Tags")]
        try:
            role = self._iam.create_role(name, trust, path=read.text("Path", "/"), tags=tags)
        except ValueError as error:
            raise read.error("RoleName", str(error)) from error
        except InvalidTags as error:
            raise read.error("Tags", str(error)) from error
        try:
            self._attach(name, read, inline)
        except TemplateError:
            self._iam.delete_role(role.arn)
            raise
        return Physical(name, {"Arn": role.arn, "RoleId": role.unique_id})

    def _attach(self, name: str, read: Properties, inline: list[Document]) -> None:
        self._iam.limit_session(name, read.integer("MaxSessionDuration", 3_600, low=3_600, high=43_200))
        for policy in inline:
            self._iam.put_inline(name, policy)
        for index, arn in enumerate(read.texts("ManagedPolicyArns")):
            try:
                self._iam.attach(name, arn)
            except IamError as error:
                raise read.error(f"ManagedPolicyArns[{index}]", str(error)) from error
        if "PermissionsBoundary" in read:
            try:
                self._iam.set_boundary(name, read.text("PermissionsBoundary"))
            except IamError as error:
                raise read.error("PermissionsBoundary", str(error)) from error

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the role and its credentials."""
        self._iam.delete_role(str(physical.attributes["Arn"]))


class ManagedPolicyHandler:
    """`AWS::IAM::ManagedPolicy`. Ref is the ARN."""

    type: str = "AWS::IAM::ManagedPolicy"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Description": _RECORDED,
        "Groups": _NO_USERS,
        "ManagedPolicyName": Supported(),
        "Path": Supported(),
        "PolicyDocument": Supported(),
        "Roles": Supported(),
        "Users": _NO_USERS,
    }

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    async def create(self, resource: Resource) -> Physical:
        """Make the policy and attach it to its roles. Raises TemplateError."""
        read = read_properties(resource)
        name = read.text("ManagedPolicyName", generate_name(resource))
        policy = _document(read, "PolicyDocument", name=name)
        try:
            arn = self._iam.create_policy(policy, path=read.text("Path", "/"))
        except ValueError as error:
            raise read.error("ManagedPolicyName", str(error)) from error
        for index, role in enumerate(read.texts("Roles")):
            try:
                self._iam.attach(role, arn)
            except IamError as error:
                self._iam.delete_policy(arn)
                raise read.error(f"Roles[{index}]", str(error)) from error
        return Physical(arn, {"PolicyArn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Detach and forget it."""
        self._iam.delete_policy(physical.ref)


class PolicyHandler:
    """`AWS::IAM::Policy`: an inline policy of roles made elsewhere. Ref is its name."""

    type: str = "AWS::IAM::Policy"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Groups": _NO_USERS,
        "PolicyDocument": Supported(),
        "PolicyName": Supported(),
        "Roles": Supported(),
        "Users": _NO_USERS,
    }

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    async def create(self, resource: Resource) -> Physical:
        """Put the policy into each role. Raises TemplateError, also where no role is named."""
        read = read_properties(resource)
        name = read.text("PolicyName")
        policy = _document(read, "PolicyDocument", name=name)
        roles = read.texts("Roles")
        if not roles:
            raise read.error("Roles", "at least one role is needed")
        for index, role in enumerate(roles):
            try:
                self._iam.put_inline(role, policy)
            except IamError as error:
                raise read.error(f"Roles[{index}]", str(error)) from error
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Take it out of each role."""
        for role in read_properties(resource).texts("Roles"):
            self._iam.remove_inline(role, physical.ref)


def _document(read: Properties, name_of: str, *, name: str, resource_policy: bool = False) -> Document:
    source: Any = read.values.get(name_of)
    if source is None:
        raise read.error(name_of, "is required")
    try:
        return parse_document(source, name=name, resource_policy=resource_policy)
    except IamError as error:
        raise read.error(name_of, str(error)) from error
