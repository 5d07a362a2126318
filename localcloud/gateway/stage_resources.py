"""CloudFormation's deployments and stages of REST APIs: which definition is served where, with which settings.

A deployment may make its stage itself (`StageName`, with `StageDescription` for the settings).
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-apigateway-deployment.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.gateway.apis import Apis, make_id
from localcloud.gateway.exchange import Measured, Stage, Throttle
from localcloud.gateway.telling import read_access_log
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["DeploymentHandler", "StageHandler"]

_SERVED: Final = Supported()
_NO_CACHE: Final = "responses are not cached here"
_NO_LOGS: Final = "no execution log is written; access logs are"
_BURST: Final = 5000  # account default, https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_RATE: Final = 10_000
_METHOD: Final[Mapping[str, Supported]] = {
    "CacheDataEncrypted": Supported(Support.REFUSED, _NO_CACHE),
    "CacheTtlInSeconds": Supported(Support.REFUSED, _NO_CACHE),
    "CachingEnabled": Supported(Support.SERVED, _NO_CACHE, (False,)),
    "DataTraceEnabled": Supported(Support.PARTIAL, _NO_LOGS),
    "LoggingLevel": Supported(Support.PARTIAL, _NO_LOGS),
    "MetricsEnabled": _SERVED,
    "ThrottlingBurstLimit": _SERVED,
    "ThrottlingRateLimit": _SERVED,
}
_STAGE: Final[Mapping[str, Supported]] = {
    "AccessLogSetting.DestinationArn": Supported(reason="a log group; Firehose's is refused when the stage is made"),
    "AccessLogSetting.Format": _SERVED,
    "CacheClusterEnabled": Supported(Support.SERVED, _NO_CACHE, (False,)),
    "CacheClusterSize": Supported(Support.REFUSED, _NO_CACHE),
    "CanarySetting": Supported(Support.REFUSED, "canaries are not served here"),
    "ClientCertificateId": Supported(Support.REFUSED, "client certificates are not sent here"),
    "Description": _SERVED,
    "DocumentationVersion": _SERVED,
    "MethodSettings.HttpMethod": _SERVED,
    "MethodSettings.ResourcePath": _SERVED,
    **{f"MethodSettings.{name}": support for name, support in _METHOD.items()},
    "Tags": _SERVED,
    "TracingEnabled": Supported(Support.PARTIAL, "trace ids are passed on; no segments are sent"),
    "Variables": _SERVED,
}


class DeploymentHandler:
    """`AWS::ApiGateway::Deployment`. Ref and DeploymentId are the id."""

    type: str = "AWS::ApiGateway::Deployment"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "DeploymentCanarySettings": Supported(Support.REFUSED, "canaries are not served here"),
        "Description": _SERVED,
        "RestApiId": _SERVED,
        **{f"StageDescription.{name}": support for name, support in {**_STAGE, **_METHOD}.items()},
        "StageName": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Keep the API as it is now, and serve it where a StageName is given. Raises TemplateError."""
        read = read_properties(resource)
        if "StageDescription" in read and "StageName" not in read:
            raise read.error("StageDescription", "StageDescription cannot be specified when stage name is not")
        deployment_id = make_id(6, "deployment", resource.context.stack_name, resource.logical_id)
        self._apis.snapshot(read, deployment_id)
        if "StageName" in read:
            stage = _read_stage(read.nested("StageDescription"), read.text("StageName"), deployment_id)
            self._apis.gateway.deploy(self._apis.deployed(read, deployment_id), stage)
        return Physical(deployment_id, {"DeploymentId": deployment_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Take away the stage it made, where it made one."""
        read = read_properties(resource)
        if "StageName" in read:
            self._apis.gateway.remove(read.text("RestApiId"), read.text("StageName"))


class StageHandler:
    """`AWS::ApiGateway::Stage`. Ref is the name."""

    type: str = "AWS::ApiGateway::Stage"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        **_STAGE,
        "DeploymentId": _SERVED,
        "RestApiId": _SERVED,
        "StageName": _SERVED,
    }

    def __init__(self, apis: Apis) -> None:
        self._apis = apis

    async def create(self, resource: Resource) -> Physical:
        """Serve the deployment. Raises TemplateError."""
        read = read_properties(resource)
        name, deployment_id = read.text("StageName"), read.text("DeploymentId")
        self._apis.gateway.deploy(self._apis.deployed(read, deployment_id), _read_stage(read, name, deployment_id))
        return Physical(name, {"StageName": name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Serve the stage no longer."""
        self._apis.gateway.remove(read_properties(resource).text("RestApiId"), physical.ref)


def _read_stage(read: Properties, name: str, deployment_id: str) -> Stage:
    """The settings; throttles that stand outside of MethodSettings (of a StageDescription) are for every method."""
    settings = [*read.each("MethodSettings"), *([read] if _throttles(read) else [])]
    return Stage(
        name=name,
        deployment_id=deployment_id,
        variables=read.text_map("Variables"),
        throttles=tuple(_throttle(each) for each in settings if _throttles(each)),
        is_traced=read.flag("TracingEnabled", False),
        measured=tuple(_measured(each) for each in (*read.each("MethodSettings"), read) if "MetricsEnabled" in each),
        access_log=read_access_log(read, "AccessLogSetting"),
    )


def _throttles(read: Properties) -> bool:
    return "ThrottlingRateLimit" in read or "ThrottlingBurstLimit" in read


def _place(read: Properties) -> tuple[str, str]:
    """Path and method of a setting."""
    path = read.text("ResourcePath", "/*")
    if path.startswith("/~1"):
        path = path[1:]
    return path.replace("~1", "/"), read.text("HttpMethod", "*").upper()


def _measured(read: Properties) -> Measured:
    path, method = _place(read)
    return Measured(path, method, read.flag("MetricsEnabled", False))


def _throttle(read: Properties) -> Throttle:
    path, method = _place(read)
    return Throttle(
        path=path,
        method=method,
        rate=read.number("ThrottlingRateLimit", _RATE, low=0),
        burst=read.integer("ThrottlingBurstLimit", _BURST, low=0),
    )
