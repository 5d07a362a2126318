"""The operations of the control plane over the model: a request's values in, an answer's values out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from localcloud.services.appsync.errors import bad_request, conflict, not_served
from localcloud.services.appsync.model import ApiKey, EventApi, EventApis, Namespace
from localcloud.services.appsync.settings import (
    DataSource,
    EventConfig,
    Handler,
    read_data_source,
    read_event_config,
    read_handlers,
    read_modes,
)
from localcloud.services.pages import MalformedToken, cut_page

__all__ = ["ACTIONS", "Call", "read_namespace"]

T = TypeVar("T")
Result = dict[str, Any]
MAX_PAGE: Final = 25  # maxResults of every list


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what its path names (`api`, `name`), and its values."""

    apis: EventApis
    region: str
    named: Mapping[str, str]
    values: Mapping[str, Any]

    @property
    def api(self) -> EventApi:
        """The API that the path names. Raises AppSyncError."""
        return self.apis.get(self.named["api"], self.region)

    @property
    def name(self) -> str:
        """What the path names below the API."""
        return self.named["name"]


# ---------------------------------------------------------------------- APIs


def _create_api(call: Call) -> Result:
    values = call.values
    config = read_event_config(values.get("eventConfig") or {})
    _refuse_logs(config)
    api = call.apis.create(values["name"], call.region, config=config, tags=values.get("tags"))
    api.owner = values.get("ownerContact", "")
    return {"api": _describe_api(api)}


def _update_api(call: Call) -> Result:
    values, api = call.values, call.api
    config = read_event_config(values["eventConfig"]) if values.get("eventConfig") else None
    if config is not None:
        _refuse_logs(config)
    call.apis.update(api, name=values["name"], owner=values.get("ownerContact"), config=config)
    return {"api": _describe_api(api)}


def _get_api(call: Call) -> Result:
    return {"api": _describe_api(call.api)}


def _list_apis(call: Call) -> Result:
    page, more = _page(call, call.apis.list(call.region), lambda api: api.id)
    return {"apis": [_describe_api(api) for api in page], **more}


def _delete_api(call: Call) -> Result:
    call.apis.delete(call.api)
    return {}


def _refuse_logs(config: EventConfig) -> None:
    if config.log.get("logLevel", "NONE") != "NONE":
        raise not_served("Logs of Event APIs are")


def _describe_api(api: EventApi) -> Result:
    owner = {"ownerContact": api.owner} if api.owner else {}
    return {
        "apiId": api.id,
        "name": api.name,
        **owner,
        "tags": api.tags,
        "dns": {"HTTP": api.http_domain, "REALTIME": api.realtime_domain},
        "apiArn": api.arn,
        "created": api.created_s,
        "xrayEnabled": False,
        "eventConfig": _describe_config(api.config),
    }


def _describe_config(config: EventConfig) -> Result:
    names = {"AMAZON_COGNITO_USER_POOLS": "cognitoConfig", "OPENID_CONNECT": "openIDConnectConfig"}
    return {
        "authProviders": [
            {"authType": each.kind}
            | ({names.get(each.kind, "lambdaAuthorizerConfig"): dict(each.settings)} if each.settings else {})
            for each in config.providers
        ],
        "connectionAuthModes": _modes(config.connect),
        "defaultPublishAuthModes": _modes(config.publish),
        "defaultSubscribeAuthModes": _modes(config.subscribe),
        **({"logConfig": dict(config.log)} if config.log else {}),
    }


def _modes(kinds: Sequence[str]) -> list[dict[str, str]]:
    return [{"authType": kind} for kind in kinds]


# ---------------------------------------------------------------------- channel namespaces


def read_namespace(api: EventApi, values: Mapping[str, Any]) -> Namespace:
    """What CreateChannelNamespace says. Raises AppSyncError for what is not served."""
    if values.get("codeHandlers"):
        raise not_served("Handlers in JavaScript (codeHandlers) are")
    kinds = [each.kind for each in api.config.providers]
    return Namespace(
        values["name"],
        publish=read_modes(values.get("publishAuthModes") or (), kinds),
        subscribe=read_modes(values.get("subscribeAuthModes") or (), kinds),
        handlers=read_handlers(values.get("handlerConfigs") or {}),
        tags=dict(values.get("tags") or {}),
    )


def _create_namespace(call: Call) -> Result:
    api = call.api
    made = call.apis.put_namespace(api, read_namespace(api, call.values), is_new=True)
    return {"channelNamespace": _describe_namespace(api, made)}


def _update_namespace(call: Call) -> Result:
    api = call.api
    before = api.namespace(call.name)
    changed = read_namespace(api, call.values)
    changed.tags = before.tags
    if "publishAuthModes" not in call.values:
        changed.publish = before.publish
    if "subscribeAuthModes" not in call.values:
        changed.subscribe = before.subscribe
    if "handlerConfigs" not in call.values:
        changed.handlers = before.handlers
    return {"channelNamespace": _describe_namespace(api, call.apis.put_namespace(api, changed, is_new=False))}


def _get_namespace(call: Call) -> Result:
    return {"channelNamespace": _describe_namespace(call.api, call.api.namespace(call.name))}


def _list_namespaces(call: Call) -> Result:
    api = call.api
    namespaces = sorted(api.namespaces.values(), key=lambda namespace: namespace.name)
    page, more = _page(call, namespaces, lambda namespace: namespace.name)
    return {"channelNamespaces": [_describe_namespace(api, namespace) for namespace in page], **more}


def _delete_namespace(call: Call) -> Result:
    call.apis.delete_namespace(call.api, call.name)
    return {}


