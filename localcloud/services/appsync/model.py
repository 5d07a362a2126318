"""Event APIs: the APIs of an account with their channel namespaces, keys and data sources. State and rules, no wire.

Source: https://docs.aws.amazon.com/appsync/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from localcloud.clock import Clock
from localcloud.services.appsync.errors import AppSyncError, bad_request, conflict, not_found
from localcloud.services.appsync.settings import AWS_LAMBDA, DataSource, EventConfig, Handler
from localcloud.services.contract import ACCOUNT_ID

__all__ = ["ApiKey", "EventApi", "EventApis", "Namespace"]

ID_CHARACTERS: Final = 26
MAX_APIS: Final = 50  # of a Region; quota "APIs per Region"
MAX_NAMESPACES: Final = 50  # of an API; quota "Number of channel namespaces per API"
MAX_KEYS: Final = 50  # of an API; quota "API keys per API"
DAY_S: Final = 24 * 3600
HOUR_S: Final = 3600
DEFAULT_KEY_S: Final = 7 * DAY_S  # CreateApiKey, expires
MIN_KEY_S, MAX_KEY_S = DAY_S, 365 * DAY_S  # from its making; CreateApiKey, expires
KEPT_KEY_S: Final = 60 * DAY_S  # after it expired; ApiKey, deletes
_CHARACTERS: Final = string.ascii_lowercase + "234567"


@dataclass(slots=True)
class ApiKey:
    """A key; `expires_s` epoch seconds, on the hour."""

    id: str
    description: str
    expires_s: int

    @property
    def deletes_s(self) -> int:
        """When it is forgotten."""
        return self.expires_s + KEPT_KEY_S


@dataclass(slots=True)
class Namespace:
    """A channel namespace. Modes are () where the API's default holds."""

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    handlers: Mapping[str, Handler] = field(default_factory=dict[str, Handler])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    created_s: float = 0.0
    modified_s: float = 0.0


@dataclass(slots=True)
class EventApi:
    """One Event API. Its domains have its id here; on AWS they have one of their own."""

    id: str
    region: str
    name: str
    config: EventConfig
    owner: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    created_s: float = 0.0
    namespaces: dict[str, Namespace] = field(default_factory=dict[str, Namespace])
    keys: dict[str, ApiKey] = field(default_factory=dict[str, ApiKey])
    sources: dict[str, DataSource] = field(default_factory=dict[str, DataSource])

    @property
    def arn(self) -> str:
        """The API's ARN."""
        partition = "aws-cn" if self.region.startswith("cn-") else "aws"
        return f"arn:{partition}:appsync:{self.region}:{ACCOUNT_ID}:apis/{self.id}"

    @property
    def http_domain(self) -> str:
        """Where events are published over HTTP."""
        return f"{self.id}.appsync-api.{self.region}.{_suffix(self.region)}"

    @property
    def realtime_domain(self) -> str:
        """Where clients connect."""
        return f"{self.id}.appsync-realtime-api.{self.region}.{_suffix(self.region)}"

    def namespace_arn(self, name: str) -> str:
        """The ARN of a channel namespace, there or not."""
        return f"{self.arn}/channelNamespace/{name}"

    def namespace(self, name: str) -> Namespace:
        """A channel namespace. Raises AppSyncError."""
        found = self.namespaces.get(name)
        if found is None:
            raise not_found(f"Channel namespace {name} not found.")
        return found

    def source(self, name: str) -> DataSource:
        """A data source. Raises AppSyncError."""
        found = self.sources.get(name)
        if found is None:
            raise not_found(f"Data source {name} not found.")
        return found


