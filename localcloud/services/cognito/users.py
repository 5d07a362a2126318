"""What administrators do with users and groups of a pool.

Source: https://docs.aws.amazon.com/cognito/latest/developerguide/how-to-create-user-accounts.html
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from localcloud.services.cognito.calls import Call, Members, attributes_of, deliver, tell_attributes
from localcloud.services.cognito.errors import CognitoError, invalid, refused
from localcloud.services.cognito.model import Group, Pool, User
from localcloud.services.cognito.self_service import RESET, sign_out_everywhere
from localcloud.services.cognito.triggers import Trigger
from localcloud.services.pages import MalformedToken, cut_page

__all__ = ["OPERATIONS", "cut", "invite", "make_group", "make_user"]

MAX_PAGE: Final = 60
_FILTER: Final = re.compile(r'\s*"?([\w:]+)"?\s*(\^?=)\s*"([^"]*)"\s*')
_ONE_OF_EACH: Final = "aA1!"  # one of each kind that a policy may ask for
T = TypeVar("T")


def make_user(call: Call, pool: Pool, name: str, *, attributes: dict[str, str], password: str = "") -> tuple[User, str]:
    """A user that an administrator makes, and its first password: who signs in first sets another."""
    if "sub" in attributes:
        raise invalid("Cannot modify the non-mutable attribute sub")
    if password:
        pool.check_password(password)
    user = call.pools.create_user(pool, name, attributes, status="FORCE_CHANGE_PASSWORD")
    return user, _set_first(call, pool, user, password=password)


def invite(call: Call, pool: Pool, user: User, *, password: str) -> None:
    """Bring a user what Cognito's invitation says."""
    name = user.attributes.get("email", user.username)
    call.send(pool, user, f"invitation of {name}, temporary password {password}")


def _set_first(call: Call, pool: Pool, user: User, *, password: str) -> str:
    first = password or _ONE_OF_EACH + call.pools.characters(string.ascii_letters + string.digits, 12)
    user.proof = pool.prove(user, first)
    return first


async def _create_user(call: Call) -> Members:
    pool = call.pool()
    name = call.text("Username")
    if call.text("MessageAction") == "RESEND":
        user = pool.user(name)
        if user.status != "FORCE_CHANGE_PASSWORD":
            raise CognitoError(
                "UnsupportedUserStateException", f"Resend not possible. {name} status is not FORCE_CHANGE_PASSWORD"
            )
        invite(call, pool, user, password=_set_first(call, pool, user, password=call.text("TemporaryPassword")))
        return {"User": _tell(user)}
    attributes = attributes_of(call.body.get("UserAttributes"))
    user, first = make_user(call, pool, name, attributes=attributes, password=call.text("TemporaryPassword"))
    data = {
        "validationData": attributes_of(call.body.get("ValidationData")),
        "clientMetadata": call.map("ClientMetadata"),
    }
    try:
        await call.triggers.call(pool, user, Trigger("PreSignUp", "AdminCreateUser", "CLIENT_ID_NOT_APPLICABLE", data))
    except CognitoError:
        pool.users.pop(user.username, None)
        raise
    if call.text("MessageAction") != "SUPPRESS":
        invite(call, pool, user, password=first)
    return {"User": _tell(user)}


async def _get_user(call: Call) -> Members:
    _, user = call.user()
    told = _tell(user)
    told["UserAttributes"] = told.pop("Attributes")
    return told


async def _delete_user(call: Call) -> None:
    pool, user = call.user()
    pool.users.pop(user.username, None)


async def _set_password(call: Call) -> Members:
    pool, user = call.user()
    pool.check_password(call.text("Password"))
    user.proof, user.modified_s = pool.prove(user, call.text("Password")), call.now
    user.status = "CONFIRMED" if call.body.get("Permanent") else "FORCE_CHANGE_PASSWORD"
    return {}


async def _update_attributes(call: Call) -> Members:
    _, user = call.user()
    given = attributes_of(call.body["UserAttributes"])
    if "sub" in given:
        raise invalid("Cannot modify the non-mutable attribute sub")
    user.attributes |= given
    user.modified_s = call.now
    return {}


async def _delete_attributes(call: Call) -> Members:
    _, user = call.user()
    for name in call.body["UserAttributeNames"]:
        if name == "sub":
            raise invalid("Cannot modify the non-mutable attribute sub")
        user.attributes.pop(name, None)
    return {}


async def _enable(call: Call) -> Members:
    call.user()[1].enabled = True
    return {}


async def _disable(call: Call) -> Members:
    call.user()[1].enabled = False
    return {}


async def _confirm(call: Call) -> Members:
    pool, user = call.user()
    if user.status != "UNCONFIRMED":
        raise refused(f"User cannot be confirmed. Current status is {user.status}")
    user.status = "CONFIRMED"
    data = {"clientMetadata": call.map("ClientMetadata")}
    await call.triggers.call(pool, user, Trigger("PostConfirmation", "ConfirmSignUp", "CLIENT_ID_NOT_APPLICABLE", data))
    return {}


async def _reset_password(call: Call) -> Members:
    pool, user = call.user()
    user.status = "RESET_REQUIRED"
    deliver(call, pool, user, purpose=RESET)
    return {}


async def _sign_out(call: Call) -> Members:
    pool, user = call.user()
    sign_out_everywhere(call, pool, user)
    return {}


