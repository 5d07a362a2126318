"""Roles, their policies, and the temporary credentials that functions and services act with. State and rules, no wire.

A key that was not issued here is a developer's own and counts as the account's root user: only what runs in the local
cloud is held to policies. Knows nothing of CloudFormation or of the services that are called.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.iam.errors import NoSuchEntity, RoleNotAssumable
from localcloud.services.iam.managed import read_managed_policy
from localcloud.services.iam.policy import Caller, Decision, Document, Outcome, combine, evaluate
from localcloud.services.iam.tags import check_tags, group_context, principal_tags, request_tags

__all__ = ["Credentials", "Iam", "Principal", "Role"]

ROOT: Final = "root"
_KEY_CHARACTERS: Final = string.ascii_uppercase + "234567"
_SECRET_CHARACTERS: Final = string.ascii_letters + string.digits + "+/"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials as STS issues them: `access_key` starts with ASIA, `session_token` is opaque."""

    access_key: str
    secret_key: str
    session_token: str


@dataclass(frozen=True, slots=True)
class Role:
    """A role. `inline` by policy name, `managed` ARNs of AWS's and the account's policies, `boundary` "" for none.

    `tags` are what its sessions' `aws:PrincipalTag` is; `max_session_s` holds for those that STS opens.
    """

    name: str
    arn: str
    unique_id: str
    trust: Document
    inline: Mapping[str, Document] = field(default_factory=dict[str, Document])
    managed: tuple[str, ...] = ()
    boundary: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    max_session_s: int = 3_600


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed a request. `role_arn` "" for the account's root user; `session` is the function's name.

    `session_tags`: what the session was given over its role's own tags. `session_policies`: what bounds it beside the
    role's policies. `expired`: its time is over, and it may do nothing.
    """

    arn: str
    account: str
    role_arn: str = ""
    session: str = ""
    session_tags: tuple[tuple[str, str], ...] = ()
    session_policies: tuple[Document, ...] = ()
    expired: bool = False

    @property
    def is_root(self) -> bool:
        """Whether no policy binds this principal."""
        return not self.role_arn


class Iam:
    """The account's roles, policies and issued credentials. `chance` makes ids and keys."""

    def __init__(self, chance: random.Random, *, account_id: str = ACCOUNT_ID, partition: str = "aws") -> None:
        self._chance = chance
        self._account = account_id
        self._partition = partition
        self._roles: dict[str, Role] = {}
        self._policies: dict[str, Document] = {}
        self._issued: dict[str, tuple[Credentials | None, Principal]] = {}  # None: revoked
        self._revision = 0

    @property
    def revision(self) -> int:
        """Grows with every change of a role, policy or credential: what was decided before may be decided otherwise."""
        return self._revision

    # ------------------------------------------------------------ roles and policies

    @property
    def roles(self) -> Mapping[str, Role]:
        """Every role by ARN."""
        return self._roles

    def create_role(self, name: str, trust: Document, *, path: str = "/", tags: Iterable[tuple[str, str]] = ()) -> Role:
        """A role without policies. Raises ValueError where the name is taken, InvalidTags."""
        self._revision += 1
        own = check_tags(tags)
        arn = f"arn:{self._partition}:iam::{self._account}:role{path}{name}"
        if any(role.name == name for role in self._roles.values()):
            raise ValueError(f"Role with name {name} already exists.")
        unique_id = f"AROA{self._characters(_KEY_CHARACTERS, 17)}"
        role = Role(name=name, arn=arn, unique_id=unique_id, trust=trust, tags=own)
        self._roles[arn] = role
        return role

    def role_named(self, name: str) -> Role:
        """Raises NoSuchEntity."""
        for role in self._roles.values():
            if role.name == name:
                return role
        raise NoSuchEntity(f"The role with name {name} cannot be found.")

    def tag_role(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags, for sessions that there are as well. Raises NoSuchEntity, InvalidTags.

        Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_TagRole.html
        """
        self._revision += 1
        role = self.role_named(name)
        added = check_tags(tags.items())
        kept = _without(role.tags, added)
        self._roles[role.arn] = replace(role, tags=check_tags((kept | added).items()))

    def untag_role(self, name: str, keys: Iterable[str]) -> None:
        """Take tags away; a key that is not there is no error. Raises NoSuchEntity."""
        self._revision += 1
        role = self.role_named(name)
        self._roles[role.arn] = replace(role, tags=_without(role.tags, keys))

    def delete_role(self, arn: str) -> None:
        """Forget the role; a session that still has its credentials may do nothing any more."""
        self._revision += 1
        self._roles.pop(arn, None)
        for key in [key for key, (_, principal) in self._issued.items() if principal.role_arn == arn]:
            self.revoke(key)

    def put_inline(self, role_name: str, policy: Document) -> None:
        """Give a role an inline policy, in place of one with its name. Raises NoSuchEntity."""
        self._revision += 1
        role = self.role_named(role_name)
        self._roles[role.arn] = replace(role, inline={**role.inline, policy.name: policy})

    def remove_inline(self, role_name: str, policy_name: str) -> None:
        """Take an inline policy away, where role and policy are still here."""
        self._revision += 1
        for role in [role for role in self._roles.values() if role.name == role_name]:
            kept = {name: policy for name, policy in role.inline.items() if name != policy_name}
            self._roles[role.arn] = replace(role, inline=kept)

    def create_policy(self, policy: Document, *, path: str = "/") -> str:
        """A managed policy of the account; its ARN. Raises ValueError where the name is taken."""
        self._revision += 1
        arn = f"arn:{self._partition}:iam::{self._account}:policy{path}{policy.name}"
        if arn in self._policies:
            raise ValueError(f"A policy called {policy.name} already exists.")
        self._policies[arn] = policy
        return arn

    def delete_policy(self, arn: str) -> None:
        """Forget a managed policy, and take it from every role."""
        self._revision += 1
        self._policies.pop(arn, None)
        for role in list(self._roles.values()):
            self._roles[role.arn] = replace(role, managed=tuple(other for other in role.managed if other != arn))

    def detach(self, role_name: str, policy_arn: str) -> None:
        """Take a managed policy from a role. Raises NoSuchEntity: no such role, or it does not have the policy."""
        self._revision += 1
        role = self.role_named(role_name)
        if policy_arn not in role.managed:
            raise NoSuchEntity(f"Policy {policy_arn} was not found.")
        self._roles[role.arn] = replace(role, managed=tuple(arn for arn in role.managed if arn != policy_arn))

    def set_trust(self, role_name: str, trust: Document) -> None:
        """Give a role another trust policy. Raises NoSuchEntity."""
        self._revision += 1
        role = self.role_named(role_name)
        self._roles[role.arn] = replace(role, trust=trust)

    def trust_of(self, arn: str) -> Document | None:
        """The trust policy of a role, None for what is no role."""
        return self._roles[arn].trust if arn in self._roles else None

    def policy(self, arn: str) -> Document:
        """A managed policy of the account's or of AWS's. Raises NoSuchEntity."""
        return self._managed(arn)

    @property
    def policies(self) -> Mapping[str, Document]:
        """Every managed policy of the account by ARN."""
        return self._policies

    def attach(self, role_name: str, policy_arn: str) -> None:
        """Attach a managed policy. Raises NoSuchEntity for a role or policy that is not here."""
        self._revision += 1
        role = self.role_named(role_name)
        self._managed(policy_arn)
        if policy_arn not in role.managed:
            self._roles[role.arn] = replace(role, managed=(*role.managed, policy_arn))

    def limit_session(self, role_name: str, seconds: int) -> None:
        """Bound the time of sessions that STS opens. Raises NoSuchEntity."""
        self._revision += 1
        role = self.role_named(role_name)
        self._roles[role.arn] = replace(role, max_session_s=seconds)

    def set_boundary(self, role_name: str, policy_arn: str) -> None:
        """Bound a role by a managed policy, or by none (""). Raises NoSuchEntity."""
        self._revision += 1
        role = self.role_named(role_name)
        if policy_arn:
            self._managed(policy_arn)
        self._roles[role.arn] = replace(role, boundary=policy_arn)

    def policies_of(self, role_arn: str) -> tuple[Document, ...]:
        """Every identity policy of a role. Raises NoSuchEntity."""
        role = self._role(role_arn)
        return (*role.inline.values(), *(self._managed(arn) for arn in role.managed))

    def _managed(self, arn: str) -> Document:
        return self._policies[arn] if arn in self._policies else read_managed_policy(arn)

    def _role(self, arn: str) -> Role:
        if arn not in self._roles:
            raise NoSuchEntity(f"The role {arn} cannot be found.")
        return self._roles[arn]

    # ------------------------------------------------------------ credentials

    def issue_credentials(
        self,
        role_arn: str,
        *,
        function_name: str,
        service: str = "lambda.amazonaws.com",
        tags: Mapping[str, str] | None = None,
    ) -> Credentials:
        """Credentials of a role for a session named `function_name`, assumed by `service` as the trust policy allows.

        `tags` of the session stand above the role's; the trust policy must allow `sts:TagSession` for them. Valid until
        the role is deleted. Raises NoSuchEntity, RoleNotAssumable, InvalidTags.
        Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
        """
        role = self._role(role_arn)
        given = check_tags((tags or {}).items())
        if not self._trusts(role, service, "sts:AssumeRole", tags=given):
            raise RoleNotAssumable(f"The role {role.name} cannot be assumed by {service}.")
        if given and not self._trusts(role, service, "sts:TagSession", tags=given):
            raise RoleNotAssumable(f"The role {role.name} lets {service} give its sessions no tags: sts:TagSession.")
        return self.open_session(role, function_name, tags=given)

    def open_session(
        self, role: Role, name: str, *, tags: Mapping[str, str] | None = None, policies: tuple[Document, ...] = ()
    ) -> Credentials:
        """Credentials of a role for a session that somebody was let into. `policies` bound it."""
        credentials = self.new_credentials()
        session = f"arn:{self._partition}:sts::{self._account}:assumed-role/{role.name}/{name}"
        principal = Principal(
            arn=session,
            account=self._account,
            role_arn=role.arn,
            session=name,
            session_tags=tuple((tags or {}).items()),
            session_policies=policies,
        )
        self._issued[credentials.access_key] = (credentials, principal)
        return credentials

    def new_credentials(self) -> Credentials:
        """Credentials of nobody's session: whoever signs with them is the account's root user."""
        return Credentials(
            access_key=f"ASIA{self._characters(_KEY_CHARACTERS, 16)}",
            secret_key=self._characters(_SECRET_CHARACTERS, 40),
            session_token=base64.b64encode(self._chance.randbytes(180)).decode(),
        )

    def may_assume(self, role_arn: str, service: str) -> bool:
        """Whether the trust policy of a role, which is there, lets a service assume it."""
        role = self._roles.get(role_arn)
        return role is not None and self._trusts(role, service, "sts:AssumeRole", tags={})

    def _trusts(self, role: Role, service: str, action: str, *, tags: Mapping[str, str]) -> bool:
        context = group_context(request_tags(tags))
        return evaluate([role.trust], action, role.arn, context=context, caller=Caller(service=service)).allowed

    def revoke(self, access_key: str) -> None:
        """Forget the secret of credentials that nothing uses any more; who had them stays known."""
        self._revision += 1
        if access_key in self._issued:
            self._issued[access_key] = (None, self._issued[access_key][1])

    def expire(self, access_key: str) -> None:
        """End a session: who had it stays known, and may do nothing any more."""
        self.revoke(access_key)
        if access_key in self._issued:
            ended = replace(self._issued[access_key][1], expired=True, session_policies=(), session_tags=())
            self._issued[access_key] = (None, ended)

    def credentials_of(self, access_key: str) -> Credentials | None:
        """The credentials behind an access key that was issued here and not revoked, None for any other."""
        issued = self._issued.get(access_key)
        return issued[0] if issued is not None else None

    def principal_of(self, access_key: str) -> Principal:
        """Who signs with `access_key`: the session it was issued for, else the account's root user."""
        issued = self._issued.get(access_key)
        if issued is not None:
            return issued[1]
        return Principal(arn=f"arn:{self._partition}:iam::{self._account}:{ROOT}", account=self._account)

    # ------------------------------------------------------------ decisions

    def decide(
        self,
        principal: Principal,
        action: str,
        resource: str,
        *,
        context: Mapping[str, str | tuple[str, ...]] | None = None,
        resource_policy: Document | None = None,
    ) -> Decision:
        """Whether `principal` may. `resource_policy`: the one of the resource, where it has one.

        `context`: the request's own condition keys, with the tags of its resource; those of the principal are known.
        """
        role = self._roles.get(principal.role_arn)
        keys: dict[str, str | tuple[str, ...]] = {
            **principal_tags(role.tags if role is not None else {}, dict(principal.session_tags)),
            "aws:PrincipalAccount": principal.account,
            "aws:PrincipalArn": principal.role_arn or principal.arn,
            "aws:SecureTransport": "true",  # as the same call to AWS would be
            **(context or {}),
        }
        caller = Caller(arn=principal.arn, account=principal.account)
        there = (resource_policy,) if resource_policy is not None else ()
        attached = evaluate(there, action, resource, context=keys, caller=caller)
        if principal.is_root:
            denied = attached.outcome is Outcome.EXPLICIT_DENY
            return attached if denied else Decision(Outcome.ALLOWED, ROOT)
        if role is None or principal.expired:
            return Decision(Outcome.IMPLICIT_DENY)
        own = evaluate(self.policies_of(role.arn), action, resource, context=keys)
        bound = evaluate([self._managed(role.boundary)], action, resource, context=keys) if role.boundary else None
        decision = combine(own, attached, boundary=bound)
        if not principal.session_policies or not decision.allowed:
            return decision
        session = evaluate(principal.session_policies, action, resource, context=keys)
        return decision if session.allowed else session

    def _characters(self, alphabet: str, count: int) -> str:
        return "".join(self._chance.choice(alphabet) for _ in range(count))


def _without(tags: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """Tags but those of these keys, in whatever case they are written."""
    gone = {key.lower() for key in keys}
    return {key: value for key, value in tags.items() if key.lower() not in gone}
