"""User pools in time: codes, tokens and sessions that end, secrets, forgotten passwords, and functions that fail."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.cognito.backends import LambdaTriggers
from localcloud.services.cognito.model import Pool, User, UserPools
from localcloud.services.cognito.triggers import NO_FUNCTIONS, Failed, FunctionPort
from localcloud.services.cognito.wire import CognitoService
from localcloud.services.contract import WireRequest

REGION = "eu-west-1"
GOOD = "Passw0rd!"


class World:
    """A service with a pool and a client, called as the front would."""

    def __init__(self, *, functions: FunctionPort = NO_FUNCTIONS, **client: Any) -> None:
        self.sent: list[str] = []
        pools = UserPools(clock=LoopClock(asyncio.get_running_loop()), rng=random.Random(1))

        def send(_pool: Pool, _user: User, text: str) -> None:
            self.sent.append(text)

        self.service = CognitoService(pools, functions=functions, send=send)
        self.pool = pools.create_pool(REGION, {"PoolName": "p", "AutoVerifiedAttributes": ["email"]})
        flows = ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
        self.client = pools.create_client(self.pool, {"ClientName": "c", "ExplicitAuthFlows": flows, **client})

    async def call(self, operation: str, **members: Any) -> Any:
        """The answer, or the error's code and message."""
        headers = {"x-amz-target": f"AWSCognitoIdentityProviderService.{operation}"}
        body = json.dumps(members).encode()
        request = WireRequest("cognito-idp", REGION, "POST", "/", "", headers, body, "", "id")
        answer = await self.service.handle(request)
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body)
        return told if answer.status == 200 else (told["__type"], told["message"])

    async def sign_up(self) -> None:
        """A confirmed user `u`."""
        asked = {"ClientId": self.client.id, "Username": "u"}
        attributes = [{"Name": "email", "Value": "u@example.com"}]
        await self.call("SignUp", **asked, Password=GOOD, UserAttributes=attributes)
        await self.call("ConfirmSignUp", **asked, ConfirmationCode=self.code())

    def code(self) -> str:
        """What was sent last."""
        return self.sent[-1].split(" code ")[1][:6]

    async def sign_in(self, password: str = GOOD, **more: str) -> Any:
        given = {"USERNAME": "u", "PASSWORD": password, **more}
        return await self.call(
            "InitiateAuth", ClientId=self.client.id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=given
        )

    async def refresh(self, token: str) -> Any:
        return await self.call(
            "InitiateAuth",
            ClientId=self.client.id,
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": token},
        )


def test_tokens_end_when_their_time_is_over() -> None:
    """An access token after its minutes, a refresh token after its days; what a refresh gives counts."""

    async def main() -> tuple[Any, ...]:
        units = {"AccessToken": "minutes", "RefreshToken": "days"}
        world = World(AccessTokenValidity=5, RefreshTokenValidity=1, TokenValidityUnits=units)
        await world.sign_up()
        result = (await world.sign_in())["AuthenticationResult"]
        await asyncio.sleep(299)
        before = await world.call("GetUser", AccessToken=result["AccessToken"])
        await asyncio.sleep(2)
        after = await world.call("GetUser", AccessToken=result["AccessToken"])
        fresh = (await world.refresh(result["RefreshToken"]))["AuthenticationResult"]["AccessToken"]
        again = await world.call("GetUser", AccessToken=fresh)
        await asyncio.sleep(86_400)
        return before["Username"], after, again["Username"], await world.refresh(result["RefreshToken"])

    assert run_virtual(main) == (
        "u",
        ("NotAuthorizedException", "Access Token has expired"),
        "u",
        ("NotAuthorizedException", "Refresh Token has expired"),
    )


def test_codes_end_after_a_day_and_are_used_once() -> None:
    """A confirmation code, sent again, and one that sets a forgotten password."""

    async def main() -> tuple[Any, ...]:
        world = World()
        asked = {"ClientId": world.client.id, "Username": "u"}
        attributes = [{"Name": "email", "Value": "u@example.com"}]
        await world.call("SignUp", **asked, Password=GOOD, UserAttributes=attributes)
        await asyncio.sleep(86_401)
        late = await world.call("ConfirmSignUp", **asked, ConfirmationCode=world.code())
        told = await world.call("ResendConfirmationCode", **asked)
        await world.call("ConfirmSignUp", **asked, ConfirmationCode=world.code())
        await world.call("ForgotPassword", **asked)
        setting = {**asked, "ConfirmationCode": world.code(), "Password": "N3w-Passw0rd"}
        await world.call("ConfirmForgotPassword", **setting)
        once = await world.call("ConfirmForgotPassword", **setting)
        new = await world.sign_in("N3w-Passw0rd")
        return late[0], told["CodeDeliveryDetails"], once[0], await world.sign_in(), "AuthenticationResult" in new

    assert run_virtual(main) == (
        "ExpiredCodeException",
        {"Destination": "u***@e***", "DeliveryMedium": "EMAIL", "AttributeName": "email"},
        "ExpiredCodeException",
        ("NotAuthorizedException", "Incorrect username or password."),
        True,
    )


