"""Reads the Lambda authorizers and gateway responses of an OpenAPI body.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-authorizer.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from localcloud.gateway.definition import Authorizer, GatewayResponse
from localcloud.gateway.errors import RESPONSE_TYPES, DefinitionError
from localcloud.gateway.mapping import check_expression
from localcloud.gateway.message import final_status
from localcloud.gateway.section import Section
from localcloud.matching import compile_pattern

__all__ = ["read_authorizers", "read_gateway_responses", "short_id"]

MAX_TTL_S: Final = 3600  # https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html

_SCHEME_KEYS: Final = frozenset(
    {"type", "name", "in", "description", "x-amazon-apigateway-authtype", "x-amazon-apigateway-authorizer"}
)
_AUTHORIZER_KEYS: Final = frozenset(
    {"type", "authorizerUri", "authorizerResultTtlInSeconds", "identitySource", "identityValidationExpression"}
)
_URI: Final = re.compile(r"arn:[\w-]+:apigateway:[\w-]+:lambda:path/2015-03-31/functions/(arn:[^/]+)/invocations")
_IDENTITY: Final = re.compile(r"method\.request\.(header|querystring)\.\S+|(context|stageVariables)\.\S+")
_GATEWAY_KEYS: Final = frozenset({"statusCode", "responseParameters", "responseTemplates"})
_GATEWAY_HEADER: Final = re.compile(r"gatewayresponse\.header\.\S+")


def short_id(*parts: str) -> str:
    """Six characters made of the parts, as API Gateway's own ids look; the same for the same API every time."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:6]


def read_authorizers(schemes: Section) -> Mapping[str, Authorizer | None]:
    """Authorizers by scheme name; None for a scheme that is none (refused where a method uses it)."""
    return {name: _read_scheme(name, part) for name, part in schemes.sections()}


def _read_scheme(name: str, section: Section) -> Authorizer | None:
    if "x-amazon-apigateway-authorizer" not in section.values:
        return None
    section.refuse_unknown(_SCHEME_KEYS)
    part = section.section("x-amazon-apigateway-authorizer")
    part.refuse_unknown(_AUTHORIZER_KEYS)
    kind = part.text("type").lower()
    if kind not in {"request", "token"}:
        raise part.error("type", f"{kind!r} is not served here (request and token are)")
    uri = _URI.fullmatch(part.text("authorizerUri"))
    if uri is None:
        raise part.error("authorizerUri", "is not a Lambda invocation")
    ttl_s = part.whole("authorizerResultTtlInSeconds", 300)
    if not 0 <= ttl_s <= MAX_TTL_S:
        raise part.error("authorizerResultTtlInSeconds", f"must be 0 to {MAX_TTL_S} s")
    return Authorizer(
        name=name,
        id=short_id("authorizer", name),
        kind=kind,
        function_arn=uri[1],
        identity_sources=_read_identity(section, part, kind=kind, ttl_s=ttl_s),
        ttl_s=ttl_s,
        validation=_read_validation(part, kind),
    )


def _read_identity(scheme: Section, part: Section, *, kind: str, ttl_s: int) -> tuple[str, ...]:
    if kind == "token":
        header = scheme.text("name", "Authorization")
        source = part.text("identitySource", f"method.request.header.{header}")
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
    if kind != "token":
        raise part.error("identityValidationExpression", "is for token authorizers")
    try:
        return compile_pattern(expression)
    except ValueError as error:
        raise part.error("identityValidationExpression", str(error)) from error


def read_gateway_responses(responses: Section) -> dict[str, GatewayResponse]:
    """Customised gateway responses by type. Raises DefinitionError."""
    return {kind: _read_response(kind, part) for kind, part in responses.sections()}


def _read_response(kind: str, section: Section) -> GatewayResponse:
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
