"""CloudFormation's Event APIs: `AWS::AppSync::Api`, `ChannelNamespace`, `ApiKey` and `DataSource`.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_AppSync.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from localcloud.gateway.resources import make_id
from localcloud.issuer import ISSUER
from localcloud.services.appsync.errors import AppSyncError, conflict
from localcloud.services.appsync.model import ID_CHARACTERS, EventApi, EventApis
from localcloud.services.appsync.operations import read_namespace
from localcloud.services.appsync.settings import read_data_source, read_event_config
from localcloud.services.appsync.shapes import read_request
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["appsync_handlers"]

_CONFIG: Final = "EventConfig"
_UNSIGNED: Final = "signatures are not verified: a key counts as the principal it names"
_POOL: Final = Supported(Support.PARTIAL, "there are no user pools here: the local issuer's tokens stand for a pool's")
_NO_CODE: Final = "handlers in JavaScript are not served here; DIRECT Lambda handlers are"
_NO_LOGS: Final = "Event APIs write no logs here"
_BEHAVIOR: Final = Supported(Support.SERVED, _NO_CODE, ("DIRECT",))
_SOURCE_KINDS: Final = ("AWS_LAMBDA", "NONE")


def _mode(value: str) -> str:
    return _UNSIGNED if value == "AWS_IAM" else ""


def _issuer(value: str) -> str:
    ours = value.rstrip("/") == ISSUER
    return "" if ours else f"keys are not fetched: only tokens of {ISSUER} are verified, all others refused"


def _auth_types(*lists: str) -> dict[str, Supported]:
    return {f"{name}.AuthType": Supported(differs=_mode) for name in lists}


class _Apis:
    """What the handlers share: reading through the API's own rules, with errors that name the resource."""

    def __init__(self, apis: EventApis) -> None:
        self.apis = apis

    def find(self, read: Properties, resource: Resource) -> EventApi:
        """The API that `ApiId` names. Raises TemplateError."""
        try:
            return self.apis.get(read.text("ApiId"), resource.context.region)
        except AppSyncError as error:
            raise read.error("ApiId", "is no Event API of this stack") from error


