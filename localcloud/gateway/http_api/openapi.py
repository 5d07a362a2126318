"""Reads the OpenAPI 3.0 body of an HTTP API: routes, integrations, authorizers, CORS.

Each extension is made into the properties of the CloudFormation resource that says the same, and read as that; every
`x-amazon-apigateway-*` key that is not served is an error with its path.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.http_api.definition import DEFAULT, HttpApi, JwtAuthorizer
from localcloud.gateway.http_api.parts import read_authorizer, read_cors, read_integration, read_route, split_sources
from localcloud.gateway.resources import make_id
from localcloud.gateway.section import Section
from localcloud.template.errors import TemplateError, join_path
from localcloud.template.properties import Properties

__all__ = ["read_body"]

_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})
_ANY: Final = "x-amazon-apigateway-any-method"
_EXTENSIONS: Final = "x-amazon-apigateway"
_ROOT: Final = frozenset({"x-amazon-apigateway-cors", "x-amazon-apigateway-importexport-version"})
_OPERATION: Final = frozenset({"x-amazon-apigateway-integration", "x-amazon-apigateway-auth"})
_SCHEME: Final = frozenset({"x-amazon-apigateway-authorizer", "x-amazon-apigateway-authtype"})
_OPEN: Final = "NONE"  # SAM writes it for `Authorizer: NONE`, with no scheme of the name
_INTEGRATION: Final[Mapping[str, str]] = {
    "type": "IntegrationType",
    "httpMethod": "IntegrationMethod",
    "uri": "IntegrationUri",
    "payloadFormatVersion": "PayloadFormatVersion",
    "timeoutInMillis": "TimeoutInMillis",
    "connectionType": "ConnectionType",
    "credentials": "CredentialsArn",
    "requestParameters": "RequestParameters",
    "responseParameters": "ResponseParameters",
    "integrationSubtype": "IntegrationSubtype",
    "description": "Description",
}
_AUTHORIZER: Final[Mapping[str, str]] = {
    "type": "AuthorizerType",
    "authorizerUri": "AuthorizerUri",
    "authorizerPayloadFormatVersion": "AuthorizerPayloadFormatVersion",
    "authorizerResultTtlInSeconds": "AuthorizerResultTtlInSeconds",
    "enableSimpleResponses": "EnableSimpleResponses",
    "identitySource": "IdentitySource",
    "jwtConfiguration": "JwtConfiguration",
}


def read_body(api: HttpApi, body: Mapping[str, Any], *, where: str) -> str:
    """Put what `body` (intrinsics resolved) defines into the API; its title. Raises TemplateError."""
    try:
        return _Reader(api, Section(body, ""), where).read()
    except DefinitionError as error:
        raise TemplateError(error.detail, where=join_path(where, error.where) if error.where else where) from error


class _Reader:
    def __init__(self, api: HttpApi, root: Section, where: str) -> None:
        self._api = api
        self._root = root
        self._where = where
        self._schemes: dict[str, str] = {}

    def read(self) -> str:
        root = self._root
        if not root.text("openapi").startswith("3.0"):
            raise DefinitionError("must be OpenAPI 3.0", where="openapi")
        root.refuse_unknown(_ROOT, only_prefix=_EXTENSIONS)
        if "x-amazon-apigateway-cors" in root.values:
            cors = root.section("x-amazon-apigateway-cors")
            self._api.cors = read_cors(self._properties(cors, _capital(cors.values)))
        for name, scheme in root.section("components").section("securitySchemes").sections():
            self._read_scheme(name, scheme)
        for path, item in root.section("paths").sections():
            self._read_path(path, item)
        return root.section("info").text("title")

    def _properties(self, section: Section, values: Mapping[str, Any]) -> Properties:
        return Properties(values, where=join_path(self._where, section.where))

    def _read_scheme(self, name: str, section: Section) -> None:
        """Note what a scheme means to a route: an authorizer's id, or AWS_IAM."""
        section.refuse_unknown(_SCHEME, only_prefix=_EXTENSIONS)
        if section.text("x-amazon-apigateway-authtype").lower() == "awssigv4":
            self._schemes[name] = "AWS_IAM"
        if "x-amazon-apigateway-authorizer" not in section.values:
            return
        part = section.section("x-amazon-apigateway-authorizer")
        part.refuse_unknown(frozenset(_AUTHORIZER))
        values = {_AUTHORIZER[key]: value for key, value in part.values.items()} | {"Name": name}
        values["AuthorizerType"] = part.text("type").upper()
        if "IdentitySource" in values:
            values["IdentitySource"] = split_sources(values["IdentitySource"])
        if "JwtConfiguration" in values:
            values["JwtConfiguration"] = _capital(part.section("jwtConfiguration").values)
        authorizer = read_authorizer(self._properties(part, values), make_id(6, "authorizer", self._api.id, name))
        self._api.put(authorizer)
        self._schemes[name] = authorizer.id

    def _read_path(self, path: str, item: Section) -> None:
        item.refuse_unknown(frozenset({_ANY}), only_prefix=_EXTENSIONS)
        for method in item.values:
            if method not in _METHODS and method != _ANY:
                continue
            operation = item.section(method)
            is_default = path.lstrip("/") == DEFAULT
            if is_default and method != _ANY:
                raise item.error(method, f"{DEFAULT} takes every method")
            key = DEFAULT if is_default else f"{'ANY' if method == _ANY else method.upper()} {path}"
            self._read_operation(key, operation)

    def _read_operation(self, key: str, section: Section) -> None:
        section.refuse_unknown(_OPERATION, only_prefix=_EXTENSIONS)
        part = self._resolve(section.section("x-amazon-apigateway-integration"))
        if not part.values:
            raise section.error("x-amazon-apigateway-integration", "is missing")
        part.refuse_unknown(frozenset(_INTEGRATION))
        part.refuse_unless("connectionType", "INTERNET")
        values = {_INTEGRATION[name]: value for name, value in part.values.items()}
        values["IntegrationType"] = part.text("type").upper()
        integration = read_integration(self._properties(part, values), make_id(7, "integration", self._api.id, key))
        self._api.put(integration)
        about = {"RouteKey": key, "Target": f"integrations/{integration.id}", **self._read_security(section)}
        route = read_route(self._properties(section, about), make_id(7, "route", self._api.id, key))
        if self._api.route(key) is not None:
            raise section.error("", f"the API has a route {key} already")
        self._api.put(replace(route, operation=section.text("operationId")))

    def _resolve(self, section: Section) -> Section:
        """What a `$ref` to `#/components/x-amazon-apigateway-integrations/...` leads to."""
        reference = section.text("$ref")
        if not reference:
            return section
        prefix = "#/components/x-amazon-apigateway-integrations/"
        known = self._root.section("components").section("x-amazon-apigateway-integrations")
        name = reference.removeprefix(prefix)
        if not reference.startswith(prefix) or name not in known.values:
            raise section.error("$ref", f"{reference!r} is no integration of the components")
        return known.section(name)

    def _read_security(self, section: Section) -> dict[str, Any]:
        if section.section("x-amazon-apigateway-auth").text("type").upper() == "AWS_IAM":
            return {"AuthorizationType": "AWS_IAM"}
        wanted = section.items("security") if "security" in section.values else self._root.items("security")
        if not wanted:
            return {}
        if len(wanted) > 1 or not isinstance(wanted[0], dict) or len(cast("dict[str, Any]", wanted[0])) > 1:
            raise section.error("security", "one authorizer a route is served")
        for name, scopes in cast("dict[str, Any]", wanted[0]).items():
            if name == _OPEN and name not in self._schemes:
                return {}
            if name not in self._schemes:
                raise section.error("security", f"{name!r} is no authorizer of the API")
            return self._authorization(self._schemes[name], scopes)
        return {}

    def _authorization(self, found: str, scopes: Any) -> dict[str, Any]:
        if found == "AWS_IAM":
            return {"AuthorizationType": "AWS_IAM"}
        kind = "JWT" if isinstance(self._api.authorizers[found], JwtAuthorizer) else "CUSTOM"
        asked = {"AuthorizationScopes": scopes} if scopes and kind == "JWT" else {}
        return {"AuthorizationType": kind, "AuthorizerId": found, **asked}


def _capital(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key[:1].upper() + key[1:]: value for key, value in values.items()}
