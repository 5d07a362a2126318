"""Reads the parts of an HTTP API out of CloudFormation's properties. What only WebSocket APIs have is an error.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from localcloud.gateway.http_api.cors import MAX_AGE_S, Cors
from localcloud.gateway.http_api.definition import (
    DEFAULT,
    Authorizer,
    Integration,
    JwtAuthorizer,
    LambdaAuthorizer,
    Route,
    Stage,
    Throttle,
)
from localcloud.gateway.http_api.mapping import check_request_mapping, check_response_mapping, check_value
from localcloud.gateway.http_api.routing import check_key
from localcloud.gateway.http_api.services import SUBTYPES, check_parameters
from localcloud.gateway.message import final_status
from localcloud.gateway.telling import read_access_log
from localcloud.issuer_keys import check_issuer
from localcloud.template.properties import Properties

__all__ = [
    "function_arn",
    "read_authorizer",
    "read_cors",
    "read_integration",
    "read_route",
    "read_stage",
    "read_version",
    "refuse_for_http",
    "split_sources",
]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
MAX_TIMEOUT_MS: Final = 30_000
MAX_AUDIENCES: Final = 50
MAX_SCOPES: Final = 10
MIN_TIMEOUT_MS: Final = 50  # apigatewayv2's API: IntegerWithLengthBetween50And30000
MAX_TTL_S: Final = 3600  # https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-authorizers.html
TTL_S: Final = 300  # where none is given and there is something to keep a result by
_RATE: Final = 10_000  # account defaults, http-api-throttling
_BURST: Final = 5_000
_FUNCTION: Final = re.compile(r"arn:[\w-]+:lambda:[\w-]+:\d{12}:function:[\w-]+(?::[\w$-]+)?")
_INVOCATION: Final = re.compile(
    r"arn:[\w-]+:apigateway:[\w-]+:lambda:path/2015-03-31/functions/(arn:[^/]+)/invocations"
)
_ADDRESS: Final = re.compile(r"https?://[^\s/?#]+([/?]\S*)?")
_DETAILED: Final = "DetailedMetricsEnabled"
_STAGE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LISTS: Final = re.compile(r"\s*,\s*")


def refuse_for_http(read: Properties, *names: str) -> None:
    """Raise TemplateError for a property that HTTP APIs do not have."""
    for name in names:
        if name in read:
            raise read.error(name, "is for WebSocket APIs only")


def _checked(read: Properties, name: str, check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as error:
        raise read.error(name, str(error)) from error


# ---- routes


def read_route(read: Properties, route_id: str) -> Route:
    """A route. Raises TemplateError."""
    refuse_for_http(read, "RouteResponseSelectionExpression", "ModelSelectionExpression", "RequestModels")
    key, target = read.text("RouteKey"), read.text("Target", "")
    _checked(read, "RouteKey", lambda: check_key(key))
    if not target.startswith("integrations/"):
        raise read.error("Target", f"must be integrations/<id>, is {target!r}")
    kind = read.choice("AuthorizationType", ("NONE", "JWT", "CUSTOM", "AWS_IAM"), "NONE")
    if kind in {"JWT", "CUSTOM"} and "AuthorizerId" not in read:
        raise read.error("AuthorizerId", "is required")
    scopes = tuple(read.texts("AuthorizationScopes"))
    if scopes and kind != "JWT":
        raise read.error("AuthorizationScopes", "are for routes with a JWT authorizer")
    if len(scopes) > MAX_SCOPES:
        raise read.error("AuthorizationScopes", f"are at most {MAX_SCOPES}")
    return Route(
        id=route_id,
        key=key,
        integration_id=target.removeprefix("integrations/"),
        authorization=kind,
        authorizer_id=read.text("AuthorizerId") if kind in {"JWT", "CUSTOM"} else "",
        scopes=scopes,
        operation=read.text("OperationName", ""),
    )


# ---- integrations


def read_integration(read: Properties, integration_id: str) -> Integration:
    """An integration. Raises TemplateError."""
    refuse_for_http(read, "PassthroughBehavior", "RequestTemplates", "TemplateSelectionExpression")
    kind = read.choice("IntegrationType", ("AWS_PROXY", "HTTP_PROXY"))
    timeout_ms = read.integer("TimeoutInMillis", MAX_TIMEOUT_MS, low=MIN_TIMEOUT_MS, high=MAX_TIMEOUT_MS)
    responses = _read_responses(read)
    if "IntegrationSubtype" in read:
        return _read_service(read, integration_id, responses=responses, timeout_s=timeout_ms / 1000)
    if "CredentialsArn" in read:
        raise read.error("CredentialsArn", "is not served here but for AWS services; give an AWS::Lambda::Permission")
    parameters = read.text_map("RequestParameters")
    _checked(read, "RequestParameters", lambda: check_request_mapping(parameters))
    version = read_version(read, "PayloadFormatVersion", "1.0")
    if kind == "HTTP_PROXY" and version != "1.0":
        raise read.error("PayloadFormatVersion", "is 1.0 for everything but functions")
    return Integration(
        id=integration_id,
        kind="function" if kind == "AWS_PROXY" else "http",
        uri=_read_uri(read, kind),
        method=_read_method(read, kind),
        payload=version,
        parameters=parameters,
        responses=responses,
        timeout_s=timeout_ms / 1000,
    )


def read_version(read: Properties, name: str, default: str | None = None) -> str:
    """A format version, 1.0 or 2.0; written without quotes it is a number, which loses its .0. Raises TemplateError."""
    text = read.text(name, default)
    version = f"{text}.0" if text in {"1", "2"} else text
    if version not in {"1.0", "2.0"}:
        raise read.error(name, f"must be 1.0 or 2.0, is {text!r}")
    return version


def _read_uri(read: Properties, kind: str) -> str:
    uri = read.text("IntegrationUri")
    if kind == "HTTP_PROXY":
        if not _ADDRESS.fullmatch(uri):
            raise read.error("IntegrationUri", f"{uri!r} is no http or https address")
        return uri
    return function_arn(read, "IntegrationUri")


def function_arn(read: Properties, name: str) -> str:
    """A function's ARN, which may stand in the address of its invocation. Raises TemplateError."""
    uri = read.text(name)
    invocation = _INVOCATION.fullmatch(uri)
    arn = invocation[1] if invocation is not None else uri
    if not _FUNCTION.fullmatch(arn):
        raise read.error(name, f"{uri!r} is no Lambda function")
    return arn


