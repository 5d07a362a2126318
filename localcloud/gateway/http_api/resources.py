"""HTTP APIs of a stack: what `AWS::ApiGatewayV2::*` resources make of them.

An API comes from an OpenAPI body, from separate resources, from both, or from a Target alone (quick create). A stage
serves a deployment's copy, or the API as it is where it deploys automatically.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import yaml

from localcloud.gateway.http_api.apis import HttpApis
from localcloud.gateway.http_api.definition import DEFAULT, HttpApi, Stage
from localcloud.gateway.http_api.openapi import read_body
from localcloud.gateway.http_api.parts import (
    read_authorizer,
    read_cors,
    read_integration,
    read_route,
    read_stage,
    refuse_for_http,
)
from localcloud.gateway.resources import make_id
from localcloud.gateway.v2_api import Deployments
from localcloud.template.handler import Physical, Resource
from localcloud.template.properties import Properties

__all__ = ["StackHttpApis"]

_SELECTION: Final = "$request.method $request.path"


class StackHttpApis:
    """The HTTP APIs of the stack and what their deployments hold."""

    protocol: str = "HTTP"

    def __init__(self, served: HttpApis) -> None:
        self._served = served
        self._known: dict[str, HttpApi] = {}
        self._deployments = Deployments[HttpApi]()

    def has(self, api_id: str) -> bool:
        """Whether it is one of them."""
        return api_id in self._known

    def make(self, resource: Resource, read: Properties) -> Physical:
        """Make an API. Raises TemplateError."""
        context = resource.context
        refuse_for_http(read, "DisableSchemaValidation")
        if read.text("RouteSelectionExpression", _SELECTION) not in {_SELECTION, "${request.method} ${request.path}"}:
            raise read.error("RouteSelectionExpression", f"is {_SELECTION} for an HTTP API")
        api = HttpApi(
            id=make_id(10, "http", context.stack_name, context.region, resource.logical_id),
            name="",
            region=context.region,
            account_id=context.account_id,
            partition=context.partition,
            is_open=not read.flag("DisableExecuteApiEndpoint", default=False),
        )
        body = _read_document(resource, read)
        title = read_body(api, body[1], where=f"{read.where}.{body[0]}") if body is not None else ""
        api.name = read.text("Name", title or None)
        if "CorsConfiguration" in read:
            api.cors = read_cors(read.nested("CorsConfiguration"))
        if "Target" in read:
            self._create_quickly(api, read)
        elif "RouteKey" in read:
            raise read.error("RouteKey", "needs a Target")
        self._known[api.id] = api
        self._served.add(api)
        return Physical(api.id, {"ApiId": api.id, "ApiEndpoint": f"https://{api.domain_name}"})

    def _create_quickly(self, api: HttpApi, read: Properties) -> None:
        """One route to the target, and a `$default` stage that deploys automatically."""
        target = read.text("Target")
        is_address = target.startswith(("http://", "https://"))
        kind: dict[str, Any] = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY"}
        if not is_address:
            kind = {"IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0"}
        integration = read_integration(
            Properties({**kind, "IntegrationUri": target}, where=read.where), make_id(7, "integration", api.id)
        )
        api.put(integration)
        about = {"RouteKey": read.text("RouteKey", DEFAULT), "Target": f"integrations/{integration.id}"}
        api.put(read_route(Properties(about, where=read.where), make_id(7, "route", api.id)))
        self._served.deploy(api.id, Stage(DEFAULT), lambda: api)

    def forget(self, api_id: str) -> None:
        """Forget the API."""
        self._known.pop(api_id, None)
        self._served.forget(api_id)

    def put(self, kind: str, read: Properties, part_id: str) -> None:
        """Add a part. Raises TemplateError."""
        api = self._known[read.text("ApiId")]
        if kind == "Integration":
            api.put(read_integration(read, part_id))
        elif kind == "Authorizer":
            api.put(read_authorizer(read, part_id))
        elif kind == "Route":
            _put_route(api, read, part_id)
        else:
            raise read.error("ApiId", f"an HTTP API has no {kind}")

    def drop(self, api_id: str, part_id: str) -> None:
        """Take the part away."""
        self._known[api_id].drop(part_id)

    def deploy(self, read: Properties, deployment_id: str) -> None:
        """Keep the API as it is now, and serve it where a StageName is given. Raises TemplateError."""
        api = self._deployments.keep(deployment_id, self._known[read.text("ApiId")], read)
        if "StageName" in read:
            self._served.deploy(api.id, read_stage(read), lambda: api)

    def undeploy(self, read: Properties, deployment_id: str) -> None:
        """Take away the stage it made, where it made one."""
        self._deployments.drop(deployment_id)
        if "StageName" in read:
            self._served.remove(read.text("ApiId"), read.text("StageName"))

    def make_stage(self, read: Properties) -> None:
        """Serve the API at the stage. Raises TemplateError."""
        refuse_for_http(read, "ClientCertificateId")
        api, stage = self._known[read.text("ApiId")], read_stage(read)
        definition = self._deployments.shown_by(read, api)
        settings = read.nested("RouteSettings")
        for key in settings.values:
            if read.flag("AutoDeploy", default=False) and api.route(key) is None:
                raise settings.error(key, "is no route of the API")
        self._served.deploy(api.id, stage, definition)

    def remove_stage(self, api_id: str, name: str) -> None:
        """Serve the stage no longer."""
        self._served.remove(api_id, name)


def _put_route(api: HttpApi, read: Properties, part_id: str) -> None:
    route = read_route(read, part_id)
    if api.route(route.key) is not None:
        raise read.error("RouteKey", f"the API has a route {route.key} already")
    if route.integration_id not in api.integrations:
        raise read.error("Target", f"{route.integration_id!r} is no integration of the API")
    if route.authorizer_id and route.authorizer_id not in api.authorizers:
        raise read.error("AuthorizerId", f"{route.authorizer_id!r} is no authorizer of the API")
    api.put(route)


def _read_document(resource: Resource, read: Properties) -> tuple[str, Mapping[str, Any]] | None:
    """The OpenAPI document and the property that has it; None where there is none. Raises TemplateError."""
    if "Body" in read:
        return "Body", read.mapping("Body")
    if "BodyS3Location" not in read:
        return None
    path = resource.context.base / read.text("BodyS3Location")
    try:
        loaded: object = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise read.error("BodyS3Location", f"cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise read.error("BodyS3Location", "holds no OpenAPI document")
    return "BodyS3Location", cast("Mapping[str, Any]", loaded)
