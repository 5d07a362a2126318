"""The credentials of a role, for processes outside AWS: AssumeRole and AssumeRoleWithWebIdentity of STS.

Owns the two operations (query protocol, XML) and what their refusals mean. When they are asked again:
`session_credentials`. No token and no secret ever stands in an error.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from sluiceway.aws.credentials import Anonymous
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.session_credentials import SessionCredentials
from sluiceway.aws.sigv4 import Credentials, encode_query
from sluiceway.aws.wire import Caller, Outside, Wire
from sluiceway.errors import Misconfigured, ServiceError, ServiceUnavailable

__all__ = ["STS", "Role", "assume_role", "identify", "open_as"]

STS: Final = ServiceSpec(endpoint_prefix="sts", signing_name="sts", protocol="rest", env_name="STS", read_timeout_s=10)
VERSION: Final = "2011-06-15"  # the service model's, as the limits and patterns below
_FORM: Final[Mapping[str, str]] = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}

MIN_DURATION_S: Final = 900
MAX_DURATION_S: Final = 43_200
MAX_TAGS: Final = 50
MAX_TAG_KEY: Final = 128
MAX_TAG_VALUE: Final = 256
MIN_TOKEN, MAX_TOKEN = 4, 20_000
MAX_ANSWER_BYTES: Final = 32 * 1024  # a session token has no documented limit; the packed policy keeps it far below
_ARN: Final = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]{1,1900}"
_SESSION_NAME: Final = r"[A-Za-z0-9_+=,.@-]{2,64}"
_EXTERNAL_ID: Final = r"[A-Za-z0-9_+=,.@:/-]{2,1224}"
_SPACES: Final = " \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Unicode's category Z
_TAG_TEXT: Final = rf"[\w{_SPACES}.:/=+\-@]*"
_SECTION: Final = rb"<Credentials>(.*?)</Credentials>"
_MEMBER: Final = rb"<(\w+)>\s*([!-%'-;=-~]{1,60000})\s*</\1>"  # visible ASCII, no mark-up: it goes into headers
_ACCESS_KEY: Final = r"\w{16,128}"

# The client tries again after these, as the next credentials may do; here they are what the operator gave
_EXPIRED_CODES: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})


@dataclass(frozen=True, slots=True)
class Role:
    """A role and the session that is wanted of it. Raises Misconfigured, with the member's name, outside its limits.

    `session_name`: 2 to 64 of letters, digits and `_+=,.@-`; CloudTrail shows it. `duration_s`: 900 to 43,200, at most
    the role's maximum, and 3,600 where the base credentials are a role's themselves (chaining). `external_id`: what the
    role's trust policy asks a third party for, "" for none. `tags`: up to 50 session tags; they need
    `sts:TagSession`. A web identity has neither of the two: its tags stand in its token.
    """

    arn: str
    session_name: str
    duration_s: int = 3600
    external_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Check every member."""
        _demand(re.fullmatch(_ARN, self.arn) is not None, "arn", "is no ARN of a role")
        _demand(re.fullmatch(_SESSION_NAME, self.session_name) is not None, "session_name", "must be [\\w+=,.@-]{2,64}")
        _demand(
            MIN_DURATION_S <= self.duration_s <= MAX_DURATION_S,
            "duration_s",
            f"is not between {MIN_DURATION_S} and {MAX_DURATION_S}",
        )
        given = self.external_id == "" or re.fullmatch(_EXTERNAL_ID, self.external_id) is not None
        _demand(given, "external_id", "must be [\\w+=,.@:/-]{2,1224}")
        _demand(len(self.tags) <= MAX_TAGS, "tags", f"has more than {MAX_TAGS}")
        names = {key.lower() for key in self.tags}
        _demand(len(names) == len(self.tags), "tags", "has a key twice: case makes no difference")
        for key, value in self.tags.items():
            _demand(1 <= len(key) <= MAX_TAG_KEY and len(value) <= MAX_TAG_VALUE, "tags", "has too long a key or value")
            sound = re.fullmatch(_TAG_TEXT, key + value) is not None and not key.lower().startswith("aws:")
            _demand(sound, "tags", "has a key or value with other than letters, digits, spaces and _.:/=+-@")


def _demand(holds: bool, name: str, problem: str) -> None:  # noqa: FBT001 - the condition reads as the sentence
    if not holds:
        raise Misconfigured(f"Role.{name} {problem}", what=f"Role.{name}")


@asynccontextmanager
async def open_as(role: Role, environ: Mapping[str, str], *, outside: Outside | None = None) -> AsyncGenerator[Wire]:
    """A Wire that calls as `role`, assumed with the credentials of `environ`; both clients close on the way out.

    Asks STS at the first call. Raises as `Wire.open`; calls raise Misconfigured, which names the role, where it cannot
    be assumed, and Retryable where STS is away and no credentials are left.
    """
    outside = outside or Outside()
    async with Wire.open(environ, outside=outside) as base:
        session = SessionCredentials(lambda deadline: assume_role(base, role, deadline=deadline), outside=outside)
        async with Wire.open(environ, outside=outside._replace(credentials=session)) as wire:
            yield wire