class ApiHandler:
    """`AWS::AppSync::Api`. Ref is the id; attributes ApiId, ApiArn, Dns.Http, Dns.Realtime."""

    type: str = "AWS::AppSync::Api"
    support: Supported = Supported(
        Support.PARTIAL, "reached at the local ports; its domains have the API's id, on AWS one of their own"
    )
    properties: Mapping[str, Supported] = {
        "Name": Supported(),
        "OwnerContact": Supported(),
        "Tags": Supported(),
        **_auth_types(
            f"{_CONFIG}.AuthProviders",
            f"{_CONFIG}.ConnectionAuthModes",
            f"{_CONFIG}.DefaultPublishAuthModes",
            f"{_CONFIG}.DefaultSubscribeAuthModes",
        ),
        f"{_CONFIG}.AuthProviders.CognitoConfig": _POOL,
        f"{_CONFIG}.AuthProviders.LambdaAuthorizerConfig": Supported(),
        f"{_CONFIG}.AuthProviders.OpenIDConnectConfig.AuthTTL": Supported(),
        f"{_CONFIG}.AuthProviders.OpenIDConnectConfig.ClientId": Supported(),
        f"{_CONFIG}.AuthProviders.OpenIDConnectConfig.IatTTL": Supported(),
        f"{_CONFIG}.AuthProviders.OpenIDConnectConfig.Issuer": Supported(differs=_issuer),
        f"{_CONFIG}.LogConfig.LogLevel": Supported(Support.SERVED, _NO_LOGS, ("NONE",)),
        f"{_CONFIG}.LogConfig.CloudWatchLogsRoleArn": Supported(Support.PARTIAL, _NO_LOGS),
    }

    def __init__(self, apis: _Apis) -> None:
        self._apis = apis.apis

    async def create(self, resource: Resource) -> Physical:
        """Make the API. Raises TemplateError for what CreateApi would refuse."""
        read, context = read_properties(resource), resource.context
        config = read.nested(_CONFIG)
        values: dict[str, Any] = {"name": read.text("Name"), "tags": read.tags()}
        if _CONFIG in read:
            values["eventConfig"] = _event_config(config)
        api_id = make_id(ID_CHARACTERS, "appsync", context.stack_name, context.region, resource.logical_id)
        try:
            checked = read_request("CreateApi", values)
            api = self._apis.create(
                values["name"],
                context.region,
                config=read_event_config(checked.get("eventConfig") or {}),
                api_id=api_id,
                tags=read.tags(),
            )
        except AppSyncError as error:
            raise read.error("", error.message) from error
        api.owner = read.text("OwnerContact", "")
        attributes = {"ApiId": api.id, "ApiArn": api.arn, "Dns.Http": api.http_domain}
        return Physical(api.id, {**attributes, "Dns.Realtime": api.realtime_domain})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Remove the API."""
        del resource
        api = self._apis.find(physical.ref)
        if api is not None:
            self._apis.delete(api)


class NamespaceHandler:
    """`AWS::AppSync::ChannelNamespace`. Ref and the attribute ChannelNamespaceArn are the ARN."""

    type: str = "AWS::AppSync::ChannelNamespace"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "ApiId": Supported(),
        "CodeHandlers": Supported(Support.REFUSED, _NO_CODE),
        "CodeS3Location": Supported(Support.REFUSED, _NO_CODE),
        "HandlerConfigs.OnPublish.Behavior": _BEHAVIOR,
        "HandlerConfigs.OnPublish.Integration": Supported(),
        "HandlerConfigs.OnSubscribe.Behavior": _BEHAVIOR,
        "HandlerConfigs.OnSubscribe.Integration": Supported(),
        "Name": Supported(),
        **_auth_types("PublishAuthModes", "SubscribeAuthModes"),
        "Tags": Supported(),
    }

    def __init__(self, apis: _Apis) -> None:
        self._shared = apis

    async def create(self, resource: Resource) -> Physical:
        """Make the namespace. Raises TemplateError for what CreateChannelNamespace would refuse."""
        read = read_properties(resource)
        api = self._shared.find(read, resource)
        values: dict[str, Any] = {"name": read.text("Name"), "tags": read.tags()}
        for name, member in (("PublishAuthModes", "publishAuthModes"), ("SubscribeAuthModes", "subscribeAuthModes")):
            if name in read:
                values[member] = _modes(read, name)
        if "HandlerConfigs" in read:
            values["handlerConfigs"] = _handlers(read.nested("HandlerConfigs"))
        try:
            namespace = read_namespace(api, read_request("CreateChannelNamespace", values))
            self._shared.apis.put_namespace(api, namespace, is_new=True)
        except AppSyncError as error:
            raise read.error("", error.message) from error
        arn = api.namespace_arn(namespace.name)
        return Physical(arn, {"ChannelNamespaceArn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Remove the namespace, where the API is still there."""
        api = self._shared.apis.find(read_properties(resource).text("ApiId"))
        if api is not None:
            api.namespaces.pop(physical.ref.rpartition("/")[2], None)