def test_a_client_with_a_secret_wants_its_hash() -> None:
    """Of the username and the client's id; without it, and with another, nobody is let in."""

    async def main() -> tuple[Any, ...]:
        world = World(GenerateSecret=True)
        digest = hmac.digest(world.client.secret.encode(), f"u{world.client.id}".encode(), "sha256")
        secret = base64.b64encode(digest).decode()
        asked = {"ClientId": world.client.id, "Username": "u", "Password": GOOD}
        without = await world.call("SignUp", **asked)
        wrong = await world.call("SignUp", **asked, SecretHash=base64.b64encode(hashlib.sha256(b"x").digest()).decode())
        right = await world.call("SignUp", **asked, SecretHash=secret)
        return without[1].endswith("SECRET_HASH was not received"), wrong[1][:28], right["UserConfirmed"]

    assert run_virtual(main) == (True, "Unable to verify secret hash", False)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("ENABLED", ("NotAuthorizedException", "Incorrect username or password.")),
        ("LEGACY", ("UserNotFoundException", "User does not exist.")),
    ],
)
def test_a_client_may_hide_who_is_no_user(setting: str, said: tuple[str, str]) -> None:
    """PreventUserExistenceErrors makes an unknown user a wrong password."""

    async def main() -> Any:
        return await World(PreventUserExistenceErrors=setting).sign_in()

    assert run_virtual(main) == said


def test_a_revoked_token_refreshes_nothing() -> None:
    """RevokeToken ends a refresh token and the access tokens that came with it, of the client that had it."""

    async def main() -> tuple[Any, ...]:
        world = World()
        await world.sign_up()
        result = (await world.sign_in())["AuthenticationResult"]
        await world.call("RevokeToken", Token=result["RefreshToken"], ClientId=world.client.id)
        return (
            await world.refresh(result["RefreshToken"]),
            await world.call("GetUser", AccessToken=result["AccessToken"]),
            await world.refresh("other"),
        )

    assert run_virtual(main) == (
        ("NotAuthorizedException", "Refresh Token has been revoked"),
        ("NotAuthorizedException", "Access Token has been revoked"),
        ("NotAuthorizedException", "Invalid Refresh Token"),
    )


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("Aa1!", "Password not long enough"),
        ("PASSW0RD!", "Password must have lowercase characters"),
        ("passw0rd!", "Password must have uppercase characters"),
        ("Password!", "Password must have numeric characters"),
        ("Passw0rdd", "Password must have symbol characters"),
    ],
)
def test_passwords_are_held_to_the_policy(password: str, said: str) -> None:
    """Without a policy of its own a pool asks for eight characters of all four kinds."""

    async def main() -> Any:
        world = World()
        return await world.call("SignUp", ClientId=world.client.id, Username="u", Password=password)

    assert run_virtual(main) == ("InvalidPasswordException", f"Password did not conform with policy: {said}")


def test_a_function_has_five_seconds_and_must_answer_an_event() -> None:
    """Too late, no event, no permission: each has its own error, and nobody is signed up."""

    async def slow(function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        await asyncio.sleep(6)
        return payload

    async def odd(function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        return b'{"no": "response"}'

    class Answer:
        payload, function_error = b'{"errorMessage": "no"}', "Unhandled"

    async def invoke(name_or_arn: str, payload: bytes) -> Answer:
        return Answer()

    def may(_arn: str, /, *, service: str, source_arn: str) -> bool:
        return (service, source_arn.rpartition("/")[0]) == (
            "cognito-idp.amazonaws.com", f"arn:aws:cognito-idp:{REGION}:123456789012:userpool"
        )  # fmt: skip

    def may_not(_arn: str, /, *, service: str, source_arn: str) -> bool:
        return False

    ports: tuple[FunctionPort, ...] = (slow, odd, LambdaTriggers(invoke, may), LambdaTriggers(invoke, may_not))

    async def main() -> list[Any]:
        said: list[Any] = []
        for functions in ports:
            world = World(functions=functions)
            world.pool.settings["LambdaConfig"] = {"PreSignUp": "f"}
            said.append(await world.call("SignUp", ClientId=world.client.id, Username="u", Password=GOOD))
            assert world.pool.users == {}
        return said

    denied = "AccessDeniedException: the function's policy does not let this user pool call it"
    assert run_virtual(main) == [
        ("UnexpectedLambdaException", "PreSignUp invocation failed due to error: timed out after 5 seconds."),
        ("InvalidLambdaResponseException", "Unrecognizable lambda output"),
        ("UserLambdaValidationException", "PreSignUp failed with error no."),
        ("UserLambdaValidationException", f"PreSignUp failed with error {denied}."),
    ]


def test_there_are_no_functions_before_lambda_is_open() -> None:
    """A pool that is called then fails aloud."""

    async def main() -> None:
        with pytest.raises(Failed):
            await NO_FUNCTIONS("f", b"", source_arn="")

    run_virtual(main)
