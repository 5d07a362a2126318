"""What users of a pool do for themselves: signing up, forgotten passwords, their own attributes, signing out.

Source: https://docs.aws.amazon.com/cognito/latest/developerguide/signing-up-users-in-your-app.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.cognito.calls import Call, Members, attributes_of, check_secret, deliver, tell_attributes
from localcloud.services.cognito.errors import CognitoError, bad_credentials, invalid, not_served, refused
from localcloud.services.cognito.model import Pool, User
from localcloud.services.cognito.triggers import Trigger

__all__ = ["OPERATIONS", "UNSIGNED"]

CONFIRMATION: Final = "confirmation"
RESET: Final = "password reset"
_OWN: Final = ("sub", "email_verified", "phone_number_verified", "identities")


async def _sign_up(call: Call) -> Members:
    pool, client = call.client()
    name, password = call.text("Username"), call.text("Password")
    check_secret(client, name, call.text("SecretHash"))
    by_whom: Mapping[str, Any] = pool.settings.get("AdminCreateUserConfig") or {}
    if by_whom.get("AllowAdminCreateUserOnly"):
        raise refused("SignUp is not permitted for this user pool")
    pool.check_password(password)
    attributes = attributes_of(call.body.get("UserAttributes"))
    check_own(attributes)
    user = call.pools.create_user(pool, name, attributes, status="UNCONFIRMED")
    data = {
        "validationData": attributes_of(call.body.get("ValidationData")),
        "clientMetadata": call.map("ClientMetadata"),
    }
    try:
        answer = await call.triggers.call(pool, user, Trigger("PreSignUp", "SignUp", client.id, data))
    except CognitoError:
        pool.users.pop(user.username, None)
        raise
    user.proof = pool.prove(user, password)
    user.attributes |= {kind: "true" for flag, kind in _VERIFIED if answer.get(flag)}
    told: Members = {"UserConfirmed": bool(answer.get("autoConfirmUser")), "UserSub": user.sub}
    if answer.get("autoConfirmUser"):
        await _confirmed(call, pool, user, client_id=client.id)
    elif pool.settings.get("AutoVerifiedAttributes"):
        told["CodeDeliveryDetails"] = deliver(call, pool, user, purpose=CONFIRMATION)
    return told


_VERIFIED: Final = (("autoVerifyEmail", "email_verified"), ("autoVerifyPhone", "phone_number_verified"))


async def _confirmed(call: Call, pool: Pool, user: User, *, client_id: str) -> None:
    user.status, user.modified_s = "CONFIRMED", call.now
    data = {"clientMetadata": call.map("ClientMetadata")}
    await call.triggers.call(pool, user, Trigger("PostConfirmation", "ConfirmSignUp", client_id, data))


async def _confirm_sign_up(call: Call) -> Members:
    pool, client = call.client()
    check_secret(client, call.text("Username"), call.text("SecretHash"))
    user = pool.user(call.text("Username"))
    if user.status != "UNCONFIRMED":
        raise refused(f"User cannot be confirmed. Current status is {user.status}")
    call.pools.take_code(user, CONFIRMATION, call.text("ConfirmationCode"))
    for attribute in pool.settings.get("AutoVerifiedAttributes") or ():
        if attribute in user.attributes:
            user.attributes[f"{attribute}_verified"] = "true"
    await _confirmed(call, pool, user, client_id=client.id)
    return {}


async def _resend(call: Call) -> Members:
    pool, client = call.client()
    check_secret(client, call.text("Username"), call.text("SecretHash"))
    user = pool.user(call.text("Username"))
    if user.status != "UNCONFIRMED":
        raise invalid("User is already confirmed.")
    return {"CodeDeliveryDetails": deliver(call, pool, user, purpose=CONFIRMATION)}


async def _forgot(call: Call) -> Members:
    pool, client = call.client()
    check_secret(client, call.text("Username"), call.text("SecretHash"))
    user = pool.user(call.text("Username"))
    if not user.enabled:
        raise refused("User is disabled.")
    if "true" not in {user.attributes.get("email_verified"), user.attributes.get("phone_number_verified")}:
        raise invalid("Cannot reset password for the user as there is no registered/verified email or phone_number")
    return {"CodeDeliveryDetails": deliver(call, pool, user, purpose=RESET)}


async def _confirm_forgot(call: Call) -> Members:
    pool, client = call.client()
    check_secret(client, call.text("Username"), call.text("SecretHash"))
    user = pool.user(call.text("Username"))
    pool.check_password(call.text("Password"))
    call.pools.take_code(user, RESET, call.text("ConfirmationCode"))
    user.proof, user.status, user.modified_s = pool.prove(user, call.text("Password")), "CONFIRMED", call.now
    data = {"clientMetadata": call.map("ClientMetadata")}
    await call.triggers.call(pool, user, Trigger("PostConfirmation", "ConfirmForgotPassword", client.id, data))
    return {}


async def _get_user(call: Call) -> Members:
    _, user, _ = await call.tokens.user_of(call.text("AccessToken"))
    return {"Username": user.username, "UserAttributes": tell_attributes(user)}


async def _update_attributes(call: Call) -> Members:
    pool, user, _ = await call.tokens.user_of(call.text("AccessToken"))
    given = attributes_of(call.body["UserAttributes"])
    check_own(given)
    changed = [kind for kind in ("email", "phone_number") if kind in given and given[kind] != user.attributes.get(kind)]
    if changed and any(kind in (pool.settings.get("AutoVerifiedAttributes") or ()) for kind in changed):
        raise not_served(f"the verification of a changed attribute ({changed[0]}): an administrator changes it here")
    user.attributes |= given
    user.modified_s = call.now
    return {"CodeDeliveryDetailsList": []}


async def _change_password(call: Call) -> Members:
    pool, user, _ = await call.tokens.user_of(call.text("AccessToken"))
    if not pool.is_proven(user, call.text("PreviousPassword")):
        raise bad_credentials()
    pool.check_password(call.text("ProposedPassword"))
    user.proof, user.modified_s = pool.prove(user, call.text("ProposedPassword")), call.now
    return {}


async def _delete_user(call: Call) -> None:
    pool, user, _ = await call.tokens.user_of(call.text("AccessToken"))
    pool.users.pop(user.username, None)


async def _sign_out(call: Call) -> Members:
    pool, user, _ = await call.tokens.user_of(call.text("AccessToken"))
    sign_out_everywhere(call, pool, user)
    return {}


def sign_out_everywhere(call: Call, pool: Pool, user: User) -> None:
    """End every refresh token of a user, and the access tokens that came with them."""
    user.epoch += 1
    for kept in pool.refreshes.values():
        if kept.username == user.username:
            call.pools.keep(pool.revoked, kept.origin, call.now)


def check_own(attributes: dict[str, str]) -> None:
    """Refuse what users cannot say of themselves. Raises CognitoError."""
    for name in _OWN:
        if name in attributes:
            raise refused(f"A client attempted to write unauthorized attribute: {name}")


OPERATIONS: Final = {
    "ChangePassword": _change_password,
    "ConfirmForgotPassword": _confirm_forgot,
    "ConfirmSignUp": _confirm_sign_up,
    "DeleteUser": _delete_user,
    "ForgotPassword": _forgot,
    "GetUser": _get_user,
    "GlobalSignOut": _sign_out,
    "ResendConfirmationCode": _resend,
    "SignUp": _sign_up,
    "UpdateUserAttributes": _update_attributes,
}
UNSIGNED: Final = tuple(OPERATIONS)
