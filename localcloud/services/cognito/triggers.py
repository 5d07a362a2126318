"""The functions that a user pool calls: before and after sign-up and sign-in, and for what tokens say.

Cognito gives a function five seconds; its error is the caller's, with the function's own words.
Source: https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-identity-pools-working-with-aws-lambda-triggers.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from localcloud.services.cognito.errors import CognitoError
from localcloud.services.cognito.model import Pool, User
from localcloud.services.cognito.tokens import Override

__all__ = ["NO_FUNCTIONS", "SERVED", "Failed", "FunctionPort", "Trigger", "Triggers", "token_overrides"]

TIME_S: Final = 5.0
SERVED: Final = (
    "PostAuthentication", "PostConfirmation", "PreAuthentication", "PreSignUp", "PreTokenGeneration",
    "PreTokenGenerationConfig",
)  # fmt: skip
_VERSIONS: Final = {"V1_0": "1", "V2_0": "2"}


class Failed(Exception):
    """The function raised, or could not be called; `message` says what it said."""


class FunctionPort(Protocol):
    """The functions of the local cloud, as a pool calls them."""

    async def __call__(self, function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        """What the function answers. Raises Failed."""
        ...


class _NoFunctions:
    async def __call__(self, function_arn: str, payload: bytes, *, source_arn: str) -> bytes:  # noqa: ARG002 - the port
        raise Failed(f"{function_arn} cannot be called: there are no functions here.")


NO_FUNCTIONS: Final[FunctionPort] = _NoFunctions()


@dataclass(frozen=True, slots=True)
class Trigger:
    """One call: which trigger, for what (`SignUp`), on whose behalf. `request` goes beside the user's attributes."""

    name: str
    reason: str
    client_id: str
    request: Mapping[str, Any]


class Triggers:
    """Calls what a pool's LambdaConfig names."""

    def __init__(self, functions: FunctionPort) -> None:
        self.functions = functions

    async def call(self, pool: Pool, user: User, trigger: Trigger) -> Mapping[str, Any]:
        """The function's `response`, {} where the pool has no such trigger.

        Raises CognitoError: UserLambdaValidationException, InvalidLambdaResponseException, UnexpectedLambdaException.
        """
        arn, version = _function_of(pool, trigger.name)
        if not arn:
            return {}
        prefix = "TokenGeneration" if trigger.name == "PreTokenGeneration" else trigger.name
        status = {"cognito:user_status": user.status} if user.status else {}
        event = {
            "version": version,
            "triggerSource": f"{prefix}_{trigger.reason}",
            "region": pool.region,
            "userPoolId": pool.id,
            "userName": user.username,
            "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": trigger.client_id},
            "request": {"userAttributes": {**user.attributes, **status}, **trigger.request},
            "response": _EMPTY.get(trigger.name, {}),
        }
        try:
            async with asyncio.timeout(TIME_S):
                answer = await self.functions(arn, json.dumps(event).encode(), source_arn=pool.arn)
        except TimeoutError as error:
            message = f"{trigger.name} invocation failed due to error: timed out after {TIME_S:.0f} seconds."
            raise CognitoError("UnexpectedLambdaException", message) from error
        except Failed as error:
            message = f"{trigger.name} failed with error {str(error).rstrip('.')}."
            raise CognitoError("UserLambdaValidationException", message) from error
        return _response(answer)


_EMPTY: Final[Mapping[str, Mapping[str, Any]]] = {
    "PreSignUp": {"autoConfirmUser": False, "autoVerifyEmail": False, "autoVerifyPhone": False},
    "PreTokenGeneration": {"claimsOverrideDetails": None},
}


def token_overrides(response: Mapping[str, Any]) -> dict[str, Override]:
    """What a PreTokenGeneration function changes: by its first version of ID tokens, by its second of both kinds.

    Source: https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html
    """
    first = _map(response.get("claimsOverrideDetails"))
    second = _map(response.get("claimsAndScopeOverrideDetails"))
    groups = _map(first.get("groupOverrideDetails")) or _map(second.get("groupOverrideDetails"))
    listed = groups.get("groupsToOverride")
    names = tuple(map(str, listed)) if listed is not None else None
    identity = first or _map(second.get("idTokenGeneration"))
    return {
        "id": _override(identity, names),
        "access": _override(_map(second.get("accessTokenGeneration")), names),
    }


def _override(details: Mapping[str, Any], groups: tuple[str, ...] | None) -> Override:
    return Override(
        added=_map(details.get("claimsToAddOrOverride")),
        suppressed=frozenset(map(str, details.get("claimsToSuppress") or ())),
        scopes_added=tuple(map(str, details.get("scopesToAdd") or ())),
        scopes_suppressed=frozenset(map(str, details.get("scopesToSuppress") or ())),
        groups=groups,
    )


def _function_of(pool: Pool, name: str) -> tuple[str, str]:
    config: Mapping[str, Any] = pool.settings.get("LambdaConfig") or {}
    if name == "PreTokenGeneration" and (newer := config.get("PreTokenGenerationConfig")):
        return str(newer["LambdaArn"]), _VERSIONS.get(str(newer.get("LambdaVersion") or "V1_0"), "1")
    return str(config.get(name) or ""), "1"


def _response(answer: bytes) -> Mapping[str, Any]:
    try:
        told: object = json.loads(answer)
        found = cast("dict[str, Any]", told)["response"] if isinstance(told, dict) else None
    except (ValueError, KeyError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CognitoError("InvalidLambdaResponseException", "Unrecognizable lambda output")
    return cast("dict[str, Any]", found)


def _map(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
