"""What an Event API and its parts are told to be: plain data, and how it is read out of the API's own JSON.

Knows the words of the API model, nothing of requests, tokens or sockets.
Source: https://docs.aws.amazon.com/appsync/latest/APIReference/API_EventConfig.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.matching import PatternTooSlow, compile_pattern, limit_matching
from localcloud.services.appsync.errors import bad_request, not_served

__all__ = [
    "API_KEY",
    "AWS_IAM",
    "AWS_LAMBDA",
    "COGNITO",
    "OPENID",
    "DataSource",
    "EventConfig",
    "Handler",
    "Provider",
    "fits_pattern",
    "read_data_source",
    "read_event_config",
    "read_handlers",
    "read_modes",
]

API_KEY: Final = "API_KEY"
AWS_IAM: Final = "AWS_IAM"
AWS_LAMBDA: Final = "AWS_LAMBDA"
COGNITO: Final = "AMAZON_COGNITO_USER_POOLS"
OPENID: Final = "OPENID_CONNECT"
DEFAULT_TTL_S: Final = 0  # LambdaAuthorizerConfig, authorizerResultTtlInSeconds: nothing is kept
_CONFIG_OF: Final = {
    COGNITO: "cognitoConfig",
    OPENID: "openIDConnectConfig",
    AWS_LAMBDA: "lambdaAuthorizerConfig",
}
_SERVED_SOURCES: Final = ("AWS_LAMBDA", "NONE")


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to say who one is. `settings` are the members of its own config in the API model, {} for the others."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class EventConfig:
    """Who may connect, publish and subscribe. Each tuple of modes names kinds of `providers`."""

    providers: tuple[Provider, ...]
    connect: tuple[str, ...]
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    log: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def provider(self, kind: str) -> Provider | None:
        """The provider of a kind."""
        return next((each for each in self.providers if each.kind == kind), None)


@dataclass(frozen=True, slots=True)
class Handler:
    """A direct handler of a namespace. `is_event`: invoked, and not waited for."""

    data_source: str
    is_event: bool = False


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data source; `function_arn` is "" for the kind NONE."""

    name: str
    kind: str
    function_arn: str = ""
    role_arn: str = ""
    description: str = ""


def read_event_config(values: Mapping[str, Any]) -> EventConfig:
    """`eventConfig` of CreateApi. Raises AppSyncError for what makes no sense.

    Without one an API takes API keys for everything, as the console makes it.
    """
    if not values:
        return EventConfig((Provider(API_KEY),), (API_KEY,), (API_KEY,), (API_KEY,))
    providers = tuple(_read_provider(each) for each in values["authProviders"])
    kinds = [each.kind for each in providers]
    if not kinds or len(set(kinds)) != len(kinds):
        raise bad_request("authProviders must name each authorization type once, and one at least.")
    config = EventConfig(
        providers,
        connect=read_modes(values["connectionAuthModes"], kinds),
        publish=read_modes(values["defaultPublishAuthModes"], kinds),
        subscribe=read_modes(values["defaultSubscribeAuthModes"], kinds),
        log=values.get("logConfig") or {},
    )
    if not (config.connect and config.publish and config.subscribe):
        raise bad_request("Each list of authorization modes must name one at least.")
    return config


def read_modes(values: Iterable[Mapping[str, Any]], kinds: Iterable[str]) -> tuple[str, ...]:
    """A list of authorization modes, each of a kind that the API has a provider of. Raises AppSyncError."""
    modes = tuple(dict.fromkeys(str(each["authType"]) for each in values))
    for mode in modes:
        if mode not in kinds:
            raise bad_request(f"The authorization type {mode} is not among the API's authorization providers.")
    return modes


def _read_provider(values: Mapping[str, Any]) -> Provider:
    kind = str(values["authType"])
    needed = _CONFIG_OF.get(kind)
    for name in _CONFIG_OF.values():
        if name in values and name != needed:
            raise bad_request(f"{name} is not for the authorization type {kind}.")
    if needed is None:
        return Provider(kind)
    if not values.get(needed):
        raise bad_request(f"The authorization type {kind} needs {needed}.")
    settings: Mapping[str, Any] = values[needed]
    for name in ("identityValidationExpression", "clientId", "appIdClientRegex"):
        _check_pattern(name, str(settings.get(name, "")))
    return Provider(kind, settings)


def _check_pattern(name: str, pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise bad_request(f"{name} {error}.") from error


def fits_pattern(pattern: str, text: str) -> bool:
    """Whether the whole of `text` fits an expression of a provider's settings; one that is too slow fits nothing."""
    try:
        with limit_matching():
            return re.fullmatch(pattern, text) is not None
    except PatternTooSlow:
        return False


def read_handlers(values: Mapping[str, Any]) -> dict[str, Handler]:
    """`handlerConfigs` of a namespace, `onPublish` and `onSubscribe`. Raises AppSyncError for what is not served."""
    handlers: dict[str, Handler] = {}
    for name in ("onPublish", "onSubscribe"):
        config = values.get(name)
        if not config:
            continue
        if config["behavior"] != "DIRECT":
            raise not_served(f"Handlers in JavaScript ({name} with the behavior {config['behavior']}) are")
        integration = config["integration"]
        invoked: Mapping[str, Any] = integration.get("lambdaConfig") or {}
        invoke_type = invoked.get("invokeType", "REQUEST_RESPONSE")
        handlers[name] = Handler(str(integration["dataSourceName"]), is_event=invoke_type == "EVENT")
    return handlers


def read_data_source(values: Mapping[str, Any]) -> DataSource:
    """The members of CreateDataSource. Raises AppSyncError for kinds that are not served."""
    kind = str(values["type"])
    if kind not in _SERVED_SOURCES:
        raise not_served(f"Data sources of the type {kind} are")
    function: Mapping[str, Any] = values.get("lambdaConfig") or {}
    arn = str(function.get("lambdaFunctionArn", ""))
    role = str(values.get("serviceRoleArn", ""))
    if kind == "AWS_LAMBDA" and not (arn and role):
        raise bad_request("A data source of the type AWS_LAMBDA needs lambdaConfig and serviceRoleArn.")
    return DataSource(str(values["name"]), kind, arn, role, str(values.get("description", "")))