class EventApis:
    """Every Event API of the account. `rng` makes ids and keys."""

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self.clock = clock
        self._rng = rng
        self._apis: dict[str, EventApi] = {}
        self._watchers: list[Callable[[EventApi], None]] = []

    def watch_removals(self, watcher: Callable[[EventApi], None]) -> None:
        """Hear of every API that is removed."""
        self._watchers.append(watcher)

    # ---- APIs

    def create(
        self,
        name: str,
        region: str,
        *,
        config: EventConfig,
        api_id: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> EventApi:
        """Make an API; `api_id` is drawn where it is "". Raises AppSyncError for a quota."""
        if len(self.list(region)) >= MAX_APIS:
            raise AppSyncError("ServiceQuotaExceededException", f"A Region has {MAX_APIS} APIs at most.", 402)
        api = EventApi(api_id or self._draw(), region, name, config, tags=dict(tags or {}))
        api.created_s = self.clock.time()
        self._apis[api.id] = api
        return api

    def find(self, api_id: str) -> EventApi | None:
        """An API of any Region."""
        return self._apis.get(api_id)

    def get(self, api_id: str, region: str) -> EventApi:
        """An API of the Region. Raises AppSyncError."""
        api = self._apis.get(api_id)
        if api is None or api.region != region:
            raise not_found(f"Events API {api_id} not found.")
        return api

    def get_by_arn(self, arn: str, region: str) -> EventApi:
        """An API by its ARN. Raises AppSyncError."""
        return self.get(arn.rpartition(":apis/")[2], region)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of an API or of a channel namespace, None where there is none."""
        name, _, namespace = arn.rpartition(":apis/")[2].partition("/channelNamespace/")
        api = self._apis.get(name)
        if api is None or arn not in {api.arn, api.namespace_arn(namespace)}:
            return None
        if not namespace:
            return api.tags
        return api.namespaces[namespace].tags if namespace in api.namespaces else None

    def all(self) -> tuple[EventApi, ...]:
        """The APIs of every Region."""
        return tuple(self._apis.values())

    def list(self, region: str) -> list[EventApi]:
        """The Region's APIs, by id."""
        return sorted((api for api in self._apis.values() if api.region == region), key=lambda api: api.id)

    def update(self, api: EventApi, *, name: str, owner: str | None, config: EventConfig | None) -> None:
        """Change what is given. Raises AppSyncError where a namespace has a mode that is no longer served."""
        if config is not None:
            kinds = {each.kind for each in config.providers}
            for namespace in api.namespaces.values():
                if not kinds.issuperset((*namespace.publish, *namespace.subscribe)):
                    raise bad_request(
                        f"Channel namespace {namespace.name} uses an authorization provider to be removed."
                    )
            api.config = config
        api.name = name
        if owner is not None:
            api.owner = owner

    def delete(self, api: EventApi) -> None:
        """Remove an API with all that is in it."""
        self._apis.pop(api.id, None)
        for watcher in self._watchers:
            watcher(api)

    # ---- namespaces and data sources

    def put_namespace(self, api: EventApi, namespace: Namespace, *, is_new: bool) -> Namespace:
        """Make a namespace, or replace what it is told to be. Raises AppSyncError."""
        if is_new and namespace.name in api.namespaces:
            raise conflict(f"Channel namespace {namespace.name} already exists.")
        if is_new and len(api.namespaces) >= MAX_NAMESPACES:
            message = f"An API has {MAX_NAMESPACES} channel namespaces at most."
            raise AppSyncError("ServiceQuotaExceededException", message, 402)
        for handler in namespace.handlers.values():
            source = api.sources.get(handler.data_source)
            if source is None:
                raise bad_request(f"Data source {handler.data_source} not found.")
            if source.kind != AWS_LAMBDA:
                raise bad_request(f"Data source {source.name} is no function: a DIRECT handler needs one.")
        now = self.clock.time()
        namespace.created_s = now if is_new else api.namespaces[namespace.name].created_s
        namespace.modified_s = now
        api.namespaces[namespace.name] = namespace
        return namespace

    def delete_namespace(self, api: EventApi, name: str) -> None:
        """Remove a namespace. Raises AppSyncError."""
        del api.namespaces[api.namespace(name).name]

    def delete_source(self, api: EventApi, name: str) -> None:
        """Remove a data source that no handler uses. Raises AppSyncError."""
        source = api.source(name)
        for namespace in api.namespaces.values():
            if any(handler.data_source == name for handler in namespace.handlers.values()):
                raise bad_request(f"Data source {name} is used by channel namespace {namespace.name}.")
        del api.sources[source.name]

    # ---- keys

    def create_key(self, api: EventApi, *, description: str, expires_s: int | None, key_id: str = "") -> ApiKey:
        """Make a key; without `expires_s` for seven days. Raises AppSyncError."""
        if len(api.keys) >= MAX_KEYS:
            raise AppSyncError("ApiKeyLimitExceededException", f"An API has {MAX_KEYS} API keys at most.", 400)
        key = ApiKey(key_id or f"da2-{self._draw()}", description, self._expiry(expires_s))
        api.keys[key.id] = key
        return key

    def update_key(self, api: EventApi, key_id: str, *, description: str | None, expires_s: int | None) -> ApiKey:
        """Change what is given. Raises AppSyncError."""
        key = self.key(api, key_id)
        if expires_s is not None:
            key.expires_s = self._expiry(expires_s)
        if description is not None:
            key.description = description
        return key

    def key(self, api: EventApi, key_id: str) -> ApiKey:
        """A key, expired or not. Raises AppSyncError."""
        found = api.keys.get(key_id)
        if found is None:
            raise not_found(f"API key {key_id} not found.")
        return found

    def is_valid_key(self, api: EventApi, key_id: str) -> bool:
        """Whether a key lets its bearer in now."""
        key = api.keys.get(key_id)
        return key is not None and self.clock.time() < key.expires_s

    def _expiry(self, given_s: int | None) -> int:
        now = int(self.clock.time())
        expires_s = now + DEFAULT_KEY_S if given_s is None else given_s
        if not MIN_KEY_S - HOUR_S <= expires_s - now <= MAX_KEY_S:
            message = "API key must be valid for a minimum of 1 days and a maximum of 365 days."
            raise AppSyncError("ApiKeyValidityOutOfBoundsException", message, 400)
        return expires_s - expires_s % HOUR_S

    def _draw(self) -> str:
        return "".join(self._rng.choices(_CHARACTERS, k=ID_CHARACTERS))


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
