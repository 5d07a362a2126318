"""IAM policy documents and what they decide. Pure: documents, an action, a resource and a request's context in.

Owns parsing (every fault is an error, nothing is passed over) and the evaluation order: an explicit deny wins, then an
allow, else an implicit deny. Knows nothing of roles, services or the wire.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.iam.conditions import Condition, condition_holds, make_condition
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.wildcards import Context, fill_variables, match_action, match_resource

__all__ = [
    "Caller",
    "Decision",
    "Document",
    "Outcome",
    "Statement",
    "combine",
    "context_on_behalf",
    "evaluate",
    "parse_document",
    "read_resource_policy",
]

VERSIONS: Final = ("2008-10-17", "2012-10-17")
"""Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html"""

_ELEMENTS: Final = frozenset({
    "Action", "Condition", "Effect", "NotAction", "NotPrincipal", "NotResource", "Principal", "Resource", "Sid",
})  # fmt: skip


_VENDOR: Final = re.compile(r"[A-Za-z0-9.-]+")  # docs: no wildcard in the service part of an action


class Outcome(Enum):
    """What policies say of a request."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


@dataclass(frozen=True, slots=True)
class Decision:
    """`outcome`, and the name of the policy that decided ("" where none did)."""

    outcome: Outcome
    policy: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self.outcome is Outcome.ALLOWED


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for the Principal element of resource policies: an ARN and account, or an AWS service's name."""

    arn: str = ""
    account: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, parsed. `principals`: (kind, value) pairs, empty in identity policies; `not_*`: inverted."""

    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()
    not_actions: bool = False
    not_resources: bool = False
    not_principals: bool = False
    sid: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A policy, parsed. `variables`: its version is 2012-10-17, so `${...}` in it is filled in."""

    name: str
    statements: tuple[Statement, ...]
    variables: bool = False
    source: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False)


# ---------------------------------------------------------------- evaluation


def evaluate(
    policies: Iterable[Document],
    action: str,
    resource: str,
    *,
    context: Mapping[str, str | tuple[str, ...]] | None = None,
    caller: Caller | None = None,
) -> Decision:
    """What `policies` say of `action` (`sqs:SendMessage`) on `resource` (an ARN, `*` where there is none).

    `context`: condition keys of the request, names in any case. `caller`: for resource policies, whom their Principal
    elements are held against; without one a statement with a Principal never applies.
    """
    keys = _context(context or {})
    allowed = Decision(Outcome.IMPLICIT_DENY)
    for policy in policies:
        for statement in policy.statements:
            if not _applies(statement, policy, _Request(action, resource, keys, caller)):
                continue
            if not statement.allow:
                return Decision(Outcome.EXPLICIT_DENY, policy.name)
            if not allowed.allowed:
                allowed = Decision(Outcome.ALLOWED, policy.name)
    return allowed