def _read_method(read: Properties, kind: str) -> str:
    method = read.text("IntegrationMethod", "" if kind == "HTTP_PROXY" else "POST").upper()
    if kind == "AWS_PROXY" and method not in {"POST", "ANY"}:
        raise read.error("IntegrationMethod", "must be POST for a Lambda function")
    if kind == "HTTP_PROXY" and not method:
        raise read.error("IntegrationMethod", "is required for an HTTP integration")
    return method


def _read_service(
    read: Properties, integration_id: str, *, responses: Mapping[int, Mapping[str, str]], timeout_s: float
) -> Integration:
    subtype = read.text("IntegrationSubtype")
    if read.text("IntegrationType") != "AWS_PROXY" or "IntegrationUri" in read:
        raise read.error("IntegrationSubtype", "needs the type AWS_PROXY, and no IntegrationUri")
    if subtype not in SUBTYPES:
        raise read.error("IntegrationSubtype", f"{subtype!r} is not served here ({', '.join(SUBTYPES)} are)")
    parameters = read.text_map("RequestParameters")
    _checked(read, "RequestParameters", lambda: check_parameters(subtype, parameters))
    for name, value in parameters.items():
        _checked(read, f"RequestParameters.{name}", lambda value=value: check_value(value, "request"))
    if "CredentialsArn" not in read:
        raise read.error("CredentialsArn", "is missing: API Gateway needs a role to call the service")
    if read_version(read, "PayloadFormatVersion", "1.0") != "1.0":
        raise read.error("PayloadFormatVersion", "is 1.0 for everything but functions")
    return Integration(
        id=integration_id,
        kind="service",
        subtype=subtype,
        credentials=read.text("CredentialsArn"),
        payload="1.0",
        parameters=parameters,
        responses=responses,
        timeout_s=timeout_s,
    )


def _read_responses(read: Properties) -> dict[int, Mapping[str, str]]:
    """Mappings by status, as CloudFormation writes them (a list of pairs) and as OpenAPI does (a map)."""
    found: dict[int, Mapping[str, str]] = {}
    given = read.nested("ResponseParameters")
    for key in given.values:
        status, part = final_status(key), given.nested(key)
        if status is None:
            raise given.error(key, "is no status from 200 to 599")
        if "ResponseParameters" in part:
            pairs = {each.text("Destination"): each.text("Source", "") for each in part.each("ResponseParameters")}
        else:
            pairs = {name: part.text(name) for name in part.values}
        _checked(given, key, lambda pairs=pairs: check_response_mapping(pairs))
        found[status] = pairs
    return found


# ---- authorizers


