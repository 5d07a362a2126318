"""AppSync's ports on the local cloud's own Lambda, IAM and issuer of tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from localcloud.compute.functions import Functions as FunctionRegistry
from localcloud.compute.policies import FunctionPolicies
from localcloud.issuer import ISSUER, read_key_set
from localcloud.services.appsync.ports import InvocationFailed, Signer
from localcloud.services.contract import Authorise, Denied, Permission
from localcloud.services.iam.model import Iam
from localcloud.services.lambda_.errors import LambdaError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["PRINCIPAL", "IamAccess", "LambdaFunctions", "LocalTokenKeys"]

PRINCIPAL: Final = "appsync.amazonaws.com"


class LambdaFunctions:
    """Lambda's registry as AppSync's Functions. `may_do` says whether a role may do an action on a resource."""

    def __init__(
        self,
        functions: FunctionRegistry,
        policies: FunctionPolicies,
        iam: Iam,
        *,
        may_do: Callable[[str, str, str], bool],
    ) -> None:
        self._functions = functions
        self._policies = policies
        self._iam = iam
        self._may_do = may_do

    async def authorize(self, function_arn: str, payload: bytes, *, api_arn: str) -> bytes:
        """What an authorizer returns. Raises InvocationFailed."""
        if not self._policies.allows(function_arn, service=PRINCIPAL, source_arn=api_arn):
            raise InvocationFailed(f"the policy of {function_arn} does not let {PRINCIPAL} invoke it for {api_arn}")
        return await self._invoke(function_arn, payload)

    async def handle(self, function_arn: str, payload: bytes, *, role_arn: str, is_event: bool) -> bytes:
        """What a data source returns, b"" where it is not waited for. Raises InvocationFailed."""
        if not self._iam.may_assume(role_arn, PRINCIPAL):
            raise InvocationFailed(f"{PRINCIPAL} may not assume {role_arn}")
        if not self._may_do(role_arn, "lambda:InvokeFunction", function_arn):
            raise InvocationFailed(f"{role_arn} may not do lambda:InvokeFunction on {function_arn}")
        return await self._invoke(function_arn, payload, is_event=is_event)

    async def _invoke(self, function_arn: str, payload: bytes, *, is_event: bool = False) -> bytes:
        kind = "Event" if is_event else "RequestResponse"
        try:
            result = await self._functions.invoke(function_arn, payload, invocation_type=kind)
        except LambdaError as error:
            raise InvocationFailed(str(error)) from error
        if result.function_error:
            raise InvocationFailed(f"{function_arn} failed: {result.function_error}")
        return b"" if is_event else result.payload


class IamAccess:
    """IAM as AppSync's Access."""

    def __init__(self, iam: Iam, authorise: Authorise) -> None:
        self._iam = iam
        self._authorise = authorise

    def refuse(self, access_key: str, permission: Permission) -> Denied | None:
        """Why the owner of the key may not; None where they may."""
        return self._authorise(access_key, (permission,))

    def signer_of(self, access_key: str) -> Signer:
        """Who owns the key."""
        principal = self._iam.principal_of(access_key)
        user_id = f"{access_key}:{principal.session}" if principal.session else principal.account
        return Signer(principal.account, principal.arn, user_id)


class LocalTokenKeys:
    """The local issuer, whose keys are in `folder`."""

    issuer = ISSUER

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keys(self) -> Mapping[str, RSAPublicKey]:
        """Its public keys by id; made where there are none."""
        from sluiceway.rules.tokens import read_keys  # noqa: PLC0415 - cryptography: only who sends a token pays

        found = read_keys(json.loads(read_key_set(self._folder)))
        return {key_id: cast("RSAPublicKey", key.public) for key_id, key in found.keys.items()}
