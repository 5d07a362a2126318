"""Which functions AppSync may invoke: an authorizer's own policy, a data source's role; and who signed a request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from localcloud.compute.functions import Functions, InvokeResult
from localcloud.compute.policies import FunctionPolicies, Grant
from localcloud.services.appsync.backends import PRINCIPAL, IamAccess, LambdaFunctions
from localcloud.services.appsync.ports import InvocationFailed, Signer
from localcloud.services.contract import Denied, Permission
from localcloud.services.iam.model import Iam, Principal
from localcloud.services.iam.policy import parse_document
from localcloud.services.lambda_.errors import no_such_function

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:f"
API = "arn:aws:appsync:eu-west-1:123456789012:apis/abc"


@dataclass
class Registry:
    """Answers as told, and remembers how it was asked."""

    answer: InvokeResult | Exception
    asked: list[tuple[str, bytes, str]] = field(default_factory=list)

    async def invoke(self, name_or_arn: str, payload: bytes, *, invocation_type: str) -> InvokeResult:
        """What `answer` says."""
        self.asked.append((name_or_arn, payload, invocation_type))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make(
    registry: Registry, *, source_arn: str | None = API, trusts: str = PRINCIPAL, may: str = FUNCTION
) -> tuple[LambdaFunctions, str]:
    """The port over real policies, and the ARN of a role that trusts `trusts` and may invoke `may`."""
    iam, policies = Iam(random.Random(1)), FunctionPolicies()
    if source_arn is not None:
        policies.add(FUNCTION, Grant("s", "lambda:InvokeFunction", PRINCIPAL, source_arn))
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    role = iam.create_role("r", parse_document(document, resource_policy=True))
    allowed = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": may}
    iam.put_inline("r", parse_document({"Version": "2012-10-17", "Statement": [allowed]}))

    def may_do(role_arn: str, action: str, resource: str) -> bool:
        return iam.decide(Principal(role_arn, "123456789012", role_arn), action, resource).allowed

    return LambdaFunctions(cast("Functions", registry), policies, iam, may_do=may_do), role.arn


def done(call: Callable[[], Any]) -> bytes | str:
    """What an invocation gave, or why it failed."""
    try:
        return asyncio.run(call())
    except InvocationFailed as error:
        return str(error)


def test_an_authorizer_is_invoked_where_its_policy_lets_appsync_in() -> None:
    """For the API that asks; the function's policy alone counts."""
    registry = Registry(InvokeResult(200, b"{}"))
    functions, _ = make(registry)
    assert done(lambda: functions.authorize(FUNCTION, b"1", api_arn=API)) == b"{}"
    assert registry.asked == [(FUNCTION, b"1", "RequestResponse")]
    for grant in (None, API + "other"):
        closed, _ = make(registry, source_arn=grant)
        assert "does not let appsync.amazonaws.com" in str(
            done(lambda c=closed: c.authorize(FUNCTION, b"1", api_arn=API))
        )
    assert len(registry.asked) == 1


@pytest.mark.parametrize(("is_event", "kind", "expected"), [(False, "RequestResponse", b"{}"), (True, "Event", b"")])
def test_a_data_source_is_invoked_with_its_role(is_event: bool, kind: str, expected: bytes) -> None:
    """Waited for or not; the function's own policy does not count."""
    registry = Registry(InvokeResult(200, b"{}"))
    functions, role = make(registry, source_arn=None)
    assert done(lambda: functions.handle(FUNCTION, b"1", role_arn=role, is_event=is_event)) == expected
    assert registry.asked == [(FUNCTION, b"1", kind)]


@pytest.mark.parametrize(
    ("trusts", "may", "why"),
    [
        ("lambda.amazonaws.com", FUNCTION, "appsync.amazonaws.com may not assume"),
        (PRINCIPAL, FUNCTION + "other", "may not do lambda:InvokeFunction on"),
    ],
)
def test_a_role_that_is_not_appsync_s_or_may_not_invoke_fails(trusts: str, may: str, why: str) -> None:
    """And the function hears nothing."""
    registry = Registry(InvokeResult(200, b"{}"))
    functions, role = make(registry, trusts=trusts, may=may)
    assert why in str(done(lambda: functions.handle(FUNCTION, b"1", role_arn=role, is_event=False)))
    assert registry.asked == []


@pytest.mark.parametrize("answer", [InvokeResult(200, b"{}", "Unhandled"), no_such_function(FUNCTION)])
def test_a_function_that_fails_or_is_not_there_fails(answer: InvokeResult | Exception) -> None:
    """With its name, for the log."""
    functions, role = make(Registry(answer))
    for said in (
        done(lambda: functions.authorize(FUNCTION, b"1", api_arn=API)),
        done(lambda: functions.handle(FUNCTION, b"1", role_arn=role, is_event=False)),
    ):
        assert isinstance(said, str)
        assert FUNCTION in said


def test_a_signer_is_the_owner_of_the_key() -> None:
    """A developer's key is the account's root; a function's has its session's name; each question is IAM's."""
    iam = Iam(random.Random(1))
    asked: list[tuple[str, tuple[Permission, ...]]] = []

    def authorise(key: str, permissions: tuple[Permission, ...]) -> Denied | None:
        asked.append((key, permissions))
        return None

    access = IamAccess(iam, authorise)
    permission = Permission("appsync:EventConnect", API)
    assert access.refuse("AK", permission) is None
    assert asked == [("AK", (permission,))]
    assert access.signer_of("AK") == Signer("123456789012", "arn:aws:iam::123456789012:root", "123456789012")
