"""Reads the security schemes (authorizers, API keys, signatures) and gateway responses of an OpenAPI body.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from localcloud.gateway.definition import Authorizer, GatewayResponse
from localcloud.gateway.errors import RESPONSE_TYPES, DefinitionError
from localcloud.gateway.mapping import check_expression
from localcloud.gateway.message import final_status
from localcloud.gateway.section import Section
from localcloud.matching import compile_pattern

__all__ = [
    "OPEN",
    "Security",
    "read_authorizer",
    "read_gateway_response",
    "read_gateway_responses",
    "read_schemes",
    "read_security",
    "short_id",
]

OPEN: Final = "NONE"  # SAM writes it for `Authorizer: NONE`, with no scheme of the name: API Gateway asks nobody then
KEY_HEADER: Final = "x-api-key"
MAX_TTL_S: Final = 3600  # https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html

_SCHEME_KEYS: Final = frozenset(
    {"type", "name", "in", "description", "x-amazon-apigateway-authtype", "x-amazon-apigateway-authorizer"}
)
_AUTHORIZER_KEYS: Final = frozenset(
    {
        "type",
        "authorizerUri",
        "authorizerCredentials",
        "authorizerResultTtlInSeconds",
        "identitySource",
        "identityValidationExpression",
        "providerARNs",
    }
)
_URI: Final = re.compile(r"arn:[\w-]+:apigateway:[\w-]+:lambda:path//?2015-03-31/functions/(arn:[^/]+)/invocations")
_IDENTITY: Final = re.compile(r"method\.request\.(header|querystring)\.\S+|(context|stageVariables)\.\S+")
_GATEWAY_KEYS: Final = frozenset({"statusCode", "responseParameters", "responseTemplates"})
_POOL: Final = re.compile(r"arn:[\w-]+:cognito-idp:[\w-]+:\d{12}:userpool/[\w-]+")
_HEADER: Final = re.compile(r"method\.request\.header\.\S+")
_GATEWAY_HEADER: Final = re.compile(r"gatewayresponse\.header\.\S+")


def short_id(*parts: str) -> str:
    """Six characters made of the parts, as API Gateway's own ids look; the same for the same API every time."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:6]


@dataclass(frozen=True, slots=True)
class Security:
    """What a method asks of a request; `scopes` are a Cognito authorizer's."""

    authorizer: Authorizer | None = None
    needs_key: bool = False
    is_signed: bool = False
    scopes: frozenset[str] = frozenset()


def read_schemes(schemes: Section) -> Mapping[str, Security | None]:
    """What each scheme asks for; None for one that API Gateway does not know (refused where a method uses it)."""
    return {name: _read_scheme(name, part) for name, part in schemes.sections()}


def read_security(given: Section, schemes: Mapping[str, Security | None]) -> Security:
    """The `security` of a method, or of the whole API. Raises DefinitionError.

    API Gateway takes the API key for a requirement of its own, whichever way it is written.
    """
    found = Security()
    for requirement in given.items("security"):
        if not isinstance(requirement, dict):
            raise given.error("security", "must be a list of objects")
        for name, scopes in cast("dict[str, Any]", requirement).items():
            if name == OPEN and name not in schemes:
                continue
            found = _add_requirement(given, found, _find_scheme(given, schemes, name=name, scopes=scopes))
    return found


def _find_scheme(given: Section, schemes: Mapping[str, Security | None], *, name: str, scopes: object) -> Security:
    scheme = schemes.get(name)
    if scheme is None:
        raise given.error("security", f"{name!r} is no authorizer, API key or signature")
    if not isinstance(scopes, list):
        raise given.error("security", f"the scopes of {name!r} must be a list")
    texts = frozenset(str(each) for each in cast("list[object]", scopes))
    if texts and (scheme.authorizer is None or scheme.authorizer.kind != "cognito"):
        raise given.error("security", "scopes are for Cognito user pools")
    return replace(scheme, scopes=texts)


def _add_requirement(given: Section, found: Security, more: Security) -> Security:
    if more.needs_key:
        return replace(found, needs_key=True)
    if found.authorizer is not None or found.is_signed:
        raise given.error("security", "more than one authorizer is not served here")
    return replace(more, needs_key=found.needs_key)


