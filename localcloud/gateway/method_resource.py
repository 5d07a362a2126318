"""`AWS::ApiGateway::Method`: a method of a resource, with where it leads, as OpenAPI's reader of integrations reads it.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-apigateway-method.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.gateway.apis import Apis, KnownApi, Validator, make_id
from localcloud.gateway.definition import Authorizer, Integration, Method
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.mapping import check_expression
from localcloud.gateway.openapi_integration import read_integration
from localcloud.gateway.schemas import bind_models
from localcloud.gateway.section import Section
from localcloud.template.errors import TemplateError, join_path
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["MethodHandler"]

METHODS: Final = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_AUTHORIZATION: Final = ("NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS")
_SERVED: Final = Supported()
_FOR_A_CACHE: Final = Supported(Support.SERVED, "it names what a stage's cache would keep; one with a cache is refused")
_NO_VPC: Final = Supported(Support.REFUSED, "there is no VPC")
_KEYS: Final[Mapping[str, str]] = {
    "ConnectionType": "connectionType",
    "ContentHandling": "contentHandling",
    "Credentials": "credentials",
    "IntegrationHttpMethod": "httpMethod",
    "PassthroughBehavior": "passthroughBehavior",
    "ResponseTransferMode": "responseTransferMode",
    "TimeoutInMillis": "timeoutInMillis",
    "Type": "type",
    "Uri": "uri",
}
_PLACES: Final = {"httpMethod": "IntegrationHttpMethod", "responses": "IntegrationResponses"}
_EMPTY_MODELS: Final = frozenset({"Empty", "Error"})  # every API has them from the start


class MethodHandler:
    """`AWS::ApiGateway::Method`. Ref is an id."""

    type: str = "AWS::ApiGateway::Method"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ApiKeyRequired": _SERVED,
        "AuthorizationScopes": _SERVED,
        "AuthorizationType": Supported(Support.SERVED, "there is no other type", _AUTHORIZATION),
        "AuthorizerId": _SERVED,
        "HttpMethod": _SERVED,
        "Integration.CacheKeyParameters": _FOR_A_CACHE,
        "Integration.CacheNamespace": _FOR_A_CACHE,
        "Integration.ConnectionId": _NO_VPC,
        "Integration.ConnectionType": Supported(Support.SERVED, "there is no VPC", ("INTERNET",)),
        "Integration.ContentHandling": _SERVED,
        "Integration.Credentials": _SERVED,
        "Integration.IntegrationHttpMethod": _SERVED,
        "Integration.IntegrationResponses": _SERVED,
        "Integration.PassthroughBehavior": _SERVED,
        "Integration.RequestParameters": _SERVED,
        "Integration.RequestTemplates": _SERVED,
        "Integration.ResponseTransferMode": _SERVED,
        "Integration.TimeoutInMillis": _SERVED,
        "Integration.Type": _SERVED,
        "Integration.Uri": _SERVED,
        "MethodResponses": _SERVED,
        "OperationName": _SERVED,
        "RequestModels": _SERVED,
        "RequestParameters": _SERVED,
        "RequestValidatorId": _SERVED,
        "ResourceId": _SERVED,
        "RestApiId": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Add the method to its resource. Raises TemplateError with the path of what makes no sense."""
        read = read_properties(resource)
        known = self._apis.find(read)
        method = _read_method(read, known)
        try:
            known.add_method(method)
        except ValueError as error:
            raise read.error("HttpMethod", str(error)) from error
        unique = make_id(12, "method", known.api.id, resource.logical_id)
        return Physical(f"{resource.context.stack_name[:5]}-{resource.logical_id[:5]}-{unique}".lower())

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget it."""
        read = read_properties(resource)
        known = self._apis.get(read.text("RestApiId"))
        if known is not None and read.text("ResourceId") in known.paths:
            known.remove_method(known.paths[read.text("ResourceId")], read.text("HttpMethod").upper())


def _read_method(read: Properties, known: KnownApi) -> Method:
    resource_id, kind = read.text("ResourceId"), read.text("AuthorizationType", "NONE")
    if resource_id not in known.paths:
        raise read.error("ResourceId", f"{resource_id!r} is no resource of the API")
    responses = _read_responses(read)
    validator = _read_validator(read, known)
    return Method(
        path=known.paths[resource_id],
        http_method=read.choice("HttpMethod", METHODS),
        resource_id=resource_id,
        integration=_read_integration(read, responses),
        operation=read.text("OperationName", ""),
        authorizer=_read_authorizer(read, known, kind=kind),
        validates_body=validator.body,
        validates_parameters=validator.parameters,
        models=_read_models(read, known),
        required=_read_required(read),
        response_headers=responses,
        needs_key=read.flag("ApiKeyRequired", False),
        is_signed=kind == "AWS_IAM",
        scopes=frozenset(read.texts("AuthorizationScopes")),
    )


def _read_validator(read: Properties, known: KnownApi) -> Validator:
    if "RequestValidatorId" not in read:
        return Validator(body=False, parameters=False)
    validator_id = read.text("RequestValidatorId")
    if validator_id not in known.validators:
        raise read.error("RequestValidatorId", "Invalid Request Validator identifier specified")
    return known.validators[validator_id]


def _read_authorizer(read: Properties, known: KnownApi, *, kind: str) -> Authorizer | None:
    wants = {"CUSTOM": ("request", "token"), "COGNITO_USER_POOLS": ("cognito",)}.get(kind, ())
    if "AuthorizationScopes" in read and kind != "COGNITO_USER_POOLS":
        raise read.error("AuthorizationScopes", "is for Cognito user pools")
    if not wants:
        if "AuthorizerId" in read:
            raise read.error("AuthorizerId", f"is not for AuthorizationType {kind}")
        return None
    authorizer = known.authorizers.get(read.text("AuthorizerId"))
    if authorizer is None or authorizer.kind not in wants:
        words = (
            "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires"
        )
        raise read.error("AuthorizerId", f"{words} a valid authorizer.")
    return authorizer


def _read_models(read: Properties, known: KnownApi) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for content_type, name in read.text_map("RequestModels").items():
        if name in _EMPTY_MODELS and name not in known.models:
            continue
        if name not in known.models:
            raise read.nested("RequestModels").error(content_type, f"Invalid model identifier specified: {name}")
        found[content_type.lower()] = bind_models(known.models[name], known.models, api_id=known.api.id)
    return found


def _read_required(read: Properties) -> tuple[str, ...]:
    """Required parameters as expressions; a path variable of another name than the resource's is never there."""
    nested = read.nested("RequestParameters")
    required: list[str] = []
    for name in nested.values:
        parts = name.split(".", 3)
        if len(parts) != 4 or parts[:2] != ["method", "request"] or parts[2] not in {"header", "path", "querystring"}:
            raise nested.error(name, f"Invalid mapping expression specified: {name}")
        _check(nested, name, expression=name)
        if nested.flag(name):
            required.append(name)
    return tuple(required)


