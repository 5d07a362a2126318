"""Reads the OpenAPI 3.0 or Swagger 2.0 body of `AWS::ApiGateway::RestApi` into an Api.

Every `x-amazon-apigateway-*` key and every security scheme that is not served is an error with its path: an API that
starts here does what its definition says.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from localcloud.gateway.definition import Api, Method
from localcloud.gateway.errors import DefinitionError
from localcloud.gateway.openapi_integration import read_integration
from localcloud.gateway.openapi_security import (
    Security,
    read_gateway_responses,
    read_schemes,
    read_security,
    short_id,
)
from localcloud.gateway.routing import Resources
from localcloud.gateway.schemas import check_schema
from localcloud.gateway.section import Section
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Document, parse_document

__all__ = ["read_api"]

_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})
_ANY: Final = "x-amazon-apigateway-any-method"
_AUTH: Final = "x-amazon-apigateway-auth"
_ROOT: Final = frozenset(
    {
        "x-amazon-apigateway-request-validators",
        "x-amazon-apigateway-request-validator",
        "x-amazon-apigateway-gateway-responses",
        "x-amazon-apigateway-binary-media-types",
        "x-amazon-apigateway-documentation",
        "x-amazon-apigateway-api-key-source",
        "x-amazon-apigateway-minimum-compression-size",
        "x-amazon-apigateway-policy",
    }
)
_OPERATION: Final = frozenset({"x-amazon-apigateway-integration", "x-amazon-apigateway-request-validator"} | {_AUTH})
_EXTENSIONS: Final = "x-amazon-apigateway"
KEY_SOURCES: Final = ("HEADER", "AUTHORIZER")
MAX_COMPRESSION_BYTES: Final = 10 * 1024 * 1024  # https://docs.aws.amazon.com/apigateway/latest/api/API_RestApi.html
_PLACES: Final = {"header": "header", "query": "querystring", "path": "path"}


def read_api(body: Mapping[str, Any], *, api_id: str, region: str, account_id: str) -> Api:
    """The API that `body` (intrinsics resolved) defines. Raises DefinitionError."""
    root = Section(body, "")
    if not (root.text("openapi").startswith("3.0") or root.text("swagger") == "2.0"):
        raise DefinitionError("must be OpenAPI 3.0 or Swagger 2.0", where="openapi")
    root.refuse_unknown(_ROOT, only_prefix=_EXTENSIONS)
    reader = _Reader(root)
    methods = {path: reader.read_path(path, part) for path, part in root.section("paths").sections()}
    try:
        Resources(methods)
    except ValueError as error:
        raise DefinitionError(str(error), where="paths") from error
    binary = root.items("x-amazon-apigateway-binary-media-types")
    return Api(
        id=api_id,
        name=root.section("info").text("title"),
        region=region,
        account_id=account_id,
        methods=methods,
        gateway_responses=read_gateway_responses(root.section("x-amazon-apigateway-gateway-responses")),
        binary_types=frozenset(str(each).lower() for each in binary),
        key_source=_read_key_source(root),
        policy=_read_policy(root),
        compression_bytes=_read_compression(root),
    )


def _read_key_source(root: Section) -> str:
    source = root.text("x-amazon-apigateway-api-key-source", "HEADER")
    if source not in KEY_SOURCES:
        raise root.error("x-amazon-apigateway-api-key-source", f"must be {' or '.join(KEY_SOURCES)}")
    return source


def _read_policy(root: Section) -> Document | None:
    key = "x-amazon-apigateway-policy"
    if not root.values.get(key):
        return None
    try:
        return parse_document(root.section(key).values, name="of the API", resource_policy=True)
    except MalformedPolicy as error:
        raise root.error(key, str(error)) from error


def _read_compression(root: Section) -> int | None:
    key = "x-amazon-apigateway-minimum-compression-size"
    if root.values.get(key) is None:
        return None
    size = root.whole(key, 0)
    if not 0 <= size <= MAX_COMPRESSION_BYTES:
        raise root.error(key, f"must be 0 to {MAX_COMPRESSION_BYTES}")
    return size


class _Reader:
    def __init__(self, root: Section) -> None:
        self._root = root
        self._is_swagger = root.text("swagger") == "2.0"
        self._validators = root.section("x-amazon-apigateway-request-validators")
        schemes = "securityDefinitions" if self._is_swagger else "components"
        part = root.section(schemes) if self._is_swagger else root.section(schemes).section("securitySchemes")
        self._schemes = read_schemes(part)

    def read_path(self, path: str, section: Section) -> dict[str, Method]:
        """The methods of one resource."""
        if not path.startswith("/"):
            raise DefinitionError("must start with '/'", where=section.where)
        shared = section.items("parameters")
        section.refuse_unknown(frozenset({_ANY}), only_prefix=_EXTENSIONS)
        section.refuse_unless("$ref")
        return {
            "ANY" if key == _ANY else key.upper(): self._read_method(path, section.section(key), key=key, shared=shared)
            for key in section.values
            if key in _METHODS or key == _ANY
        }

    def _read_method(self, path: str, section: Section, *, key: str, shared: list[Any]) -> Method:
        section.refuse_unknown(_OPERATION, only_prefix=_EXTENSIONS)
        if "x-amazon-apigateway-integration" not in section.values:
            raise DefinitionError("has no x-amazon-apigateway-integration", where=section.where)
        body, parameters = self._read_validator(section)
        security = self._read_security(section)
        declared = [self._resolve(each, section.at("parameters")) for each in [*shared, *section.items("parameters")]]
        return Method(
            path=path,
            http_method="ANY" if key == _ANY else key.upper(),
            resource_id=short_id("resource", path),
            integration=read_integration(section.section("x-amazon-apigateway-integration")),
            operation=section.text("operationId"),
            authorizer=security.authorizer,
            validates_body=body,
            validates_parameters=parameters,
            models=self._read_models(section, declared),
            required=_required(declared, section),
            response_headers=self._read_response_headers(section),
            needs_key=security.needs_key,
            is_signed=security.is_signed,
            scopes=security.scopes,
        )

    def _read_validator(self, section: Section) -> tuple[bool, bool]:
        key = "x-amazon-apigateway-request-validator"
        name = section.text(key) or self._root.text(key)
        if not name:
            return False, False
        if name not in self._validators.values:
            raise section.error(key, f"names {name!r}, which x-amazon-apigateway-request-validators does not have")
        part = self._validators.section(name)
        return part.truth("validateRequestBody"), part.truth("validateRequestParameters")

    def _read_security(self, section: Section) -> Security:
        found = read_security(section if "security" in section.values else self._root, self._schemes)
        auth = section.section(_AUTH)
        auth.refuse_unknown(frozenset({"type"}))
        auth.refuse_unless("type", "AWS_IAM", "NONE")
        return replace(found, is_signed=True) if auth.text("type") == "AWS_IAM" else found

    def _resolve(self, value: Any, where: str) -> Section:
        section = Section(value if isinstance(value, dict) else {}, where)  # pyright: ignore[reportUnknownArgumentType] - JSON
        reference = section.text("$ref")
        if not reference:
            return section
        current = self._root
        for part in reference.removeprefix("#/").split("/"):
            if part not in current.values:
                raise DefinitionError(f"$ref {reference!r} leads nowhere", where=where)
            current = current.section(part)
        return current

    def _read_models(self, section: Section, declared: list[Section]) -> dict[str, Mapping[str, Any]]:
        if self._is_swagger:
            bodies = [each for each in declared if each.text("in") == "body"]
            types = section.items("consumes") or self._root.items("consumes") or ["application/json"]
            return {
                str(content_type): self._schema(each.section("schema"))
                for each in bodies
                for content_type in types
                if each.values.get("schema")
            }
        body = self._resolve(section.section("requestBody").values, section.at("requestBody"))
        return {
            content_type.lower(): self._schema(part.section("schema"))
            for content_type, part in body.section("content").sections()
            if part.values.get("schema")
        }

    def _schema(self, section: Section) -> Mapping[str, Any]:
        """The schema with what its references lead to beside it, so that `#/...` resolves inside it."""
        beside = {key: self._root.values[key] for key in ("components", "definitions") if key in self._root.values}
        schema = {**beside, **section.values}
        check_schema(schema, section.values, where=section.where)
        return schema

    def _read_response_headers(self, section: Section) -> dict[int, frozenset[str]]:
        headers: dict[int, frozenset[str]] = {}
        for status, part in section.section("responses").sections():
            if status.isdecimal():
                headers[int(status)] = frozenset(name.lower() for name in part.section("headers").values)
        return headers


def _required(declared: list[Section], section: Section) -> tuple[str, ...]:
    """Required parameters as expressions; the place must be one API Gateway knows."""
    required: list[str] = []
    for each in declared:
        place = each.text("in")
        if place == "body":
            continue
        if place not in _PLACES:
            raise section.error("parameters", f"a parameter in {place!r} is not served here")
        if each.truth("required"):
            required.append(f"method.request.{_PLACES[place]}.{each.text('name')}")
    return tuple(required)