def _describe_namespace(api: EventApi, namespace: Namespace) -> Result:
    handlers = {name: _describe_handler(handler) for name, handler in namespace.handlers.items()}
    return {
        "apiId": api.id,
        "name": namespace.name,
        **({"publishAuthModes": _modes(namespace.publish)} if namespace.publish else {}),
        **({"subscribeAuthModes": _modes(namespace.subscribe)} if namespace.subscribe else {}),
        **({"handlerConfigs": handlers} if handlers else {}),
        "tags": namespace.tags,
        "channelNamespaceArn": api.namespace_arn(namespace.name),
        "created": namespace.created_s,
        "lastModified": namespace.modified_s,
    }


def _describe_handler(handler: Handler) -> Result:
    invoke_type = "EVENT" if handler.is_event else "REQUEST_RESPONSE"
    integration = {"dataSourceName": handler.data_source, "lambdaConfig": {"invokeType": invoke_type}}
    return {"behavior": "DIRECT", "integration": integration}


# ---------------------------------------------------------------------- data sources


def _create_source(call: Call) -> Result:
    api, source = call.api, read_data_source(call.values)
    if source.name in api.sources:
        raise conflict(f"Data source {source.name} already exists.")
    api.sources[source.name] = source
    return {"dataSource": _describe_source(api, source)}


def _update_source(call: Call) -> Result:
    api = call.api
    name = api.source(call.name).name
    api.sources[name] = read_data_source(call.values)
    return {"dataSource": _describe_source(api, api.sources[name])}


def _get_source(call: Call) -> Result:
    return {"dataSource": _describe_source(call.api, call.api.source(call.name))}


def _list_sources(call: Call) -> Result:
    api = call.api
    page, more = _page(call, sorted(api.sources.values(), key=lambda each: each.name), lambda each: each.name)
    return {"dataSources": [_describe_source(api, source) for source in page], **more}


def _delete_source(call: Call) -> Result:
    call.apis.delete_source(call.api, call.name)
    return {}


def _describe_source(api: EventApi, source: DataSource) -> Result:
    return {
        "dataSourceArn": f"{api.arn}/datasources/{source.name}",
        "name": source.name,
        "type": source.kind,
        **({"description": source.description} if source.description else {}),
        **({"serviceRoleArn": source.role_arn} if source.role_arn else {}),
        **({"lambdaConfig": {"lambdaFunctionArn": source.function_arn}} if source.function_arn else {}),
    }


# ---------------------------------------------------------------------- keys and tags


def _create_key(call: Call) -> Result:
    values = call.values
    key = call.apis.create_key(call.api, description=values.get("description", ""), expires_s=values.get("expires"))
    return {"apiKey": _describe_key(key)}


def _update_key(call: Call) -> Result:
    values = call.values
    key = call.apis.update_key(
        call.api, call.name, description=values.get("description"), expires_s=values.get("expires")
    )
    return {"apiKey": _describe_key(key)}


def _list_keys(call: Call) -> Result:
    page, more = _page(call, sorted(call.api.keys.values(), key=lambda key: key.id), lambda key: key.id)
    return {"apiKeys": [_describe_key(key) for key in page], **more}


def _delete_key(call: Call) -> Result:
    api = call.api
    del api.keys[call.apis.key(api, call.name).id]
    return {}


def _describe_key(key: ApiKey) -> Result:
    described = {"description": key.description} if key.description else {}
    return {"id": key.id, **described, "expires": key.expires_s, "deletes": key.deletes_s}


def _tags_of(call: Call) -> dict[str, str]:
    return call.apis.get_by_arn(call.name, call.region).tags


def _tag(call: Call) -> Result:
    tags = _tags_of(call)
    if len(tags.keys() | call.values["tags"].keys()) > 50:
        raise bad_request("A resource has 50 tags at most.")
    tags.update(call.values["tags"])
    return {}


def _untag(call: Call) -> Result:
    tags = _tags_of(call)
    for name in call.values["tagKeys"]:
        tags.pop(name, None)
    return {}


def _list_tags(call: Call) -> Result:
    return {"tags": _tags_of(call)}


def _page(call: Call, items: Sequence[T], name_of: Callable[[T], str]) -> tuple[Sequence[T], Result]:
    try:
        most = call.values.get("maxResults") or MAX_PAGE
        page, token = cut_page(items, name_of, token=call.values.get("nextToken"), most=most)
    except MalformedToken as error:
        raise bad_request("nextToken is not valid.") from error
    return page, {"nextToken": token} if token else {}


ACTIONS: Final[Mapping[str, Callable[[Call], Result]]] = {
    "CreateApi": _create_api,
    "CreateApiKey": _create_key,
    "CreateChannelNamespace": _create_namespace,
    "CreateDataSource": _create_source,
    "DeleteApi": _delete_api,
    "DeleteApiKey": _delete_key,
    "DeleteChannelNamespace": _delete_namespace,
    "DeleteDataSource": _delete_source,
    "GetApi": _get_api,
    "GetChannelNamespace": _get_namespace,
    "GetDataSource": _get_source,
    "ListApiKeys": _list_keys,
    "ListApis": _list_apis,
    "ListChannelNamespaces": _list_namespaces,
    "ListDataSources": _list_sources,
    "ListTagsForResource": _list_tags,
    "TagResource": _tag,
    "UntagResource": _untag,
    "UpdateApi": _update_api,
    "UpdateApiKey": _update_key,
    "UpdateChannelNamespace": _update_namespace,
    "UpdateDataSource": _update_source,
}