def _check(nested: Properties, name: str, *, expression: str) -> None:
    try:
        check_expression(expression, "method.request", where="")
    except DefinitionError as error:
        raise nested.error(name, error.detail) from error


def _read_responses(read: Properties) -> dict[int, frozenset[str]]:
    """The headers that each of the method's responses declares, in lower case, by status."""
    found: dict[int, frozenset[str]] = {}
    for each in read.each("MethodResponses"):
        names = each.nested("ResponseParameters").values
        for name in names:
            if not name.startswith("method.response.header."):
                raise each.error("ResponseParameters", f"Invalid mapping expression specified: {name}")
        headers = frozenset(name.removeprefix("method.response.header.").lower() for name in names)
        found[each.integer("StatusCode", low=200, high=599)] = headers
    return found


def _read_integration(read: Properties, responses: Mapping[int, frozenset[str]]) -> Integration:
    if "Integration" not in read:
        raise read.error("Integration", "is missing: No integration defined for method")
    given = read.nested("Integration")
    values: dict[str, Any] = {key: given.text(name) for name, key in _KEYS.items() if name in given}
    values["requestParameters"] = given.text_map("RequestParameters")
    values["requestTemplates"] = given.text_map("RequestTemplates")
    values["responses"] = _read_integration_responses(given, responses)
    try:
        return read_integration(Section(values, ""))
    except DefinitionError as error:
        raise TemplateError(error.detail, where=join_path(given.where, _place(error.where))) from error


def _read_integration_responses(read: Properties, responses: Mapping[int, frozenset[str]]) -> dict[str, Any]:
    """The integration responses by pattern. API Gateway keeps them by status, one for each."""
    found: dict[str, Any] = {}
    statuses: set[int] = set()
    for each in read.each("IntegrationResponses"):
        status = _check_declared(each, responses)
        pattern = each.text("SelectionPattern", "") or "default"
        if pattern in found:
            raise each.error("SelectionPattern", f"{pattern!r} stands twice")
        if status in statuses:
            raise each.error("StatusCode", f"{status} stands twice: API Gateway keeps one response for a status")
        statuses.add(status)
        found[pattern] = _response(each)
    return found


def _response(read: Properties) -> dict[str, Any]:
    found: dict[str, Any] = {
        "statusCode": read.text("StatusCode"),
        "responseParameters": read.text_map("ResponseParameters"),
        "responseTemplates": read.text_map("ResponseTemplates"),
    }
    return found | ({"contentHandling": read.text("ContentHandling")} if "ContentHandling" in read else {})


def _check_declared(read: Properties, responses: Mapping[int, frozenset[str]]) -> int:
    """The status; API Gateway takes an integration response only for what the method's responses declare."""
    status = read.integer("StatusCode", low=200, high=599)
    if status not in responses:
        raise read.error("StatusCode", f"Invalid Response status code specified: MethodResponses has no {status}")
    for name in read.mapping("ResponseParameters"):
        header = name.removeprefix("method.response.header.").lower()
        if header not in responses[status]:
            words = f"Invalid mapping expression parameter specified: {name}"
            raise read.error("ResponseParameters", f"{words}; the MethodResponse of {status} does not declare it")
    return status


def _place(where: str) -> str:
    """The path in the template of a path in the integration as OpenAPI writes it."""
    first, dot, rest = where.partition(".")
    return (_PLACES.get(first) or first[:1].upper() + first[1:]) + dot + rest
