"""The identity provider in a console: tokens of the local issuer, its keys, and what a person may do to it.

    POST /api/token
        {"subject"?: "developer", "groups"?: ["admin"], "tenant"?: "acme", "claims"?: {...}, "minutes"?: 60}
        The body may be left out. Groups and tenant are the claims that the authorizer looks for where nothing else is
        set (docs/authorizer.md); `claims` are any others.
        {"token": "eyJ...", "expires_s": 3600, "subject": "developer"}      good for so many seconds from now
        404 where the template names no token issuer

    GET /api/issuer
        {"issuer": URL, "away": "" | "down" | "hang", "keys": [{"kid": "...", "signs": true}, ...]}

    POST /api/issuer/{rotate|withdraw|down|hang|up}                         the same, afterwards

Of several Regions the host has the one provider; the consoles of all of them ask it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, cast

from aiohttp import ClientError, ClientSession, ClientTimeout

from localcloud.clock import Clock
from localcloud.console.refusals import ApiError
from localcloud.console.site import Asked, Routes
from localcloud.issuer import ISSUER_PATH, MAX_MINUTES, LocalIssuer
from localcloud.json_text import MalformedJson, read_json

__all__ = ["Identity", "TokenOrder", "read_object", "read_order", "read_words"]

TOKEN_MINUTES: Final = 60
MAX_SUBJECT_CHARS: Final = 128
MAX_GROUPS: Final = 50
MAX_CLAIMS: Final = 20
MAX_CLAIM_CHARS: Final = 64
DEFAULT_SUBJECT: Final = "developer"  # as of `sluiceway token`
GROUPS_CLAIM: Final = "cognito:groups"
TENANT_CLAIM: Final = "custom:tenant"
ANSWER_S: Final = 10.0  # making a key takes a part of a second
_ACTIONS: Final = ("rotate", "withdraw", "down", "hang", "up")
Json: TypeAlias = dict[str, Any]


class TokenOrder(NamedTuple):
    """A token that is wanted; `claims` beside the issuer's own."""

    subject: str = DEFAULT_SUBJECT
    minutes: int = TOKEN_MINUTES
    claims: Mapping[str, object] = {}


class Identity:
    """Asks the provider at the AWS port `at`; signs with the key in `folder`. Methods raise ApiError."""

    def __init__(self, at: str, *, folder: Path, audience: str, clock: Clock) -> None:
        self._at = at
        self._folder = folder
        self._audience = audience
        self._clock = clock

    def routes(self) -> Routes:
        """What of a console is the provider's."""

        async def make(asked: Asked) -> Json:
            return await asyncio.to_thread(self.token, asked.body)

        return {
            "/api/token": {"POST": make},
            "/api/issuer": {"GET": lambda _: self._ask("GET", "")},
            "/api/issuer/": {"POST": lambda asked: self._act(asked.tail)},
        }

    def token(self, body: bytes) -> Json:
        """A bearer token of the local issuer. Takes some milliseconds of CPU; safe in a thread."""
        order = read_order(body)
        if not self._audience:
            raise ApiError("The template names no token issuer (Metadata.Sluiceway.TokenIssuer).", status=404)
        issuer = LocalIssuer.open(self._folder)
        try:
            token = issuer.token(
                subject=order.subject,
                audience=self._audience,
                minutes=order.minutes,
                clock=self._clock,
                claims=order.claims,
            )
        except ValueError as error:
            raise ApiError(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
        return {"token": token, "expires_s": order.minutes * 60, "subject": order.subject}

    async def _act(self, action: str) -> Json:
        if action not in _ACTIONS:
            raise ApiError(f"The provider can {', '.join(_ACTIONS)}.", status=404)
        return await self._ask("POST", f"/{action}")

    async def _ask(self, method: str, path: str) -> Json:
        timeout = ClientTimeout(total=ANSWER_S)
        try:
            async with (
                ClientSession(timeout=timeout) as session,
                session.request(method, f"{self._at}{ISSUER_PATH}{path}") as answer,
            ):
                told: Json = await answer.json(content_type=None)
        except (ClientError, TimeoutError, ValueError) as error:
            raise ApiError("The identity provider does not answer; is the local cloud there?", status=502) from error
        if "error" in told:
            raise ApiError(f"The identity provider says: {told['error']}.", status=409)
        return told


def read_order(body: bytes) -> TokenOrder:
    """What is wanted. Raises ApiError, which quotes nothing."""
    if not body.strip():
        return TokenOrder()
    members = read_object(body, "subject", "groups", "tenant", "claims", "minutes")
    minutes = members.get("minutes", TOKEN_MINUTES)
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= MAX_MINUTES:
        raise ApiError(f"minutes is a whole number from 1 to {MAX_MINUTES:,}.")
    subject = read_words(members.get("subject", DEFAULT_SUBJECT), "subject", most=MAX_SUBJECT_CHARS)
    claims: dict[str, object] = dict(_read_claims(members.get("claims", {})))
    if "groups" in members:
        claims[GROUPS_CLAIM] = _read_groups(members["groups"])
    if "tenant" in members:
        claims[TENANT_CLAIM] = read_words(members["tenant"], "tenant", most=MAX_SUBJECT_CHARS)
    return TokenOrder(subject, minutes, claims)


def _read_groups(value: object) -> list[str]:
    groups = cast("list[object]", value) if isinstance(value, list) else None
    if groups is None or len(groups) > MAX_GROUPS:
        raise ApiError(f"groups is a list of {MAX_GROUPS} names at most.")
    return [read_words(each, "A group", most=MAX_SUBJECT_CHARS) for each in groups]


def _read_claims(value: object) -> Mapping[str, object]:
    claims = cast("dict[str, object]", value) if isinstance(value, dict) else None
    if claims is None or len(claims) > MAX_CLAIMS:
        raise ApiError(f"claims is an object with {MAX_CLAIMS} members at most.")
    for name in claims:
        read_words(name, "A claim's name", most=MAX_CLAIM_CHARS)
    return claims


def read_words(value: object, name: str, *, most: int) -> str:
    """Text with something in it that a line can show. Raises ApiError."""
    if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable() or not value.strip():
        raise ApiError(f"{name} is text of 1 to {most} printable characters.")
    return value


def read_object(body: bytes, *names: str) -> Json:
    """The JSON object in `body`, which has no other members than `names`. Raises ApiError."""
    try:
        members = read_json(body)
    except MalformedJson as error:
        raise ApiError(f"The body is not JSON: {error}.") from error
    if not isinstance(members, dict) or members.keys() - set(names):
        raise ApiError(f"The body is an object with no other members than {', '.join(names)}.")
    return cast("Json", members)