async def _list_users(call: Call) -> Members:
    pool = call.pool()
    found = list(pool.users.values())
    if text := call.text("Filter"):
        read = _FILTER.fullmatch(text)
        if read is None:
            raise invalid("Error while parsing filter.")
        found = [user for user in found if _matches(user, read[1], read[3], begins=read[2] == "^=")]
    found.sort(key=lambda user: user.username)
    page, more = cut(call, found, cursor="PaginationToken")
    wanted = call.body.get("AttributesToGet")
    return {"Users": [_tell(user, wanted) for user in page], **more}


def _matches(user: User, name: str, value: str, *, begins: bool) -> bool:
    own = {
        "username": user.username,
        "cognito:user_status": user.status,
        "status": "Enabled" if user.enabled else "Disabled",
    }
    found = own.get(name, user.attributes.get(name, ""))
    return found.startswith(value) if begins else found == value


def make_group(call: Call, pool: Pool, settings: dict[str, Any]) -> Group:
    """A group. Raises CognitoError: GroupExistsException."""
    name = str(settings["GroupName"])
    if name in pool.groups:
        raise CognitoError("GroupExistsException", "A group with the name already exists.")
    made = Group(name, call.now, call.now)
    pool.groups[name] = made
    return _changed(made, settings)


def _changed(group: Group, settings: Any) -> Group:
    group.description = str(settings.get("Description") or group.description)
    group.role_arn = str(settings.get("RoleArn") or group.role_arn)
    group.precedence = settings.get("Precedence", group.precedence)
    return group


async def _create_group(call: Call) -> Members:
    pool = call.pool()
    return {"Group": _tell_group(pool, make_group(call, pool, dict(call.body)))}


async def _update_group(call: Call) -> Members:
    pool = call.pool()
    group = _changed(pool.group(call.text("GroupName")), call.body)
    group.modified_s = call.now
    return {"Group": _tell_group(pool, group)}


async def _get_group(call: Call) -> Members:
    pool = call.pool()
    return {"Group": _tell_group(pool, pool.group(call.text("GroupName")))}


async def _delete_group(call: Call) -> None:
    pool = call.pool()
    name = pool.group(call.text("GroupName")).name
    del pool.groups[name]
    for user in pool.users.values():
        user.groups.discard(name)


async def _list_groups(call: Call) -> Members:
    pool = call.pool()
    page, more = cut(call, sorted(pool.groups.values(), key=lambda group: group.name))
    return {"Groups": [_tell_group(pool, group) for group in page], **more}


async def _groups_of_user(call: Call) -> Members:
    pool, user = call.user()
    page, more = cut(call, sorted(pool.groups_of(user), key=lambda group: group.name))
    return {"Groups": [_tell_group(pool, group) for group in page], **more}


async def _users_in_group(call: Call) -> Members:
    pool = call.pool()
    name = pool.group(call.text("GroupName")).name
    found = sorted((user for user in pool.users.values() if name in user.groups), key=lambda user: user.username)
    page, more = cut(call, found)
    return {"Users": [_tell(user) for user in page], **more}


async def _add_to_group(call: Call) -> None:
    pool, user = call.user()
    user.groups.add(pool.group(call.text("GroupName")).name)


async def _remove_from_group(call: Call) -> None:
    pool, user = call.user()
    user.groups.discard(pool.group(call.text("GroupName")).name)


def cut(call: Call, items: Sequence[T], *, cursor: str = "NextToken") -> tuple[Sequence[T], Members]:
    """The page of a list that the request asks for, and the member that leads to the next one."""
    asked = int(call.body.get("Limit") or call.body.get("MaxResults") or MAX_PAGE)
    number = {f"{index:09d}": item for index, item in enumerate(items)}
    try:
        page, more = cut_page(list(number), str, token=call.text(cursor), most=asked)
    except MalformedToken as error:
        raise invalid("Invalid pagination token.") from error
    return [number[each] for each in page], {cursor: more} if more else {}


def _tell(user: User, wanted: Sequence[str] | None = None) -> Members:
    attributes = [each for each in tell_attributes(user) if wanted is None or each["Name"] in wanted]
    return {
        "Username": user.username,
        "Attributes": attributes,
        "UserCreateDate": user.created_s,
        "UserLastModifiedDate": user.modified_s,
        "Enabled": user.enabled,
        "UserStatus": user.status,
    }


def _tell_group(pool: Pool, group: Group) -> Members:
    told: Members = {"GroupName": group.name, "UserPoolId": pool.id}
    told |= {"Description": group.description} if group.description else {}
    told |= {"RoleArn": group.role_arn} if group.role_arn else {}
    told |= {"Precedence": group.precedence} if group.precedence is not None else {}
    return told | {"LastModifiedDate": group.modified_s, "CreationDate": group.created_s}


OPERATIONS: Final = {
    "AdminAddUserToGroup": _add_to_group,
    "AdminConfirmSignUp": _confirm,
    "AdminCreateUser": _create_user,
    "AdminDeleteUser": _delete_user,
    "AdminDeleteUserAttributes": _delete_attributes,
    "AdminDisableUser": _disable,
    "AdminEnableUser": _enable,
    "AdminGetUser": _get_user,
    "AdminListGroupsForUser": _groups_of_user,
    "AdminRemoveUserFromGroup": _remove_from_group,
    "AdminResetUserPassword": _reset_password,
    "AdminSetUserPassword": _set_password,
    "AdminUpdateUserAttributes": _update_attributes,
    "AdminUserGlobalSignOut": _sign_out,
    "CreateGroup": _create_group,
    "DeleteGroup": _delete_group,
    "GetGroup": _get_group,
    "ListGroups": _list_groups,
    "ListUsers": _list_users,
    "ListUsersInGroup": _users_in_group,
    "UpdateGroup": _update_group,
}