class ApiKeyHandler:
    """`AWS::AppSync::ApiKey`. Ref is the ARN; attributes ApiKey (the key), ApiKeyId, Arn."""

    type: str = "AWS::AppSync::ApiKey"
    support: Supported = Supported(Support.PARTIAL, "the same key at every start of the stack")
    properties: Mapping[str, Supported] = {
        "ApiId": Supported(),
        "ApiKeyId": Supported(Support.REFUSED, "AppSync chooses the id"),
        "Description": Supported(),
        "Expires": Supported(),
    }

    def __init__(self, apis: _Apis) -> None:
        self._shared = apis

    async def create(self, resource: Resource) -> Physical:
        """Make the key. Raises TemplateError for what CreateApiKey would refuse."""
        read, context = read_properties(resource), resource.context
        api = self._shared.find(read, resource)
        drawn = make_id(ID_CHARACTERS, "appsync-key", context.stack_name, context.region, resource.logical_id)
        expires_s = read.integer("Expires") if "Expires" in read else None
        try:
            key = self._shared.apis.create_key(
                api, description=read.text("Description", ""), expires_s=expires_s, key_id=f"da2-{drawn}"
            )
        except AppSyncError as error:
            raise read.error("Expires" if expires_s is not None else "", error.message) from error
        arn = f"{api.arn}/apikey/{key.id}"
        return Physical(arn, {"ApiKey": key.id, "ApiKeyId": key.id, "Arn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Remove the key, where the API is still there."""
        api = self._shared.apis.find(read_properties(resource).text("ApiId"))
        if api is not None:
            api.keys.pop(str(physical.attributes["ApiKeyId"]), None)


class DataSourceHandler:
    """`AWS::AppSync::DataSource` of an Event API. Ref is the ARN; attributes DataSourceArn, Name."""

    type: str = "AWS::AppSync::DataSource"
    support: Supported = Supported(Support.PARTIAL, "for Event APIs; GraphQL APIs are not served here")
    properties: Mapping[str, Supported] = {
        "ApiId": Supported(),
        "Description": Supported(),
        "LambdaConfig": Supported(),
        "Name": Supported(),
        "ServiceRoleArn": Supported(),
        "Type": Supported(Support.SERVED, "only functions are data sources here", _SOURCE_KINDS),
    }

    def __init__(self, apis: _Apis) -> None:
        self._shared = apis

    async def create(self, resource: Resource) -> Physical:
        """Make the data source. Raises TemplateError for what CreateDataSource would refuse."""
        read = read_properties(resource)
        api = self._shared.find(read, resource)
        values: dict[str, Any] = {"name": read.text("Name"), "type": read.text("Type")}
        for name, member in (("Description", "description"), ("ServiceRoleArn", "serviceRoleArn")):
            if name in read:
                values[member] = read.text(name)
        if "LambdaConfig" in read:
            values["lambdaConfig"] = {"lambdaFunctionArn": read.nested("LambdaConfig").text("LambdaFunctionArn")}
        try:
            source = read_data_source(read_request("CreateDataSource", values))
            if source.name in api.sources:
                raise conflict(f"Data source {source.name} already exists.")
        except AppSyncError as error:
            raise read.error("", error.message) from error
        api.sources[source.name] = source
        arn = f"{api.arn}/datasources/{source.name}"
        return Physical(arn, {"DataSourceArn": arn, "Name": source.name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Remove the data source, where the API is still there."""
        api = self._shared.apis.find(read_properties(resource).text("ApiId"))
        if api is not None:
            api.sources.pop(str(physical.attributes["Name"]), None)


def appsync_handlers(apis: EventApis) -> tuple[ResourceHandler, ...]:
    """A handler for each resource type of Event APIs."""
    shared = _Apis(apis)
    return (ApiHandler(shared), NamespaceHandler(shared), ApiKeyHandler(shared), DataSourceHandler(shared))


# ---------------------------------------------------------------------- CloudFormation's words into the API's


def _event_config(read: Properties) -> dict[str, Any]:
    config: dict[str, Any] = {"authProviders": [_provider(each) for each in read.each("AuthProviders")]}
    for name in ("ConnectionAuthModes", "DefaultPublishAuthModes", "DefaultSubscribeAuthModes"):
        config[_lower(name)] = _modes(read, name)
    return config


def _modes(read: Properties, name: str) -> list[dict[str, str]]:
    return [{"authType": each.text("AuthType")} for each in read.each(name)]


def _provider(read: Properties) -> dict[str, Any]:
    made: dict[str, Any] = {"authType": read.text("AuthType")}
    if "CognitoConfig" in read:
        made["cognitoConfig"] = _texts(read.nested("CognitoConfig"), ("UserPoolId", "AwsRegion", "AppIdClientRegex"))
    if "OpenIDConnectConfig" in read:
        nested = read.nested("OpenIDConnectConfig")
        made["openIDConnectConfig"] = _texts(nested, ("Issuer", "ClientId")) | {
            member: nested.integer(name, low=0)
            for name, member in (("IatTTL", "iatTTL"), ("AuthTTL", "authTTL"))
            if name in nested
        }
    if "LambdaAuthorizerConfig" in read:
        nested = read.nested("LambdaAuthorizerConfig")
        made["lambdaAuthorizerConfig"] = _texts(nested, ("AuthorizerUri", "IdentityValidationExpression"))
        if "AuthorizerResultTtlInSeconds" in nested:
            ttl_s = nested.integer("AuthorizerResultTtlInSeconds")
            made["lambdaAuthorizerConfig"]["authorizerResultTtlInSeconds"] = ttl_s
    return made


def _handlers(read: Properties) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in ("OnPublish", "OnSubscribe"):
        if name not in read:
            continue
        handler = read.nested(name)
        integration = handler.nested("Integration")
        told: dict[str, Any] = {"dataSourceName": integration.text("DataSourceName")}
        if "LambdaConfig" in integration:
            told["lambdaConfig"] = {"invokeType": integration.nested("LambdaConfig").text("InvokeType")}
        made[_lower(name)] = {"behavior": handler.text("Behavior"), "integration": told}
    return made


def _texts(read: Properties, names: Iterable[str]) -> dict[str, Any]:
    return {_lower(name): read.text(name) for name in names if name in read}


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
