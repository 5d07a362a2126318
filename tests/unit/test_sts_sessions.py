"""Sessions of roles over STS: their time, chaining, tags, and who is let in."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import parse_document
from localcloud.services.sts.wire import StsService

ACCOUNT = "123456789012"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}


class World:
    """Roles `target`, which trusts what it is told, and `caller`, whose key is `key`."""

    def __init__(self, *principals: str, actions: tuple[str, ...] = ("sts:AssumeRole",)) -> None:
        self.iam = Iam(random.Random(1))
        self.service = StsService(self.iam, clock=LoopClock(asyncio.get_running_loop()))
        service: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
        self.caller = self._role("caller", {**service, "Action": "sts:AssumeRole"})
        trusted = {"Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": list(actions)}
        self.target = self._role("target", trusted)
        self.iam.put_inline("target", parse_document(ALLOW, name="allow"))
        self.key = self.iam.issue_credentials(self.caller, function_name="f").access_key

    def _role(self, name: str, statement: dict[str, Any]) -> str:
        document = {"Version": "2012-10-17", "Statement": [statement]}
        return self.iam.create_role(name, parse_document(document, name=name, resource_policy=True)).arn

    def may_assume(self) -> None:
        """Give the caller's role the permission."""
        document = {"Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
        self.iam.put_inline("caller", parse_document(document, name="assume"))

    async def assume(self, *, key: str = "", **members: str) -> str:
        """The new access key, or the error's code."""
        form = {"Action": "AssumeRole", "RoleArn": self.target, "RoleSessionName": "me", **members}
        body = urlencode(form).encode()
        answer = await self.service.handle(
            WireRequest("sts", "eu-west-1", "POST", "/", "", {}, body, key or self.key, "id")
        )
        assert isinstance(answer.body, bytes)
        found = re.search(r"<(?:AccessKeyId|Code)>(.*?)</", answer.body.decode())
        assert found is not None
        return found[1]

    def may_send(self, key: str) -> bool:
        return self.iam.decide(self.iam.principal_of(key), "sqs:SendMessage", "*").allowed


@pytest.mark.parametrize(
    ("principal", "has_policy", "expected"),
    [
        (f"arn:aws:iam::{ACCOUNT}:role/caller", False, "session"),
        (f"arn:aws:iam::{ACCOUNT}:root", False, "AccessDenied"),
        (f"arn:aws:iam::{ACCOUNT}:root", True, "session"),
        (ACCOUNT, False, "AccessDenied"),
        (f"arn:aws:iam::{ACCOUNT}:role/other", True, "AccessDenied"),
    ],
)
def test_trust_names_a_role_or_leaves_it_to_the_account(principal: str, *, has_policy: bool, expected: str) -> None:
    """Who is named is let in; where the account is named, the caller's own policies must allow it as well."""

    async def main() -> str:
        world = World(principal)
        if has_policy:
            world.may_assume()
        found = await world.assume()
        return "session" if found.startswith("ASIA") and world.may_send(found) else found

    assert run_virtual(main) == expected


def test_a_session_ends_after_its_seconds() -> None:
    """900 seconds of a session, and then it may nothing, and is still no root user."""

    async def main() -> tuple[bool, bool, bool, str]:
        world = World(f"arn:aws:iam::{ACCOUNT}:role/caller")
        key = await world.assume(DurationSeconds="900")
        await asyncio.sleep(899)
        before = world.may_send(key)
        await asyncio.sleep(2)
        form = urlencode({"Action": "GetCallerIdentity"}).encode()
        asked = WireRequest("sts", "eu-west-1", "POST", "/", "", {}, form, key, "id")
        answer = await world.service.handle(asked)
        assert isinstance(answer.body, bytes)
        return before, world.may_send(key), world.iam.principal_of(key).is_root, answer.body.decode()

    before, after, is_root, told = run_virtual(main)
    assert (before, after, is_root, "ExpiredToken" in told) == (True, False, False, True)


def test_a_chained_session_has_an_hour_and_a_role_its_own_limit() -> None:
    """Two hours are refused for want of the role's limit, then for the chain; a developer's own key is no chain."""

    async def main() -> list[str]:
        world = World(f"arn:aws:iam::{ACCOUNT}:role/caller", ACCOUNT)
        first = await world.assume(DurationSeconds="7200")
        world.iam.limit_session("target", 7200)
        second = await world.assume(DurationSeconds="7200")
        third = await world.assume(DurationSeconds="7200", key="developer")
        return [first, second, third[:4]]

    assert run_virtual(main) == ["ValidationError", "ValidationError", "ASIA"]


def test_tags_need_their_own_trust() -> None:
    """sts:TagSession in the trust policy; then the session's tags are the principal's."""

    async def main() -> tuple[str, dict[str, str]]:
        tagged = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "a"}
        refused = await World(f"arn:aws:iam::{ACCOUNT}:role/caller").assume(**tagged)
        world = World(f"arn:aws:iam::{ACCOUNT}:role/caller", actions=("sts:AssumeRole", "sts:TagSession"))
        key = await world.assume(**tagged)
        return refused, dict(world.iam.principal_of(key).session_tags)

    assert run_virtual(main) == ("AccessDenied", {"team": "a"})


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"RoleSessionName": "a"}, "ValidationError"),
        ({"DurationSeconds": "x"}, "MalformedInput"),
        ({"SerialNumber": "arn:aws:iam::123456789012:mfa/x"}, "InvalidParameterValue"),
        ({"SourceIdentity": "x"}, "InvalidParameterValue"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"PolicyArns.member.1.arn": "arn:aws:iam::123456789012:policy/none"}, "NoSuchEntity"),
        ({"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/none"}, "AccessDenied"),
    ],
)
def test_what_is_no_request_is_refused(members: dict[str, str], code: str) -> None:
    """With the code that STS has for it."""

    async def main() -> str:
        return await World(f"arn:aws:iam::{ACCOUNT}:role/caller").assume(**members)

    assert run_virtual(main) == code
