"""What a token must say, compared to the letter, and whom it speaks for.

Required: `iss`, `aud`, `sub`, `exp` and `iat` (RFC 9068 section 2.2 and OpenID Connect Core section 2 have them all).
`iat` is required though nothing ends with it: a token from the future shows that a clock is wrong.
Source: https://www.rfc-editor.org/rfc/rfc7519 section 4.1
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from sluiceway.rules.tokens.refusals import InvalidToken

__all__ = ["LEEWAY_S", "Claims", "Identity", "IssuerRules", "check_claims", "name_caller"]

LEEWAY_S: Final = 30  # for clocks that disagree; RFC 7519 section 4.1.4 allows no more than a few minutes
MAX_SUBJECT: Final = 255  # OpenID Connect Core section 2
MAX_AUDIENCES: Final = 32  # of one token
MAX_GROUPS: Final = 100  # of a user: https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html
MAX_GROUP: Final = 128  # characters, as of a user pool's groups
MAX_GROUPS_TOGETHER: Final = 1_000  # characters; whether they fit into an answer is the authorizer's to say (`context`)
MAX_TENANT: Final = 128
MAX_DATE: Final = 1e12  # seconds; beyond any date that a calendar has
CALLER_LENGTH: Final = 22  # base64url letters, 132 bits of the digest


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for. `caller` is short, fixed in length and safe in ids; `expires_s` epoch seconds.

    `groups` are those of the token's claim, `tenant` "" where it has none.
    """

    caller: str
    subject: str
    issuer: str
    expires_s: int
    groups: tuple[str, ...] = ()
    tenant: str = ""


class Claims(NamedTuple):
    """The names of the claims that have a caller's groups and tenant."""

    groups: str = "cognito:groups"
    tenant: str = "custom:tenant"


class IssuerRules(NamedTuple):
    """What is asked of the tokens of one issuer: its name to the letter, and one of the audiences."""

    issuer: str
    audiences: frozenset[str]
    claims: Claims = Claims()


def name_caller(issuer: str, subject: str) -> str:
    """The caller's name in our own records: 22 base64url letters of SHA-256 over issuer, line feed, subject."""
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii")[:CALLER_LENGTH]


def check_claims(claims: Mapping[str, object], rules: IssuerRules, *, now_s: float) -> Identity:
    """Whom a token speaks for at `now_s` (epoch seconds), whose signature is known to be right. Raises InvalidToken."""
    if any(name not in claims for name in ("iss", "aud", "sub", "exp", "iat")):
        raise InvalidToken("missing-claim")
    if claims["iss"] != rules.issuer:
        raise InvalidToken("issuer")
    if rules.audiences.isdisjoint(_audiences(claims["aud"])):
        raise InvalidToken("audience")
    expires_s = _check_times(claims, now_s)
    subject, tenant = claims["sub"], claims.get(rules.claims.tenant, "")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise InvalidToken("subject")
    try:
        caller = name_caller(rules.issuer, subject)
    except UnicodeEncodeError:
        raise InvalidToken("subject") from None  # half of a surrogate pair is no character
    if not isinstance(tenant, str) or len(tenant) > MAX_TENANT:
        raise InvalidToken("tenant")
    return Identity(caller, subject, rules.issuer, expires_s, _read_groups(claims.get(rules.claims.groups)), tenant)


def _audiences(value: object) -> list[str]:
    """The audiences; none where they are not all texts: whoever adds something else means another reader."""
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    names = [each for each in listed if isinstance(each, str)]
    return names if len(names) == len(listed) <= MAX_AUDIENCES else []


def _read_groups(value: object) -> tuple[str, ...]:
    """The groups, () where there is no claim. One that cannot be carried whole is refused: a group may be denied."""
    groups = cast("list[object]", value) if isinstance(value, list) else []
    names = tuple(group for group in groups if isinstance(group, str) and 1 <= len(group) <= MAX_GROUP)
    if value is not None and (not isinstance(value, list) or len(names) != len(groups)):
        raise InvalidToken("groups")
    if len(names) > MAX_GROUPS or sum(map(len, names)) > MAX_GROUPS_TOGETHER:
        raise InvalidToken("groups")
    return names


def _check_times(claims: Mapping[str, object], now_s: float) -> int:
    """`exp`, in whole seconds. RFC 7519 sections 4.1.4 to 4.1.6."""
    expires_s = _date(claims, "exp")
    starts_s = [_date(claims, name) for name in ("iat", "nbf") if name in claims]
    if now_s >= expires_s + LEEWAY_S:
        raise InvalidToken("expired")
    if any(now_s < start_s - LEEWAY_S for start_s in starts_s):
        raise InvalidToken("not-yet-valid")
    return int(expires_s)


def _date(claims: Mapping[str, object], name: str) -> float:
    """A NumericDate: a JSON number, and one that a clock can show."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_DATE:
        raise InvalidToken("date")  # not a number is in no range either
    return float(value)
