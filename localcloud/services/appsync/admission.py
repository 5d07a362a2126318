"""Who may connect, publish or subscribe: a request's authorization against the modes of the API and the namespace.

What a request shows decides how it is judged: an AWS signature, an API key, a JSON Web Token, or any other text for a
Lambda authorizer; a kind that is not among the modes lets nobody in. Signatures are not verified, as nowhere in the
local cloud: a key counts as the principal it names.
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/configure-event-api-auth.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.identify import read_scope
from localcloud.services.appsync.authorizer import LambdaAuthorizer
from localcloud.services.appsync.channels import Channel
from localcloud.services.appsync.errors import AppSyncError, unauthorized
from localcloud.services.appsync.model import EventApi, EventApis
from localcloud.services.appsync.ports import Access
from localcloud.services.appsync.settings import API_KEY, AWS_IAM, AWS_LAMBDA, COGNITO, OPENID
from localcloud.services.appsync.tokens import TokenReader, bare_token, looks_like_token
from localcloud.services.contract import Permission
from localcloud.services.iam.tags import resource_tags

__all__ = ["CONNECT", "PUBLISH", "SUBSCRIBE", "Admission", "Asked", "Caller"]

CONNECT: Final = "EVENT_CONNECT"
PUBLISH: Final = "EVENT_PUBLISH"
SUBSCRIBE: Final = "EVENT_SUBSCRIBE"
_ACTIONS: Final = {
    CONNECT: "appsync:EventConnect",
    PUBLISH: "appsync:EventPublish",
    SUBSCRIBE: "appsync:EventSubscribe",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One operation that somebody asks for. `headers` by lower-case name; `channel` None to connect."""

    api: EventApi
    operation: str
    headers: Mapping[str, str]
    channel: Channel | None = None
    source_ip: str = "127.0.0.1"
    request_id: str = ""

    @property
    def modes(self) -> tuple[str, ...]:
        """What lets somebody in: the namespace's own modes before the API's. Raises AppSyncError for no namespace."""
        config = self.api.config
        if self.channel is None:
            return config.connect
        namespace = self.api.namespaces.get(self.channel.namespace)
        if namespace is None:
            raise unauthorized()
        if self.operation == PUBLISH:
            return namespace.publish or config.publish
        return namespace.subscribe or config.subscribe


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in: how, and the `identity` that handlers are told, None for API keys."""

    kind: str
    identity: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Admission:
    """Lets callers in."""

    def __init__(self, apis: EventApis, access: Access, *, tokens: TokenReader, authorizer: LambdaAuthorizer) -> None:
        self._apis = apis
        self._access = access
        self._tokens = tokens
        self._authorizer = authorizer

    async def admit(self, asked: Asked) -> Caller:
        """Who asks. Raises AppSyncError (UnauthorizedException)."""
        modes = asked.modes
        kind = _kind_shown(asked.headers, modes)
        if kind not in modes:
            raise unauthorized()
        shown = dict(asked.headers)
        if kind == API_KEY:
            if not self._apis.is_valid_key(asked.api, asked.headers["x-api-key"]):
                raise unauthorized()
            return Caller(API_KEY, None, shown)
        if kind == AWS_IAM:
            return Caller(AWS_IAM, self._admit_signer(asked), shown)
        if kind == AWS_LAMBDA:
            return Caller(AWS_LAMBDA, await self._admit_custom(asked), shown)
        return Caller(kind, self._admit_bearer(asked, kind), shown)

    def _admit_signer(self, asked: Asked) -> dict[str, Any]:
        scope = read_scope(asked.headers, "")
        if scope is None or scope.service != "appsync":
            raise unauthorized("Credential should be scoped to correct service: 'appsync'.")
        if scope.region != asked.api.region:
            raise unauthorized("Credential should be scoped to a valid region.")
        arn = asked.api.arn if asked.channel is None else asked.api.namespace_arn(asked.channel.namespace)
        action = _ACTIONS[asked.operation]
        tags = resource_tags(self._apis.tags_of(action, arn) or {})
        if self._access.refuse(scope.access_key, Permission(action, arn, tags)) is not None:
            raise unauthorized("Permission denied")
        signer = self._access.signer_of(scope.access_key)
        return {
            "accountId": signer.account,
            "cognitoIdentityPoolId": None,
            "cognitoIdentityId": None,
            "sourceIp": [asked.source_ip],
            "username": signer.user_id,
            "userArn": signer.arn,
            "cognitoIdentityAuthType": None,
            "cognitoIdentityAuthProvider": None,
        }

    async def _admit_custom(self, asked: Asked) -> dict[str, Any]:
        provider = asked.api.config.provider(AWS_LAMBDA)
        if provider is None:
            raise unauthorized()
        event = {
            "authorizationToken": asked.headers["authorization"],
            "requestContext": {
                "apiId": asked.api.id,
                "accountId": asked.api.arn.split(":")[4],
                "requestId": asked.request_id,
                "operation": asked.operation,
                "channelNamespaceName": asked.channel.namespace if asked.channel else None,
                "channel": asked.channel.path if asked.channel else None,
            },
            "requestHeaders": dict(asked.headers),
        }
        return {"handlerContext": await self._authorizer.admit(provider, event, api_arn=asked.api.arn)}

    def _admit_bearer(self, asked: Asked, kind: str) -> dict[str, Any]:
        provider = asked.api.config.provider(kind)
        if provider is None:
            raise unauthorized()
        claims = self._tokens.read(bare_token(asked.headers["authorization"]), provider)
        identity: dict[str, Any] = {"sub": claims.get("sub"), "issuer": claims["iss"], "claims": claims}
        if kind == COGNITO:
            name = claims.get("cognito:username") or claims.get("username") or claims.get("sub")
            groups = claims.get("cognito:groups")
            identity |= {"username": name, "groups": groups, "defaultAuthStrategy": "ALLOW"}
            identity |= {"sourceIp": [asked.source_ip]}
        return identity


def _kind_shown(headers: Mapping[str, str], modes: tuple[str, ...]) -> str:
    """The kind of authorization that a request shows. Raises AppSyncError where there is none."""
    authorization = headers.get("authorization", "")
    if authorization.startswith("AWS4-HMAC-SHA256"):
        return AWS_IAM
    if headers.get("x-api-key"):
        return API_KEY
    if not authorization:
        raise AppSyncError("UnauthorizedException", "Valid authorization header not provided.", 401)
    bearers = [mode for mode in modes if mode in {COGNITO, OPENID}]
    if bearers and (looks_like_token(bare_token(authorization)) or AWS_LAMBDA not in modes):
        return bearers[0]
    return AWS_LAMBDA
