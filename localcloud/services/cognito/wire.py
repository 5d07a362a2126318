"""Cognito user pools on the wire: AWS JSON 1.1, and the two documents of each pool that verifiers read.

What users do for themselves is unsigned, as on AWS, and held to no policy. `/<pool>/.well-known/jwks.json` and
`/<pool>/.well-known/openid-configuration` of the AWS port tell a pool's keys.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncognitouserpools.html
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from localcloud.json_delegate import CONTENT_TYPE, read_object
from localcloud.json_text import MalformedJson
from localcloud.refusals import refuse
from localcloud.service_shapes import Malformed, open_shapes
from localcloud.services.cognito import pools, self_service, sign_in, users
from localcloud.services.cognito.calls import Call, Members
from localcloud.services.cognito.errors import CognitoError
from localcloud.services.cognito.model import Pool, User, UserPools
from localcloud.services.cognito.tokens import Signers, Tokens
from localcloud.services.cognito.triggers import FunctionPort, Triggers
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse

__all__ = ["CognitoService"]

TARGET: Final = "AWSCognitoIdentityProviderService."
_Operation = Callable[[Call], Awaitable[Members | None]]
_OPERATIONS: Final[Mapping[str, _Operation]] = {
    **pools.OPERATIONS,
    **self_service.OPERATIONS,
    **sign_in.OPERATIONS,
    **users.OPERATIONS,
}
_UNSIGNED: Final = frozenset((*self_service.UNSIGNED, *sign_in.UNSIGNED))
_OF_ACCOUNT: Final = ("CreateUserPool", "ListUserPools")
_DOCUMENT: Final = re.compile(r"/([\w-]+)/\.well-known/(jwks\.json|openid-configuration)")


class CognitoService:
    """The user pools of every Region. `send` brings a user what Cognito mails on AWS."""

    name = "cognito-idp"

    def __init__(self, pools: UserPools, *, functions: FunctionPort, send: Callable[[Pool, User, str], None]) -> None:
        self.pools = pools
        self.tokens = Tokens(pools, Signers())
        self.triggers = Triggers(functions)
        self._send = send

    def call(self, body: Mapping[str, Any], region: str) -> Call:
        """A request, ready for an operation."""
        return Call(self.pools, self.tokens, self.triggers, self._send, body, region)

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        if request.method == "GET":
            return await self._document(request)
        operation = _operation(request)
        if operation not in _OPERATIONS:
            message = (
                f"The local cloud does not serve the operation {operation[:128] or '(none named)'} of cognito-idp."
            )
            return refuse(request, 400, code="UnknownOperationException", message=message)
        try:
            body = read_object(request.body)
            wrong = (await asyncio.to_thread(open_shapes, "cognito-idp")).violations(operation, body)
            if wrong:
                return refuse(request, 400, code="InvalidParameterException", message=wrong)
            answer = await _OPERATIONS[operation](self.call(body, request.region))
        except (MalformedJson, Malformed) as error:
            return refuse(request, 400, code="SerializationException", message=str(error))
        except CognitoError as error:
            return refuse(request, error.status, code=error.code, message=error.message)
        told = json.dumps(answer if answer is not None else {}, ensure_ascii=False, separators=(",", ":")).encode()
        return WireResponse(200, told, {"content-type": CONTENT_TYPE})

    def takes_unsigned(self, request: WireRequest) -> bool:
        """What users do for themselves, the pools' documents, and what is refused whoever asks."""
        operation = _operation(request)
        return request.method == "GET" or operation in _UNSIGNED or operation not in _OPERATIONS

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The operation on its pool; none for what is unsigned on AWS."""
        operation = _operation(request)
        if request.method == "GET" or operation in _UNSIGNED or operation not in _OPERATIONS:
            return ()
        try:
            pool = str(read_object(request.body).get("UserPoolId") or "")
        except MalformedJson:
            return ()
        arn = f"arn:aws:cognito-idp:{request.region}:{ACCOUNT_ID}:userpool/{pool}"
        return (Permission(f"cognito-idp:{operation}", "*" if operation in _OF_ACCOUNT else arn),)

    async def _document(self, request: WireRequest) -> WireResponse:
        """Source: https://docs.aws.amazon.com/cognito/latest/developerguide/federation-endpoints.html."""
        found = _DOCUMENT.fullmatch(request.path)
        pool = self.pools.pools.get(found[1]) if found else None
        if found is None or pool is None:
            body = {"message": "User pool does not exist."}
            return WireResponse(404, json.dumps(body).encode(), {"content-type": "application/json"})
        told: Mapping[str, Any] = (
            await self.tokens.key_set(pool) if found[2] == "jwks.json" else _configuration(pool, request)
        )
        headers = {"content-type": "application/json", "cache-control": "public, max-age=86400"}
        return WireResponse(200, json.dumps(told, separators=(",", ":")).encode(), headers)


def _configuration(pool: Pool, request: WireRequest) -> Mapping[str, Any]:
    root = f"http://{request.headers.get('host', '127.0.0.1')}/{pool.id}"
    return {
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": pool.issuer,
        "jwks_uri": f"{root}/.well-known/jwks.json",
        "response_types_supported": ["code", "token"],
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
    }


def _operation(request: WireRequest) -> str:
    return request.target.removeprefix(TARGET) if request.target.startswith(TARGET) else ""
