"""What each operation of IAM does with the model, and how roles and policies are told. No wire.

Pages are cut by Marker. A role that a template made has the date of the API's first call.
Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.iam.errors import NoSuchEntity
from localcloud.services.iam.model import Iam, Role
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.iam.query import Form, QueryFault
from localcloud.services.iam.simulating import simulate_custom, simulate_principal
from localcloud.services.pages import MalformedToken, cut_page

__all__ = ["OPERATIONS", "IamApi"]

MAX_ITEMS: Final = 1_000
MAX_POLICY_CHARS: Final = 131_072
_NAME: Final = r"[\w+=,.@-]+"
_VERSION: Final = "v1"  # a policy here has no other
Members: TypeAlias = dict[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Facts:
    """What IAM tells of a role or policy beside what it decides by."""

    created: str
    description: str = ""


class IamApi:
    """The model, and what is known of roles and policies by ARN."""

    def __init__(self, iam: Iam, *, clock: Clock) -> None:
        self.iam = iam
        self._clock = clock
        self._facts: dict[str, _Facts] = {}
        self._first = _Facts(self._now())

    def role_arn(self, name: str, path: str) -> str:
        """The ARN of the role of a name, or the one it would have."""
        found = [role.arn for role in self.iam.roles.values() if role.name == name]
        return found[0] if found else f"arn:aws:iam::{ACCOUNT_ID}:role{path}{name}"

    def learn(self, arn: str, description: str) -> None:
        """Know when something was made, and what for."""
        self._facts[arn] = _Facts(self._now(), description)

    def tell_role(self, role: Role) -> Members:
        """A role, as GetRole tells it."""
        facts = self._facts.get(role.arn, self._first)
        told: Members = {
            "Path": role.arn.partition(":role")[2].removesuffix(role.name),
            "RoleName": role.name,
            "RoleId": role.unique_id,
            "Arn": role.arn,
            "CreateDate": facts.created,
            "AssumeRolePolicyDocument": _encode(role.trust),
            "MaxSessionDuration": role.max_session_s,
        }
        told |= {"Description": facts.description} if facts.description else {}
        if role.boundary:
            told["PermissionsBoundary"] = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": role.boundary}
        return told | ({"Tags": _tags(role.tags)} if role.tags else {})

    def tell_policy(self, arn: str) -> Members:
        """A managed policy, as GetPolicy tells it. Raises NoSuchEntity."""
        self.iam.policy(arn)
        facts = self._facts.get(arn, self._first)
        path, _, name = arn.partition(":policy")[2].rpartition("/")
        attached = sum(arn in role.managed for role in self.iam.roles.values())
        told: Members = {
            "PolicyName": name,
            "PolicyId": "ANPA" + hashlib.sha256(arn.encode()).hexdigest()[:17].upper(),
            "Arn": arn,
            "Path": f"{path}/",
            "DefaultVersionId": _VERSION,
            "AttachmentCount": attached,
            "PermissionsBoundaryUsageCount": sum(arn == role.boundary for role in self.iam.roles.values()),
            "IsAttachable": True,
            "CreateDate": facts.created,
            "UpdateDate": facts.created,
        }
        return told | ({"Description": facts.description} if facts.description else {})

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _create_role(api: IamApi, form: Form) -> Members:
    name = form.need("RoleName", high=64, pattern=_NAME)
    trust = _document(form, "AssumeRolePolicyDocument", name="trust policy", resource_policy=True)
    seconds = form.integer("MaxSessionDuration", 3_600, low=3_600, high=43_200)
    tags = [(tag.need("Key"), tag.text("Value")) for tag in form.structures("Tags")]
    boundary = form.text("PermissionsBoundary")
    if boundary:
        api.iam.policy(boundary)
    try:
        role = api.iam.create_role(name, trust, path=_path(form), tags=tags)
    except ValueError as error:
        raise QueryFault("EntityAlreadyExists", str(error)) from error
    api.iam.limit_session(name, seconds)
    api.iam.set_boundary(name, boundary)
    api.learn(role.arn, form.text("Description"))
    return {"Role": api.tell_role(api.iam.role_named(name))}


def _delete_role(api: IamApi, form: Form) -> None:
    role = _role(api, form)
    if role.managed:
        raise QueryFault("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    if role.inline:
        raise QueryFault("DeleteConflict", "Cannot delete entity, must delete policies first.")
    api.iam.delete_role(role.arn)


def _get_role(api: IamApi, form: Form) -> Members:
    return {"Role": api.tell_role(_role(api, form))}


def _list_roles(api: IamApi, form: Form) -> Members:
    prefix = form.text("PathPrefix") or "/"
    roles = [role for role in api.iam.roles.values() if role.arn.partition(":role")[2].startswith(prefix)]
    page = _page(form, sorted(roles, key=lambda role: role.name), lambda role: role.name)
    listed = [{key: value for key, value in api.tell_role(role).items() if key != "Tags"} for role in page.items]
    return {**page.members, "Roles": listed}


def _put_role_policy(api: IamApi, form: Form) -> None:
    role = _role(api, form)
    name = form.need("PolicyName", high=128, pattern=_NAME)
    api.iam.put_inline(role.name, _document(form, "PolicyDocument", name=name))


def _get_role_policy(api: IamApi, form: Form) -> Members:
    role, name = _role(api, form), form.need("PolicyName", high=128)
    return {"RoleName": role.name, "PolicyName": name, "PolicyDocument": _encode(_inline(role, name))}


def _delete_role_policy(api: IamApi, form: Form) -> None:
    role, name = _role(api, form), form.need("PolicyName", high=128)
    _inline(role, name)
    api.iam.remove_inline(role.name, name)


def _list_role_policies(api: IamApi, form: Form) -> Members:
    page = _page(form, sorted(_role(api, form).inline), str)
    return {**page.members, "PolicyNames": list(page.items)}


def _attach(api: IamApi, form: Form) -> None:
    api.iam.attach(_role(api, form).name, form.need("PolicyArn", low=20))


def _detach(api: IamApi, form: Form) -> None:
    api.iam.detach(_role(api, form).name, form.need("PolicyArn", low=20))


def _list_attached(api: IamApi, form: Form) -> Members:
    page = _page(form, sorted(_role(api, form).managed), str)
    listed = [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in page.items]
    return {**page.members, "AttachedPolicies": listed}


def _list_role_tags(api: IamApi, form: Form) -> Members:
    return {"IsTruncated": False, "Tags": _tags(_role(api, form).tags)}


def _tag_role(api: IamApi, form: Form) -> None:
    tags = {tag.need("Key"): tag.text("Value") for tag in form.structures("Tags")}
    api.iam.tag_role(_role(api, form).name, tags)


def _untag_role(api: IamApi, form: Form) -> None:
    api.iam.untag_role(_role(api, form).name, form.texts("TagKeys"))


def _update_trust(api: IamApi, form: Form) -> None:
    trust = _document(form, "PolicyDocument", name="trust policy", resource_policy=True)
    api.iam.set_trust(_role(api, form).name, trust)


def _put_boundary(api: IamApi, form: Form) -> None:
    api.iam.set_boundary(_role(api, form).name, form.need("PermissionsBoundary", low=20))


def _delete_boundary(api: IamApi, form: Form) -> None:
    role = _role(api, form)
    if not role.boundary:
        raise NoSuchEntity(f"Role {role.name} does not have a permissions boundary.")
    api.iam.set_boundary(role.name, "")


def _create_policy(api: IamApi, form: Form) -> Members:
    form.refuse("Tags")
    name = form.need("PolicyName", high=128, pattern=_NAME)
    policy = _document(form, "PolicyDocument", name=name)
    try:
        arn = api.iam.create_policy(policy, path=_path(form))
    except ValueError as error:
        raise QueryFault("EntityAlreadyExists", str(error)) from error
    api.learn(arn, form.text("Description"))
    return {"Policy": api.tell_policy(arn)}


def _get_policy(api: IamApi, form: Form) -> Members:
    return {"Policy": api.tell_policy(form.need("PolicyArn", low=20))}


def _get_policy_version(api: IamApi, form: Form) -> Members:
    arn, version = form.need("PolicyArn", low=20), form.need("VersionId")
    document = api.iam.policy(arn)
    if version != _VERSION:
        raise NoSuchEntity(f"Policy {arn} version {version} does not exist or is not attachable.")
    told = api.tell_policy(arn)
    entry = {"Document": _encode(document), "VersionId": _VERSION, "IsDefaultVersion": True}
    return {"PolicyVersion": {**entry, "CreateDate": told["CreateDate"]}}


def _list_policies(api: IamApi, form: Form) -> Members:
    """Those of the account; AWS's own are more than a thousand, and are told one by one."""
    if form.text("Scope") != "Local":
        raise QueryFault("InvalidParameterValue", "The local cloud lists the policies of the account: Scope=Local.")
    page = _page(form, sorted(api.iam.policies), str)
    return {**page.members, "Policies": [api.tell_policy(arn) for arn in page.items]}


