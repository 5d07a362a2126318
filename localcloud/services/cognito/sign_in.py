"""Signing in to a user pool: passwords, secure remote passwords, first passwords, refreshed tokens.

Second factors, custom challenges and passkeys are refused by name.
Source: https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-authentication-flow-methods.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.cognito.calls import Call, Members, check_secret
from localcloud.services.cognito.errors import CognitoError, bad_credentials, invalid, not_served, refused, user_missing
from localcloud.services.cognito.model import Client, Pool, Session, User
from localcloud.services.cognito.srp import check_claim, start_srp
from localcloud.services.cognito.tokens import SignIn
from localcloud.services.cognito.triggers import Trigger, token_overrides

__all__ = ["OPERATIONS", "UNSIGNED"]

UNSIGNED: Final = ("InitiateAuth", "RespondToAuthChallenge", "RevokeToken")
SESSION_S: Final = 180.0  # AuthSessionValidity: three minutes unless a client says otherwise
_FLOWS: Final = {
    "ADMIN_NO_SRP_AUTH": ("ADMIN_NO_SRP_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH"),
    "ADMIN_USER_PASSWORD_AUTH": ("ADMIN_NO_SRP_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH"),
    "REFRESH_TOKEN": ("ALLOW_REFRESH_TOKEN_AUTH",),
    "REFRESH_TOKEN_AUTH": ("ALLOW_REFRESH_TOKEN_AUTH",),
    "USER_PASSWORD_AUTH": ("USER_PASSWORD_AUTH", "ALLOW_USER_PASSWORD_AUTH"),
    "USER_SRP_AUTH": ("ALLOW_USER_SRP_AUTH",),
}
_OLD_FLOWS: Final = ("ADMIN_NO_SRP_AUTH", "CUSTOM_AUTH_FLOW_ONLY", "USER_PASSWORD_AUTH")


async def _initiate(call: Call) -> Members:
    if call.text("AuthFlow").startswith("ADMIN_"):
        raise invalid("Initiate Auth method not supported.")
    pool, client = call.client()
    return await _begin(call, pool, client)


async def _initiate_as_admin(call: Call) -> Members:
    pool = call.pool()
    return await _begin(call, pool, pool.client(call.text("ClientId")))


async def _begin(call: Call, pool: Pool, client: Client) -> Members:
    flow, given = call.text("AuthFlow"), call.map("AuthParameters")
    if flow not in _FLOWS:
        raise not_served(f"the flow {flow}")
    old = set(client.settings.get("ExplicitAuthFlows") or ()) & set(_OLD_FLOWS)
    if not client.allows(*_FLOWS[flow]) and not (old and flow.startswith(("REFRESH", "USER_SRP"))):
        named = "Auth flow" if flow.startswith("ADMIN") else f"{flow} flow"
        raise invalid(f"{named} not enabled for this client")
    if flow.startswith("REFRESH"):
        return await _refresh(call, pool, client)
    name = _need(given, "USERNAME")
    check_secret(client, name, str(given.get("SECRET_HASH") or ""))
    user = _known(pool, client, name)
    await _ask_before(call, SignIn(pool, client, user))
    if flow == "USER_SRP_AUTH":
        return _challenge_srp(call, SignIn(pool, client, user), _need(given, "SRP_A"))
    if not pool.is_proven(user, _need(given, "PASSWORD")):
        raise bad_credentials()
    return await _proven(call, SignIn(pool, client, user))


async def _proven(call: Call, who: SignIn, *, reason: str = "Authentication") -> Members:
    """Somebody has shown the password: what is next."""
    user = who.user
    if user.status == "UNCONFIRMED":
        raise CognitoError("UserNotConfirmedException", "User is not confirmed.")
    if user.status == "RESET_REQUIRED":
        raise CognitoError("PasswordResetRequiredException", "Password reset required for the user")
    if user.status == "FORCE_CHANGE_PASSWORD":
        return _challenge(call, who, "NEW_PASSWORD_REQUIRED", parameters={
            "USER_ID_FOR_SRP": user.username, "requiredAttributes": "[]",
            "userAttributes": json.dumps({name: value for name, value in user.attributes.items() if name != "sub"}),
        })  # fmt: skip
    if who.pool.settings.get("MfaConfiguration") == "ON":
        raise not_served("second factors, which this pool asks for: MfaConfiguration is ON")
    told = await _finish(call, who, reason)
    trigger = Trigger("PostAuthentication", "Authentication", who.client.id, {"newDeviceUsed": False})
    await call.triggers.call(who.pool, user, trigger)
    return told


async def _finish(call: Call, who: SignIn, reason: str) -> Members:
    overrides = await _ask_tokens(call, who, reason)
    issued = await call.tokens.issue(who, overrides=overrides)
    return {"AuthenticationResult": issued.tell(), "ChallengeParameters": {}}


async def _refresh(call: Call, pool: Pool, client: Client) -> Members:
    given = call.map("AuthParameters")
    kept = pool.refreshes.get(_need(given, "REFRESH_TOKEN"))
    user = pool.users.get(kept.username) if kept is not None else None
    if kept is None or user is None or kept.client_id != client.id:
        raise refused("Invalid Refresh Token")
    check_secret(client, user.username, str(given.get("SECRET_HASH") or ""))
    if kept.until_s <= call.now:
        raise refused("Refresh Token has expired")
    if kept.epoch != user.epoch or kept.origin in pool.revoked:
        raise refused("Refresh Token has been revoked")
    if not user.enabled:
        raise refused("User is disabled.")
    who = SignIn(pool, client, user)
    overrides = await _ask_tokens(call, who, "RefreshTokens")
    issued = await call.tokens.issue(who, overrides=overrides, origin=kept)
    return {"AuthenticationResult": issued.tell(), "ChallengeParameters": {}}


async def _respond(call: Call) -> Members:
    pool, client = call.client()
    return await _answer(call, pool, client)


async def _respond_as_admin(call: Call) -> Members:
    pool = call.pool()
    return await _answer(call, pool, pool.client(call.text("ClientId")))


async def _answer(call: Call, pool: Pool, client: Client) -> Members:
    name, given = call.text("ChallengeName"), call.map("ChallengeResponses")
    if name not in {"NEW_PASSWORD_REQUIRED", "PASSWORD_VERIFIER"}:
        raise not_served(f"the challenge {name}")
    # a secret block stands for the session of SRP, which SDKs do not send back
    key = call.text("Session") or str(given.get("PASSWORD_CLAIM_SECRET_BLOCK") or "")
    session = pool.sessions.pop(key, None)
    if session is None or session.until_s <= call.now or (session.client_id, session.challenge) != (client.id, name):
        raise refused("Invalid session for the user.")
    who = SignIn(pool, client, pool.user(session.username))
    check_secret(client, str(given.get("USERNAME") or ""), str(given.get("SECRET_HASH") or ""))
    if name == "PASSWORD_VERIFIER":
        if not check_claim(who.pool.id, who.user, session.secret, given=given):
            raise bad_credentials()
        return await _proven(call, who)
    password = _need(given, "NEW_PASSWORD")
    pool.check_password(password)
    prefix = "userAttributes."
    who.user.attributes.update({k.removeprefix(prefix): str(v) for k, v in given.items() if k.startswith(prefix)})
    who.user.proof, who.user.status, who.user.modified_s = pool.prove(who.user, password), "CONFIRMED", call.now
    return await _proven(call, who, reason="NewPasswordChallenge")


def _challenge_srp(call: Call, who: SignIn, public: str) -> Members:
    if who.user.proof is None:
        raise bad_credentials()
    secret, parameters = start_srp(who.user.proof, public, call.pools.rng)
    block = base64.b64encode(call.pools.rng.randbytes(1_024)).decode()
    username = who.user.username
    told = {**parameters, "SECRET_BLOCK": block, "USERNAME": username, "USER_ID_FOR_SRP": username}
    session = Session(username, who.client.id, "PASSWORD_VERIFIER", call.now + _validity(who.client), secret)
    call.pools.keep(who.pool.sessions, block, session)
    return {"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": told}


def _challenge(call: Call, who: SignIn, name: str, *, parameters: Members) -> Members:
    key = base64.urlsafe_b64encode(call.pools.rng.randbytes(96)).decode()
    session = Session(who.user.username, who.client.id, name, call.now + _validity(who.client))
    call.pools.keep(who.pool.sessions, key, session)
    return {"ChallengeName": name, "Session": key, "ChallengeParameters": parameters}


def _validity(client: Client) -> float:
    return 60.0 * float(client.settings.get("AuthSessionValidity") or SESSION_S / 60)


def _known(pool: Pool, client: Client, name: str) -> User:
    user = pool.find(name)
    if user is None:
        hides = client.settings.get("PreventUserExistenceErrors") == "ENABLED"
        raise bad_credentials() if hides else user_missing()
    if not user.enabled:
        raise refused("User is disabled.")
    return user


async def _ask_before(call: Call, who: SignIn) -> None:
    data = {"validationData": call.map("ClientMetadata"), "userNotFound": False}
    await call.triggers.call(who.pool, who.user, Trigger("PreAuthentication", "Authentication", who.client.id, data))


async def _ask_tokens(call: Call, who: SignIn, reason: str) -> Mapping[str, Any]:
    groups = who.pool.groups_of(who.user)
    roles = [group.role_arn for group in groups if group.role_arn]
    configuration = {
        "groupsToOverride": [group.name for group in groups],
        "iamRolesToOverride": roles,
        "preferredRole": roles[0] if roles else None,
    }
    request = {"groupConfiguration": configuration, "clientMetadata": call.map("ClientMetadata")}
    trigger = Trigger("PreTokenGeneration", reason, who.client.id, request)
    return token_overrides(await call.triggers.call(who.pool, who.user, trigger))


async def _revoke(call: Call) -> None:
    pool, client = call.client()
    if client.secret and call.text("ClientSecret") != client.secret:
        raise CognitoError("UnauthorizedException", "Invalid client secret.")
    kept = pool.refreshes.get(call.text("Token"))
    if kept is not None and kept.client_id == client.id:
        call.pools.keep(pool.revoked, kept.origin, call.now)


def _need(given: Mapping[str, Any], name: str) -> str:
    value = str(given.get(name) or "")
    if not value:
        raise invalid(f"Missing required parameter {name}")
    return value


OPERATIONS: Final = {
    "AdminInitiateAuth": _initiate_as_admin,
    "AdminRespondToAuthChallenge": _respond_as_admin,
    "InitiateAuth": _initiate,
    "RespondToAuthChallenge": _respond,
    "RevokeToken": _revoke,
}
