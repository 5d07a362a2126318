"""Who called what: the authoriser that the front asks before every request, and the record of its answers.

The record is what a test holds against the policies: a call that AWS would deny is in it as denied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from localcloud.services.contract import Denied, Permission
from localcloud.services.iam.model import Iam, Principal
from localcloud.services.iam.policy import Decision, Document, Outcome
from localcloud.services.iam.tags import RESOURCE_TAG, ContextPairs, TagsOf, group_context, resource_tags

__all__ = ["Authoriser", "Call", "CallRecord", "read_calls", "recheck_calls"]

MAX_CALLS: Final = 100_000  # 30 MB of memory
MAX_DECISIONS: Final = 10_000
MAX_KEPT_CHARS: Final = 4096  # of the condition keys and values of one call: callers choose what stands in them


@dataclass(frozen=True, slots=True)
class Call:
    """One permission that one request needed. `function` is the session's name, "" for the account's root user.

    `context`: the request's condition keys, none where they were over 4,096 characters; `session_tags` as the principal
    has them.
    """

    function: str
    role_arn: str
    action: str
    resource: str
    allowed: bool
    policy: str = ""
    context: ContextPairs = ()
    session_tags: ContextPairs = ()


class CallRecord:
    """The calls of one run, each distinct one once, in the order first seen. `path`: also kept as lines of JSON.

    At most `limit` distinct ones are held (objects have a resource each); `left_out` counts those that came after.
    """

    def __init__(self, path: Path | None = None, *, limit: int = MAX_CALLS) -> None:
        self._calls: dict[Call, int] = {}
        self._path = path
        self._limit = limit
        self.left_out = 0

    def add(self, call: Call) -> None:
        """Remember `call`."""
        known = self._calls.get(call, 0)
        if not known and len(self._calls) >= self._limit:
            self.left_out += 1
            return
        self._calls[call] = known + 1
        if not known and self._path is not None:
            with self._path.open("a") as file:
                file.write(f"{json.dumps(asdict(call), separators=(',', ':'))}\n")

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def count(self, call: Call) -> int:
        """How often `call` was made."""
        return self._calls.get(call, 0)


def read_calls(text: str) -> list[Call]:
    """The calls of a record's lines."""
    return [_read_call(json.loads(line)) for line in text.splitlines() if line]


def _read_call(members: dict[str, Any]) -> Call:
    for name in ("context", "session_tags"):
        members[name] = tuple((key, value) for key, value in members.get(name, ()))
    return Call(**members)


def recheck_calls(calls: Iterable[Call], iam: Iam, *, tags_of: TagsOf | None = None) -> list[Call]:
    """The calls of roles that their policies and tags, as they are now, do not allow.

    Resources have the tags that `tags_of` tells, without it, and where it tells none, those of the time of the call.
    """
    return [call for call in calls if call.role_arn and not _is_allowed(call, iam, tags_of)]


def _is_allowed(call: Call, iam: Iam, tags_of: TagsOf | None) -> bool:
    context = call.context
    now = tags_of(call.action, call.resource) if tags_of is not None else None
    if now is not None:
        context = tuple(pair for pair in context if not pair[0].startswith(RESOURCE_TAG)) + resource_tags(now)
    principal = Principal(
        arn=call.role_arn,
        account=call.role_arn.split(":")[4],
        role_arn=call.role_arn,
        session=call.function,
        session_tags=call.session_tags,
    )
    return iam.decide(principal, call.action, call.resource, context=group_context(context)).allowed


class Authoriser:
    """Decides and records: an `Authorise` of the services' contract.

    `policy_of` gives the resource policy of an ARN (a queue's, a function's), None where it has none.
    """

    def __init__(
        self, iam: Iam, record: CallRecord, *, policy_of: Callable[[str], Document | None] | None = None
    ) -> None:
        self._iam = iam
        self._record = record
        self._policy_of = policy_of
        self._decided: dict[tuple[str, Permission], tuple[Call, Denied | None]] = {}
        self._revision = iam.revision

    def __call__(self, access_key: str, permissions: tuple[Permission, ...]) -> Denied | None:
        """The first permission that is missing, None where all are there. Each one asked for is recorded."""
        if self._revision != self._iam.revision or len(self._decided) > MAX_DECISIONS:
            self._decided.clear()
            self._revision = self._iam.revision
        for permission in permissions:
            attached = self._policy_of(permission.resource) if self._policy_of is not None else None
            # a resource's own policy may come and change without a word; its tags are in the permission
            decided = self._decided.get((access_key, permission)) if attached is None else None
            call, denied = decided if decided is not None else self._decide(access_key, permission, attached)
            self._record.add(call)
            if denied is not None:
                return denied
        return None

    def _decide(self, access_key: str, permission: Permission, attached: Document | None) -> tuple[Call, Denied | None]:
        principal = self._iam.principal_of(access_key)
        decision = self._iam.decide(
            principal,
            permission.action,
            permission.resource,
            context=group_context(permission.context),
            resource_policy=attached,
        )
        is_kept = sum(len(key) + len(value) for key, value in permission.context) <= MAX_KEPT_CHARS
        call = Call(
            function=principal.session,
            role_arn=principal.role_arn,
            action=permission.action,
            resource=permission.resource,
            allowed=decision.allowed,
            policy=decision.policy,
            context=permission.context if is_kept else (),
            session_tags=principal.session_tags,
        )
        denied = None if decision.allowed else Denied(principal.arn, permission, _reason(permission, decision))
        if attached is None and is_kept:
            self._decided[access_key, permission] = (call, denied)
        return call, denied


def _reason(permission: Permission, decision: Decision) -> str:
    """Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html."""
    if decision.outcome is Outcome.EXPLICIT_DENY:
        return f"of an explicit deny in the policy {decision.policy or 'of the resource'}"
    return f"no identity-based policy allows the {permission.action} action"