def read_authorizer(read: Properties, authorizer_id: str) -> Authorizer:
    """A JWT or Lambda authorizer. Raises TemplateError."""
    kind = read.choice("AuthorizerType", ("REQUEST", "JWT"))
    sources = tuple(_source(read, each) for each in read.texts("IdentitySource"))
    if kind == "JWT":
        return _read_jwt(read, authorizer_id, sources)
    payload = read_version(read, "AuthorizerPayloadFormatVersion")
    simple = read.flag("EnableSimpleResponses", default=False)
    if simple and payload != "2.0":
        raise read.error("EnableSimpleResponses", "needs the payload format 2.0")
    ttl_s = read.integer("AuthorizerResultTtlInSeconds", TTL_S if sources else 0, low=0, high=MAX_TTL_S)
    if ttl_s and not sources:
        raise read.error("IdentitySource", "is required where results are kept")
    return LambdaAuthorizer(
        id=authorizer_id,
        name=read.text("Name"),
        function_arn=function_arn(read, "AuthorizerUri"),
        sources=sources,
        payload=payload,
        simple=simple,
        ttl_s=ttl_s,
    )


def _source(read: Properties, source: str) -> str:
    """An identity source; `route.request.header.x` is another way to write `$request.header.x`."""
    written = source.strip()
    if written.startswith("route.request."):
        written = f"$request.{written.removeprefix('route.request.')}"
    if not re.fullmatch(r"\$(request\.(header|querystring)|context|stageVariables)\.\S+", written):
        raise read.error("IdentitySource", f"{source!r} is no identity source")
    return written


def _read_jwt(read: Properties, authorizer_id: str, sources: tuple[str, ...]) -> JwtAuthorizer:
    settings = read.nested("JwtConfiguration")
    issuer, audience = settings.text("Issuer"), tuple(settings.texts("Audience"))
    _checked(settings, "Issuer", lambda: check_issuer(issuer))
    if not 1 <= len(audience) <= MAX_AUDIENCES:
        raise settings.error("Audience", f"must be 1 to {MAX_AUDIENCES} names")
    if len(sources) != 1 or not sources[0].startswith("$request."):
        raise read.error("IdentitySource", "must be the one place where the token is")
    return JwtAuthorizer(authorizer_id, read.text("Name"), sources[0], issuer, audience)


# ---- the API and its stages


def read_cors(read: Properties) -> Cors:
    """A CORS configuration. Raises TemplateError."""
    cors = Cors(
        allow_credentials=read.flag("AllowCredentials", default=False),
        allow_headers=tuple(read.texts("AllowHeaders")),
        allow_methods=tuple(read.texts("AllowMethods")),
        allow_origins=tuple(read.texts("AllowOrigins")),
        expose_headers=tuple(read.texts("ExposeHeaders")),
        max_age_s=read.integer("MaxAge", -1, low=-1, high=MAX_AGE_S),
    )
    if cors.allow_credentials and "*" in cors.allow_origins:
        raise read.error("AllowCredentials", "cannot be with the origin *")
    return cors


def read_stage(read: Properties) -> Stage:
    """A stage's name and settings. Raises TemplateError."""
    name = read.text("StageName")
    if name != DEFAULT and not _STAGE_NAME.fullmatch(name):
        raise read.error("StageName", f"{name!r} is neither {DEFAULT} nor letters, digits, - and _")
    settings = read.nested("RouteSettings")
    throttles = [_throttle(settings.nested(key), key) for key in settings.values]
    if "DefaultRouteSettings" in read:
        throttles.append(_throttle(read.nested("DefaultRouteSettings"), ""))
    places = [(key, settings.nested(key)) for key in settings.values] + [("", read.nested("DefaultRouteSettings"))]
    return Stage(
        name,
        read.text_map("StageVariables"),
        tuple(each for each in throttles if each is not None),
        {key: each.flag(_DETAILED, False) for key, each in places if _DETAILED in each},
        read_access_log(read, "AccessLogSettings"),
    )


def _throttle(read: Properties, route_key: str) -> Throttle | None:
    refuse_for_http(read, "DataTraceEnabled", "LoggingLevel")
    if "ThrottlingRateLimit" not in read and "ThrottlingBurstLimit" not in read:
        return None
    return Throttle(
        route_key,
        rate=read.number("ThrottlingRateLimit", _RATE, low=0),
        burst=read.integer("ThrottlingBurstLimit", _BURST, low=0),
    )


def split_sources(value: Any) -> list[str]:
    """Identity sources as OpenAPI writes them: a list, or text with commas."""
    if isinstance(value, str):
        return [each for each in _LISTS.split(value.strip()) if each]
    return value
