"""STS on the wire: who somebody is, and sessions of roles that their trust policies let somebody into.

Whoever signs with a key that was not issued here is the account's root user, and a role that trusts the account takes
it for an administrator of that account. A session's time runs on the event loop.
Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from localcloud.clock import Clock
from localcloud.refusals import refuse
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.iam.errors import InvalidTags, MalformedPolicy, NoSuchEntity
from localcloud.services.iam.model import Credentials, Iam, Principal, Role
from localcloud.services.iam.policy import Caller, Document, Outcome, evaluate, parse_document
from localcloud.services.iam.query import Form, QueryFault, read_form, respond
from localcloud.services.iam.tags import check_tags, group_context, request_tags

__all__ = ["StsService"]

XMLNS: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
DEFAULT_S: Final = 3_600
MIN_S: Final = 900
MAX_S: Final = 43_200
MAX_CHAINED_S: Final = 3_600  # of a role that another role's session assumes
MAX_TOKEN_S: Final = 129_600
MAX_SESSIONS: Final = 10_000  # at a time; memory, not AWS's limit
MAX_POLICY_CHARS: Final = 2_048
_SESSION: Final = r"[\w+=,.@-]*"
_NOT_SERVED: Final = (
    "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot", "DecodeAuthorizationMessage",
    "GetDelegatedAccessToken", "GetFederationToken", "GetWebIdentityToken",
)  # fmt: skip
_Members: TypeAlias = Mapping[str, object]


class StsService:
    """The STS API of every Region."""

    name = "sts"

    def __init__(self, iam: Iam, *, clock: Clock) -> None:
        self._iam = iam
        self._clock = clock
        self._sessions = 0

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            form = read_form(request)
            action = form.text("Action")
            result = _find(action)(self, form, self._iam.principal_of(request.access_key))
        except QueryFault as fault:
            return refuse(request, fault.status, code=fault.code, message=str(fault))
        return respond(action, result, request.request_id, xmlns=XMLNS)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The role that is to be assumed; who somebody is may be asked by everybody."""
        try:
            form = read_form(request)
            if form.text("Action") != "AssumeRole":
                return ()
            role = form.text("RoleArn")
            tags = {tag.text("Key"): tag.text("Value") for tag in form.structures("Tags")}
        except QueryFault:
            return ()
        context = _context(form, tags)
        first = Permission("sts:AssumeRole", role, context)
        return (first, Permission("sts:TagSession", role, context)) if tags else (first,)

    def tell_caller(self, form: Form, principal: Principal) -> _Members:  # noqa: ARG002 - it has no parameters
        """GetCallerIdentity."""
        if principal.expired:
            raise QueryFault("ExpiredToken", "The security token included in the request is expired", status=403)
        return {"Arn": principal.arn, "UserId": self._user_id(principal), "Account": principal.account}

    def assume(self, form: Form, principal: Principal) -> _Members:
        """AssumeRole."""
        form.refuse("SerialNumber", "TokenCode", "SourceIdentity", "TransitiveTagKeys", "ProvidedContexts")
        arn = form.need("RoleArn", low=20)
        name = form.need("RoleSessionName", low=2, high=64, pattern=_SESSION)
        seconds = form.integer("DurationSeconds", DEFAULT_S, low=MIN_S, high=MAX_S)
        tags = _tags(form)
        role = self._iam.roles.get(arn)
        if role is None or not self._is_trusted(role, principal, form, tags=tags):
            raise _denied(principal, "sts:AssumeRole", arn)
        if seconds > role.max_session_s:
            raise QueryFault(
                "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            )
        if principal.role_arn and seconds > MAX_CHAINED_S:
            message = (
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
            )
            raise QueryFault("ValidationError", message)
        policies = self._policies(form)
        self._count()
        credentials = self._iam.open_session(role, name, tags=tags, policies=policies)
        asyncio.get_running_loop().call_later(seconds, self._end, credentials.access_key)
        session = self._iam.principal_of(credentials.access_key)
        user = {"AssumedRoleId": f"{role.unique_id}:{name}", "Arn": session.arn}
        told: dict[str, object] = {"AssumedRoleUser": user, "Credentials": self._tell(credentials, seconds)}
        size = len(form.text("Policy"))
        return told | ({"PackedPolicySize": -(-size * 100 // MAX_POLICY_CHARS)} if size else {})

    def open_own(self, form: Form, principal: Principal) -> _Members:
        """GetSessionToken: other credentials of the account's root user."""
        form.refuse("SerialNumber", "TokenCode")
        seconds = form.integer("DurationSeconds", MAX_CHAINED_S * 12, low=MIN_S, high=MAX_TOKEN_S)
        if principal.role_arn:
            raise QueryFault("AccessDenied", "Cannot call GetSessionToken with session credentials", status=403)
        return {"Credentials": self._tell(self._iam.new_credentials(), seconds)}

    def tell_account(self, form: Form, principal: Principal) -> _Members:
        """GetAccessKeyInfo."""
        form.need("AccessKeyId", low=16, high=128, pattern=r"[\w]*")
        return {"Account": principal.account}

    def _count(self) -> None:
        if self._sessions >= MAX_SESSIONS:
            raise QueryFault("Throttling", f"The local cloud keeps {MAX_SESSIONS} sessions at a time.")
        self._sessions += 1

    def _end(self, access_key: str) -> None:
        self._sessions -= 1
        self._iam.expire(access_key)

    def _is_trusted(self, role: Role, principal: Principal, form: Form, *, tags: Mapping[str, str]) -> bool:
        """Whether the role's trust policy names the caller, or its account and the caller's own policies allow it."""
        context = group_context(_context(form, tags))
        named = {"aws:PrincipalArn": principal.role_arn or principal.arn, "aws:PrincipalAccount": principal.account}
        in_account = Caller(arn=principal.arn, account=principal.account)

        def lets_in(action: str) -> bool:
            def trusts(caller: Caller) -> bool:
                return evaluate([role.trust], action, role.arn, context={**named, **context}, caller=caller).allowed

            own = self._iam.decide(principal, action, role.arn, context=context)
            directly = own.outcome is not Outcome.EXPLICIT_DENY and trusts(Caller(arn=principal.arn))
            return trusts(in_account) and (own.allowed or directly)

        return lets_in("sts:AssumeRole") and (not tags or lets_in("sts:TagSession"))

    def _policies(self, form: Form) -> tuple[Document, ...]:
        found: list[Document] = []
        try:
            if text := form.text("Policy"):
                if len(text) > MAX_POLICY_CHARS:
                    raise QueryFault(
                        "PackedPolicyTooLarge", "Packed size of session tags consumes 100% of allotted space."
                    )
                found.append(parse_document(text, name="session policy"))
            found += [self._iam.policy(each.need("arn", low=20)) for each in form.structures("PolicyArns")]
        except MalformedPolicy as error:
            raise QueryFault("MalformedPolicyDocument", str(error)) from error
        except NoSuchEntity as error:
            raise QueryFault("NoSuchEntity", str(error), status=404) from error
        return tuple(found)

    def _tell(self, credentials: Credentials, seconds: int) -> dict[str, str]:
        ends = datetime.fromtimestamp(self._clock.time() + seconds, UTC)
        return {
            "AccessKeyId": credentials.access_key,
            "SecretAccessKey": credentials.secret_key,
            "SessionToken": credentials.session_token,
            "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _user_id(self, principal: Principal) -> str:
        role = self._iam.roles.get(principal.role_arn)
        return f"{role.unique_id}:{principal.session}" if role is not None else principal.account


_OPERATIONS: Final[Mapping[str, Callable[[StsService, Form, Principal], _Members]]] = {
    "AssumeRole": StsService.assume,
    "GetAccessKeyInfo": StsService.tell_account,
    "GetCallerIdentity": StsService.tell_caller,
    "GetSessionToken": StsService.open_own,
}


def _find(action: str) -> Callable[[StsService, Form, Principal], _Members]:
    if action in _NOT_SERVED:
        raise QueryFault("InvalidAction", f"The local cloud does not serve the operation {action} of sts.")
    if action not in _OPERATIONS:
        raise QueryFault("InvalidAction", f"Could not find operation {action[:128] or '(none named)'}.")
    return _OPERATIONS[action]


def _context(form: Form, tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html."""
    external = form.text("ExternalId")
    own = (("sts:RoleSessionName", form.text("RoleSessionName")),)
    return own + ((("sts:ExternalId", external),) if external else ()) + request_tags(tags)


def _tags(form: Form) -> dict[str, str]:
    try:
        return check_tags((tag.need("Key"), tag.text("Value")) for tag in form.structures("Tags"))
    except InvalidTags as error:
        raise QueryFault("InvalidParameterValue", str(error)) from error


def _denied(principal: Principal, action: str, resource: str) -> QueryFault:
    message = f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource}"
    return QueryFault("AccessDenied", message, status=403)
