"""CloudFormation's separate parts of a REST API: resources, models, validators, authorizers, gateway responses.

They end in the same definition as an OpenAPI body does, read by the same readers.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGateway.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.gateway.apis import Apis, Validator, make_id
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.method_resource import MethodHandler
from localcloud.gateway.openapi_security import read_authorizer, read_gateway_response
from localcloud.gateway.schemas import bind_models, check_schema
from localcloud.gateway.section import Section
from localcloud.json_text import MalformedJson, parse_json
from localcloud.template.errors import TemplateError, join_path
from localcloud.template.handler import Physical, Resource, ResourceHandler, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = [
    "AuthorizerHandler",
    "GatewayResponseHandler",
    "ModelHandler",
    "RequestValidatorHandler",
    "ResourceHandlerOfApi",
    "part_handlers",
]

_SERVED: Final = Supported()
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9]+")


class ResourceHandlerOfApi:
    """`AWS::ApiGateway::Resource`. Ref and ResourceId are the id."""

    type: str = "AWS::ApiGateway::Resource"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = dict.fromkeys(("ParentId", "PathPart", "RestApiId"), _SERVED)

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Add the resource to its API. Raises TemplateError."""
        read = read_properties(resource)
        known = self._apis.find(read)
        parent, part = read.text("ParentId"), read.text("PathPart")
        if parent not in known.paths:
            raise read.error("ParentId", f"{parent!r} is no resource of the API")
        resource_id = make_id(6, "resource", known.api.id, resource.logical_id)
        try:
            known.add_resource(resource_id, parent, part)
        except ValueError as error:
            raise read.error("PathPart", str(error)) from error
        return Physical(resource_id, {"ResourceId": resource_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget it."""
        known = self._apis.get(read_properties(resource).text("RestApiId"))
        if known is not None:
            known.paths.pop(physical.ref, None)


class ModelHandler:
    """`AWS::ApiGateway::Model`. Ref is the name."""

    type: str = "AWS::ApiGateway::Model"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = dict.fromkeys(
        ("ContentType", "Description", "Name", "RestApiId", "Schema"), _SERVED
    )

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Keep the schema; a model that it refers to must be there already. Raises TemplateError."""
        read = read_properties(resource)
        known = self._apis.find(read)
        name = read.text("Name", make_id(12, "model", resource.context.stack_name, resource.logical_id))
        if not _MODEL_NAME.fullmatch(name):
            raise read.error("Name", "Model name must be alphanumeric")
        if name in known.models:
            raise read.error("Name", f"Model name already exists for this REST API: {name}")
        schema = _read_schema(read)
        try:
            bound = bind_models(schema, known.models, api_id=known.api.id)
            check_schema(bound, bound, where="")
        except DefinitionError as error:
            raise read.error("Schema", error.detail) from error
        known.models[name] = schema
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget it."""
        known = self._apis.get(read_properties(resource).text("RestApiId"))
        if known is not None:
            known.models.pop(physical.ref, None)


def _read_schema(read: Properties) -> Mapping[str, Any]:
    given = read.values.get("Schema", {})
    if isinstance(given, str):
        try:
            given = parse_json(given or "{}")
        except MalformedJson as error:
            raise read.error("Schema", f"is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise read.error("Schema", "must be a JSON schema")
    return cast("Mapping[str, Any]", given)


class RequestValidatorHandler:
    """`AWS::ApiGateway::RequestValidator`. Ref and RequestValidatorId are the id."""

    type: str = "AWS::ApiGateway::RequestValidator"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = dict.fromkeys(
        ("Name", "RestApiId", "ValidateRequestBody", "ValidateRequestParameters"), _SERVED
    )

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Know it. Raises TemplateError."""
        read = read_properties(resource)
        known = self._apis.find(read)
        validator_id = make_id(6, "validator", known.api.id, resource.logical_id)
        body, parameters = read.flag("ValidateRequestBody", False), read.flag("ValidateRequestParameters", False)
        known.validators[validator_id] = Validator(body, parameters)
        return Physical(validator_id, {"RequestValidatorId": validator_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget it."""
        known = self._apis.get(read_properties(resource).text("RestApiId"))
        if known is not None:
            known.validators.pop(physical.ref, None)


class GatewayResponseHandler:
    """`AWS::ApiGateway::GatewayResponse`. Ref and Id are the id."""

    type: str = "AWS::ApiGateway::GatewayResponse"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = dict.fromkeys(
        ("ResponseParameters", "ResponseTemplates", "ResponseType", "RestApiId", "StatusCode"), _SERVED
    )

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Customise one type of answer. Raises TemplateError."""
        read = read_properties(resource)
        known = self._apis.find(read)
        kind = read.text("ResponseType")
        values: dict[str, Any] = {
            "responseParameters": read.text_map("ResponseParameters"),
            "responseTemplates": read.text_map("ResponseTemplates"),
        }
        if "StatusCode" in read:
            values["statusCode"] = read.text("StatusCode")
        if kind in known.api.gateway_responses:
            raise read.error("ResponseType", f"{kind} is customised already")
        try:
            known.set_gateway_response(kind, read_gateway_response(kind, Section(values, "")))
        except DefinitionError as error:
            place = "ResponseType" if not error.where else error.where[0].upper() + error.where[1:]
            raise TemplateError(error.detail, where=join_path(read.where, place)) from error
        response_id = make_id(8, "response", known.api.id, kind)
        return Physical(response_id, {"Id": response_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Back to API Gateway's own words."""
        read = read_properties(resource)
        known = self._apis.get(read.text("RestApiId"))
        if known is not None:
            known.set_gateway_response(read.text("ResponseType"), None)


_AUTHORIZER_KEYS: Final[Mapping[str, str]] = {
    "AuthorizerCredentials": "authorizerCredentials",
    "AuthorizerResultTtlInSeconds": "authorizerResultTtlInSeconds",
    "AuthorizerUri": "authorizerUri",
    "IdentitySource": "identitySource",
    "IdentityValidationExpression": "identityValidationExpression",
    "Type": "type",
}


class AuthorizerHandler:
    """`AWS::ApiGateway::Authorizer`: TOKEN, REQUEST or COGNITO_USER_POOLS. Ref and AuthorizerId are the id."""

    type: str = "AWS::ApiGateway::Authorizer"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = dict.fromkeys(
        (*_AUTHORIZER_KEYS, "AuthType", "Name", "ProviderARNs", "RestApiId"), _SERVED
    )

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Know it. Raises TemplateError."""
        read = read_properties(resource)
        known = self._apis.find(read)
        name, authorizer_id = read.text("Name"), make_id(6, "authorizer", known.api.id, resource.logical_id)
        if any(each.name == name for each in known.authorizers.values()):
            raise read.error(
                "Name", f"Authorizer name must be unique. Authorizer {name} already exists in this RestApi."
            )
        values: dict[str, Any] = {key: read.text(each) for each, key in _AUTHORIZER_KEYS.items() if each in read}
        if "ProviderARNs" in read:
            values["providerARNs"] = read.texts("ProviderARNs")
        try:
            authorizer = read_authorizer(Section(values, ""), name=name, authorizer_id=authorizer_id)
        except DefinitionError as error:
            place = error.where[0].upper() + error.where[1:]
            raise TemplateError(error.detail, where=join_path(read.where, place)) from error
        known.authorizers[authorizer_id] = authorizer
        return Physical(authorizer_id, {"AuthorizerId": authorizer_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget it."""
        known = self._apis.get(read_properties(resource).text("RestApiId"))
        if known is not None:
            known.authorizers.pop(physical.ref, None)


def part_handlers(apis: Apis) -> tuple[ResourceHandler, ...]:
    """The handlers of an API's separate parts."""
    return (
        ResourceHandlerOfApi(apis),
        MethodHandler(apis),
        ModelHandler(apis),
        RequestValidatorHandler(apis),
        GatewayResponseHandler(apis),
        AuthorizerHandler(apis),
    )