def _delete_policy(api: IamApi, form: Form) -> None:
    arn = form.need("PolicyArn", low=20)
    if arn not in api.iam.policies:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    if any(arn in role.managed or arn == role.boundary for role in api.iam.roles.values()):
        raise QueryFault("DeleteConflict", "Cannot delete a policy attached to entities.")
    api.iam.delete_policy(arn)


OPERATIONS: Final[Mapping[str, Callable[[IamApi, Form], Mapping[str, object] | None]]] = {
    "AttachRolePolicy": _attach,
    "CreatePolicy": _create_policy,
    "CreateRole": _create_role,
    "DeletePolicy": _delete_policy,
    "DeleteRole": _delete_role,
    "DeleteRolePermissionsBoundary": _delete_boundary,
    "DeleteRolePolicy": _delete_role_policy,
    "DetachRolePolicy": _detach,
    "GetPolicy": _get_policy,
    "GetPolicyVersion": _get_policy_version,
    "GetRole": _get_role,
    "GetRolePolicy": _get_role_policy,
    "ListAttachedRolePolicies": _list_attached,
    "ListPolicies": _list_policies,
    "ListRolePolicies": _list_role_policies,
    "ListRoleTags": _list_role_tags,
    "ListRoles": _list_roles,
    "PutRolePermissionsBoundary": _put_boundary,
    "PutRolePolicy": _put_role_policy,
    "SimulateCustomPolicy": lambda _api, form: simulate_custom(form),
    "SimulatePrincipalPolicy": lambda api, form: simulate_principal(api.iam, form),
    "TagRole": _tag_role,
    "UntagRole": _untag_role,
    "UpdateAssumeRolePolicy": _update_trust,
}