def context_on_behalf(source_arn: str) -> dict[str, str]:
    """The condition keys of what a service of AWS asks on behalf of a resource (a topic, a rule), by its ARN.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    account = source_arn.split(":")[4]
    return {"aws:SourceArn": source_arn, "aws:SourceAccount": account, "aws:SecureTransport": "true"}


def combine(identity: Decision, resource: Decision, *, boundary: Decision | None = None) -> Decision:
    """The decision inside one account: any explicit deny denies, either side may allow, a boundary must allow too."""
    for decision in (identity, resource, boundary):
        if decision is not None and decision.outcome is Outcome.EXPLICIT_DENY:
            return decision
    if resource.allowed:
        return resource
    if boundary is not None and identity.allowed and not boundary.allowed:
        return boundary
    return identity


def _context(context: Mapping[str, str | tuple[str, ...]]) -> Context:
    return {key.lower(): (value,) if isinstance(value, str) else value for key, value in context.items()}


@dataclass(frozen=True, slots=True)
class _Request:
    action: str
    resource: str
    context: Context
    caller: Caller | None


def _applies(statement: Statement, policy: Document, request: _Request) -> bool:
    if any(match_action(pattern, request.action) for pattern in statement.actions) is statement.not_actions:
        return False
    if statement.resources:  # trust policies have none
        covered = any(_covers(pattern, policy, request) for pattern in statement.resources)
        if covered is statement.not_resources:
            return False
    if statement.principals:
        named = request.caller is not None and any(_names(entry, request.caller) for entry in statement.principals)
        if request.caller is None or named is statement.not_principals:
            return False
    return all(condition_holds(entry, request.context, variables=policy.variables) for entry in statement.conditions)


def _covers(pattern: str, policy: Document, request: _Request) -> bool:
    filled = fill_variables(pattern, request.context) if policy.variables else pattern
    return filled is not None and match_resource(filled, request.resource)


def _names(principal: tuple[str, str], caller: Caller) -> bool:
    kind, value = principal
    if kind == "*":
        return True
    if kind == "Service":
        return bool(caller.service) and value in {caller.service, "*"}
    if kind != "AWS" or not caller.arn:
        return False
    if value in {"*", caller.account, caller.arn}:
        return True
    return value.endswith(f":{caller.account}:root") or value == _role_of(caller.arn)


def _role_of(arn: str) -> str:
    """The role's ARN for an assumed-role session's; a role with a path is named by its session without it."""
    prefix, _, rest = arn.partition(":assumed-role/")
    if not rest:
        return arn
    return f"{prefix.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"


# ---------------------------------------------------------------- parsing


def parse_document(source: str | Mapping[str, Any], *, name: str = "", resource_policy: bool = False) -> Document:
    """Parse a policy. `resource_policy`: one attached to a resource or a role's trust: every statement has a Principal.

    Raises MalformedPolicy that names the policy, the statement and the fault.
    """
    where = name or "policy"
    raw: Any = source
    if isinstance(source, str):
        try:
            raw = parse_json(source)
        except MalformedJson as error:
            raise MalformedPolicy(f"{where}: is no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise MalformedPolicy(f"{where}: must be a map")
    document = cast("dict[str, Any]", raw)
    if unknown := sorted(set(document) - {"Version", "Id", "Statement"}):
        raise MalformedPolicy(f"{where}: {unknown[0]} is no element of a policy")
    version = str(document.get("Version", VERSIONS[0]))
    if version not in VERSIONS:
        raise MalformedPolicy(f"{where}: Version must be {' or '.join(VERSIONS)}, is {version}")
    entries: Any = document.get("Statement")
    listed = cast("list[Any]", entries) if isinstance(entries, list) else [entries]
    statements = tuple(
        _parse_statement(entry, f"{where}.Statement[{index}]", resource_policy=resource_policy)
        for index, entry in enumerate(listed)
    )
    if not statements:
        raise MalformedPolicy(f"{where}: at least one statement is needed")
    sids = [statement.sid for statement in statements if statement.sid]
    if len(sids) != len(set(sids)):
        raise MalformedPolicy(f"{where}: the Sids of a policy must be unique")
    return Document(name=name, statements=statements, variables=version == VERSIONS[1], source=document)


@lru_cache(maxsize=256)
def read_resource_policy(text: str) -> Document | None:
    """The policy that a resource has as text, parsed once however often it is asked for; None where it has none ("").

    Raises MalformedPolicy.
    """
    return parse_document(text, name="of the resource", resource_policy=True) if text else None


def _parse_statement(raw: Any, where: str, *, resource_policy: bool) -> Statement:
    if not isinstance(raw, dict):
        raise MalformedPolicy(f"{where}: must be a map")
    entry = cast("dict[str, Any]", raw)
    if unknown := sorted(set(entry) - _ELEMENTS):
        raise MalformedPolicy(f"{where}: {unknown[0]} is no element of a statement")
    if entry.get("Effect") not in {"Allow", "Deny"}:
        raise MalformedPolicy(f"{where}: Effect must be Allow or Deny")
    actions, not_actions = _one_of(entry, "Action", where)
    if not actions:
        raise MalformedPolicy(f"{where}: one of Action and NotAction is needed")
    resources, not_resources = _one_of(entry, "Resource", where)
    if not resource_policy:
        _check_resources(resources, where)
    principals, not_principals = _principals(entry, where, resource_policy=resource_policy)
    return Statement(
        allow=entry["Effect"] == "Allow",
        actions=_checked_actions(actions, where),
        resources=resources,
        principals=principals,
        conditions=_conditions(entry.get("Condition"), where),
        not_actions=not_actions,
        not_resources=not_resources,
        not_principals=not_principals,
        sid=str(entry.get("Sid", "")),
    )


def _one_of(entry: Mapping[str, Any], name: str, where: str) -> tuple[tuple[str, ...], bool]:
    inverted = f"Not{name}"
    if name in entry and inverted in entry:
        raise MalformedPolicy(f"{where}: {name} and {inverted} exclude each other")
    found = inverted if inverted in entry else name
    return _texts(entry.get(found, []), f"{where}.{found}"), found == inverted


def _texts(value: Any, where: str) -> tuple[str, ...]:
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    found: list[str] = []
    for item in items:
        if isinstance(item, bool):
            found.append("true" if item else "false")
        elif isinstance(item, (str, int, float)):
            found.append(str(item))
        else:
            raise MalformedPolicy(f"{where}: must be text or a list of texts")
    return tuple(found)


def _checked_actions(actions: tuple[str, ...], where: str) -> tuple[str, ...]:
    for action in actions:
        vendor, colon, rest = action.partition(":")
        if action != "*" and not (colon and rest and ":" not in rest and _VENDOR.fullmatch(vendor)):
            raise MalformedPolicy(f"{where}: {action!r} must be * or service:action")
    return actions


def _check_resources(resources: tuple[str, ...], where: str) -> None:
    if not resources:
        raise MalformedPolicy(f"{where}: one of Resource and NotResource is needed")
    for resource in resources:
        if resource != "*" and not resource.startswith("arn:"):
            raise MalformedPolicy(f"{where}: Resource {resource} must be in ARN format or *")


def _principals(
    entry: Mapping[str, Any], where: str, *, resource_policy: bool
) -> tuple[tuple[tuple[str, str], ...], bool]:
    found = [name for name in ("Principal", "NotPrincipal") if name in entry]
    if not resource_policy:
        if found:
            raise MalformedPolicy(f"{where}: {found[0]} has no place in a policy of a role")
        return (), False
    if len(found) != 1:
        raise MalformedPolicy(f"{where}: one of Principal and NotPrincipal is needed")
    value: Any = entry[found[0]]
    if value == "*":
        return (("*", "*"),), found[0] == "NotPrincipal"
    if not isinstance(value, dict) or not value:
        raise MalformedPolicy(f"{where}: {found[0]} must be * or a map")
    named = cast("dict[str, Any]", value)
    if unknown := sorted(set(named) - {"AWS", "CanonicalUser", "Federated", "Service"}):
        raise MalformedPolicy(f"{where}: {unknown[0]} is no kind of principal")
    pairs = [(kind, text) for kind, items in named.items() for text in _texts(items, f"{where}.{found[0]}")]
    return tuple(pairs), found[0] == "NotPrincipal"


def _conditions(value: Any, where: str) -> tuple[Condition, ...]:
    if value is None:
        return ()
    found: list[Condition] = []
    if not isinstance(value, dict):
        raise MalformedPolicy(f"{where}: Condition must be a map")
    for operator, keys in cast("dict[str, Any]", value).items():
        if not isinstance(keys, dict):
            raise MalformedPolicy(f"{where}: Condition.{operator} must be a map")
        for key, values in cast("dict[str, Any]", keys).items():
            found.append(make_condition(operator, key, _texts(values, f"{where}.Condition.{operator}.{key}")))
    return tuple(found)