def _read_scheme(name: str, section: Section) -> Security | None:
    if "x-amazon-apigateway-authorizer" not in section.values:
        if section.text("x-amazon-apigateway-authtype") == "awsSigv4":
            return Security(is_signed=True)
        is_key = section.text("type") == "apiKey" and section.text("in") == "header"
        return Security(needs_key=True) if is_key and section.text("name").lower() == KEY_HEADER else None
    section.refuse_unknown(_SCHEME_KEYS)
    part = section.section("x-amazon-apigateway-authorizer")
    header = section.text("name", "Authorization")
    authorizer_id = short_id("authorizer", name)
    return Security(read_authorizer(part, name=name, authorizer_id=authorizer_id, header=header))


def read_authorizer(part: Section, *, name: str, authorizer_id: str, header: str = "") -> Authorizer:
    """One authorizer; `header` is where a token is looked for without an identitySource. Raises DefinitionError."""
    part.refuse_unknown(_AUTHORIZER_KEYS)
    kind = part.text("type").lower()
    if kind not in {"request", "token", "cognito_user_pools"}:
        raise part.error("type", f"{kind!r} is no type of authorizer (request, token, cognito_user_pools)")
    ttl_s = part.whole("authorizerResultTtlInSeconds", 300)
    if not 0 <= ttl_s <= MAX_TTL_S:
        raise part.error("authorizerResultTtlInSeconds", f"must be 0 to {MAX_TTL_S} s")
    is_cognito = kind == "cognito_user_pools"
    return Authorizer(
        name=name,
        id=authorizer_id,
        kind="cognito" if is_cognito else kind,
        function_arn="" if is_cognito else _read_function(part),
        identity_sources=_read_identity(part, kind=kind, ttl_s=ttl_s, header=header),
        ttl_s=ttl_s,
        validation=_read_validation(part, kind),
        pools=_read_pools(part) if is_cognito else (),
        role="" if is_cognito else part.text("authorizerCredentials"),
    )


def _read_function(part: Section) -> str:
    if part.values.get("providerARNs"):
        raise part.error("providerARNs", "is for Cognito user pools")
    uri = _URI.fullmatch(part.text("authorizerUri"))
    if uri is None:
        raise part.error("authorizerUri", "is not a Lambda invocation")
    return uri[1]


def _read_pools(part: Section) -> tuple[str, ...]:
    pools = tuple(str(each) for each in part.items("providerARNs"))
    for pool in pools:
        if not _POOL.fullmatch(pool):
            raise part.error("providerARNs", f"{pool!r} is not a user pool's ARN")
    if not pools:
        raise part.error("providerARNs", "is missing: a user pool")
    return pools


def _read_identity(part: Section, *, kind: str, ttl_s: int, header: str) -> tuple[str, ...]:
    if kind != "request":
        source = part.text("identitySource") or (f"method.request.header.{header}" if header else "")
        if not _HEADER.fullmatch(source):
            raise part.error("identitySource", f"{source!r} is not a header")
        return (source,)
    sources = tuple(each.strip() for each in part.text("identitySource").split(",") if each.strip())
    for source in sources:
        if not _IDENTITY.fullmatch(source):
            raise part.error("identitySource", f"{source!r} is not an identity source")
    if not sources and ttl_s:
        raise part.error("identitySource", "is missing: the cache needs one")
    return sources


def _read_validation(part: Section, kind: str) -> re.Pattern[str] | None:
    expression = part.text("identityValidationExpression")
    if not expression:
        return None
    if kind == "request":
        raise part.error("identityValidationExpression", "is for tokens")
    try:
        return compile_pattern(expression)
    except ValueError as error:
        raise part.error("identityValidationExpression", str(error)) from error


def read_gateway_responses(responses: Section) -> dict[str, GatewayResponse]:
    """Customised gateway responses by type. Raises DefinitionError."""
    return {kind: read_gateway_response(kind, part) for kind, part in responses.sections()}


def read_gateway_response(kind: str, section: Section) -> GatewayResponse:
    """One customised gateway response. Raises DefinitionError."""
    if kind not in RESPONSE_TYPES:
        raise DefinitionError("is not a gateway response type", where=section.where)
    section.refuse_unknown(_GATEWAY_KEYS)
    given = section.values.get("statusCode")
    status = final_status(given)
    if given is not None and status is None:
        raise section.error("statusCode", "must be a status from 200 to 599; 1xx cannot end an exchange")
    parameters = section.texts("responseParameters")
    for target, expression in parameters.items():
        where = f"{section.at('responseParameters')}.{target}"
        if not _GATEWAY_HEADER.fullmatch(target):
            raise DefinitionError("is not a header (paths and query strings are not served here)", where=where)
        check_expression(expression, "method.request", where=where)
    return GatewayResponse(status, parameters, section.texts("responseTemplates"))