@dataclass(frozen=True, slots=True)
class _Page(Generic[T]):
    items: Sequence[T]
    members: Members


def _page(form: Form, items: Sequence[T], name_of: Callable[[T], str]) -> _Page[T]:
    most = form.integer("MaxItems", 100, low=1, high=MAX_ITEMS)
    try:
        page, token = cut_page(items, name_of, token=form.text("Marker"), most=most)
    except MalformedToken as error:
        raise QueryFault("ValidationError", "Invalid Marker.") from error
    return _Page(page, {"IsTruncated": True, "Marker": token} if token else {"IsTruncated": False})


def _role(api: IamApi, form: Form) -> Role:
    return api.iam.role_named(form.need("RoleName", high=64, pattern=_NAME))


def _inline(role: Role, name: str) -> Document:
    if name not in role.inline:
        raise NoSuchEntity(f"The role policy with name {name} cannot be found.")
    return role.inline[name]


def _document(form: Form, member: str, *, name: str, resource_policy: bool = False) -> Document:
    return parse_document(form.need(member, high=MAX_POLICY_CHARS), name=name, resource_policy=resource_policy)


def _path(form: Form) -> str:
    path = form.text("Path") or "/"
    if not (path.startswith("/") and path.endswith("/") and len(path) <= 512):
        raise QueryFault("ValidationError", "The specified value for path is invalid.")
    return path


def _encode(document: Document) -> str:
    """As IAM gives documents: JSON, percent-encoded (RFC 3986)."""
    return quote(json.dumps(document.source, separators=(",", ":"), default=str), safe="")


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in _sorted(tags.items())]


def _sorted(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs)