@asynccontextmanager
async def identify(environ: Mapping[str, str], outside: Outside) -> AsyncGenerator[Outside]:
    """`outside` with the credentials that `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` name. For `Wire.open`.

    `AWS_ROLE_SESSION_NAME` is optional. The file is read at each renewal, since its token is rotated.
    """
    token_file = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    if not environ.get("AWS_ROLE_ARN"):
        raise Misconfigured("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN", what="AWS_ROLE_ARN")
    named = environ.get("AWS_ROLE_SESSION_NAME") or f"sluiceway-{int(outside.now())}"
    role = Role(environ["AWS_ROLE_ARN"], named)
    async with Wire.open(environ, outside=outside._replace(credentials=Anonymous())) as sts:

        async def obtain(deadline: float) -> Credentials:
            return await _assume_with_web_identity(sts, role, _read_token(token_file), deadline=deadline)

        session = SessionCredentials(obtain, outside=outside, check=lambda: _read_token(token_file))
        yield outside._replace(credentials=session)


async def assume_role(caller: Caller, role: Role, *, deadline: float | None = None) -> Credentials:
    """A session of `role`, with the caller's own credentials. Raises Misconfigured and Retryable."""
    fields = _write(role, "AssumeRole")
    if role.external_id:
        fields.append(("ExternalId", role.external_id))
    for number, (key, value) in enumerate(role.tags.items(), 1):
        fields += [(f"Tags.member.{number}.Key", key), (f"Tags.member.{number}.Value", value)]
    return await _ask(caller, role, fields, deadline=deadline)


async def _assume_with_web_identity(
    caller: Caller, role: Role, token: str, *, deadline: float | None = None
) -> Credentials:
    """A session of `role` for whom `token`, an OpenID Connect provider's, names. `caller` need not sign.

    Raises Misconfigured and Retryable.
    """
    if role.external_id or role.tags:
        raise Misconfigured("a web identity takes no external id and no tags", what="Role.tags")
    fields = [*_write(role, "AssumeRoleWithWebIdentity"), ("WebIdentityToken", token)]
    return await _ask(caller, role, fields, deadline=deadline)


def _write(role: Role, operation: str) -> list[tuple[str, str]]:
    return [
        ("Action", operation),
        ("Version", VERSION),
        ("RoleArn", role.arn),
        ("RoleSessionName", role.session_name),
        ("DurationSeconds", str(role.duration_s)),
    ]


async def _ask(caller: Caller, role: Role, fields: list[tuple[str, str]], *, deadline: float | None) -> Credentials:
    operation = fields[0][1]
    refused: ServiceError | None = None
    try:
        reply = await caller.call(STS, operation, encode_query(fields).encode(), headers=_FORM, deadline=deadline)
        return _read_answer(reply.body)
    except ValueError as error:
        raise ServiceUnavailable(
            f"sts {operation}: {error}", service="sts", operation=operation, code="MalformedReply", status=200
        ) from None
    except ServiceError as error:
        refused = error
    if operation == "AssumeRole":
        raise _judge(refused, role, str(refused)) from refused
    raise _judge(refused, role, _name(refused))  # not `from` it: a service's words may quote the request, so the token


def _name(error: ServiceError) -> str:
    request = f" (request {error.request_id})" if error.request_id else ""
    return f"{error.service} {error.operation}: {error.code}{request}"


def _judge(error: ServiceError, role: Role, told: str) -> Exception:
    """What the refusal means to whoever runs this process."""
    if not isinstance(error, ServiceUnavailable) or error.code in _EXPIRED_CODES:
        return Misconfigured(f"the role {role.arn} cannot be assumed: {told}", what=role.arn)
    return ServiceUnavailable(told, **error.facts, after_s=error.after_s)


def _read_answer(document: bytes) -> Credentials:
    """The members of the one `Credentials`. Raises ValueError, without a word of the answer."""
    sections = re.findall(_SECTION, document, flags=re.DOTALL) if len(document) <= MAX_ANSWER_BYTES else []
    pairs = re.findall(_MEMBER, sections[0]) if len(sections) == 1 else []
    members = {name.decode(): value.decode() for name, value in pairs}
    wanted = [members.get(name, "") for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")]
    if len(members) != len(pairs) or "" in wanted:
        raise ValueError("the answer holds no credentials")
    access_key, secret_key, token, expiration = wanted
    if re.fullmatch(_ACCESS_KEY, access_key) is None:
        raise ValueError("the answer holds no access key")
    try:
        expires = datetime.fromisoformat(expiration)
    except ValueError:
        raise ValueError("the answer holds no date of expiry") from None
    if expires.tzinfo is None:
        raise ValueError("the date of expiry has no time zone")
    return Credentials(access_key, secret_key, token, expires.timestamp())


def _read_token(path: str) -> str:
    """The token in the file. Raises Misconfigured, without a word of it."""
    what = "AWS_WEB_IDENTITY_TOKEN_FILE"
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_TOKEN + 2)
    except OSError as error:
        raise Misconfigured(f"{what} cannot be read: {error.strerror}", what=what) from error
    token = content.strip()
    if not (MIN_TOKEN <= len(token) <= MAX_TOKEN and re.fullmatch(rb"[!-~]+", token)):
        raise Misconfigured(f"{what} holds no token of {MIN_TOKEN} to {MAX_TOKEN} characters", what=what)
    return token.decode()
