"""Where a deployed stack's APIs are reached here, and what stands for AWS's own names.

Knows the resource types that are stages and how AWS spells their addresses; opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from localcloud.gateway.function_url import PATH
from localcloud.template.deploy import Deployed
from localcloud.template.handler import Physical, Resource

__all__ = ["Reach", "Urls"]

_STAGES: Final = {"AWS::ApiGateway::Stage": "RestApiId", "AWS::ApiGatewayV2::Stage": "ApiId"}


@dataclass(frozen=True, slots=True)
class Reach:
    """Where functions reach APIs and Function URLs of their Region, whose addresses on AWS they were given.

    `aws` and `http` give the roots of the AWS port and the HTTP gateway; `is_socket` says whether an id is a WebSocket
    API's, whose https addresses are the management API's.
    """

    region: str
    aws: Callable[[], str]
    http: Callable[[], str]
    is_socket: Callable[[str], bool]

    def localise(self, value: str) -> str:
        """`value` with such addresses as they are reached here; else as it is."""
        if "https://" not in value:
            return value
        region = re.escape(self.region)
        pattern = rf"https://([\w-]+)\.execute-api\.{region}\.amazonaws\.com(?:\.cn)?"
        named = re.sub(pattern, lambda found: f"{self._root(found[1])}/{found[1]}", value)
        return re.sub(rf"https://(\w+)\.lambda-url\.{region}\.on\.aws", lambda found: self._url(found[1]), named)

    def _root(self, api_id: str) -> str:
        return self.aws() if self.is_socket(api_id) else self.http()

    def _url(self, url_id: str) -> str:
        return f"{self.http()}{PATH}{url_id}"


@dataclass(frozen=True, slots=True)
class Urls:
    """Where things are here, and what stands for AWS's own names. No URL ends in a slash."""

    aws: str
    http: str
    websocket: str
    console: str
    region: str
    sockets: frozenset[str]  # ids of WebSocket APIs, whose https addresses are the management API's
    names: Mapping[str, str] = field(default_factory=dict[str, str])  # addresses of what Route 53 has here, by name

    def localise(self, value: str) -> str:
        """An address of API Gateway's or AppSync's, or a Function URL, as it is reached here; else as it is."""
        suffix = rf"{re.escape(self.region)}\.amazonaws\.com(?:\.cn)?"
        value = re.sub(rf"https://([a-z0-9]{{26}})\.appsync-api\.{suffix}", rf"{self.http}/\1", value)
        value = re.sub(rf"wss://([a-z0-9]{{26}})\.appsync-realtime-api\.{suffix}", rf"{self.websocket}/\1", value)
        value = re.sub(rf"wss://([\w-]+)\.execute-api\.{suffix}", rf"{self.websocket}/\1", value)
        return Reach(self.region, lambda: self.aws, lambda: self.http, self.sockets.__contains__).localise(value)

    def endpoints(self, deployed: Deployed) -> dict[str, str]:
        """The address of every stage by its API's lower-case logical id; the last one where an API has several.

        Ids of nested stacks are dotted (`child.api`).

        That of a Function URL by its own lower-case logical id; of an Event API two, the second with `-realtime`.
        Beside them `names`.
        """
        found: dict[str, str] = {}
        whole = deployed.whole
        for logical_id, entry in whole.items():
            if entry.resource.type == "AWS::Lambda::Url":
                address = self.localise(entry.physical.attributes["FunctionUrl"])
                found[logical_id.lower()] = address.rstrip("/")
            if entry.resource.type == "AWS::AppSync::Api":
                name, api_id = logical_id.lower(), entry.physical.ref
                found[name] = f"{self.http}/{api_id}/event"
                found[f"{name}-realtime"] = f"{self.websocket}/{api_id}/event/realtime"
            api_id, stage = _stage_of(entry.resource, entry.physical)
            if api_id:
                owner = next(name for name, each in whole.items() if each.physical.ref == api_id)
                root = self.websocket if api_id in self.sockets else self.http
                found[owner.lower()] = f"{root}/{api_id}{stage}"
        return {**found, **self.names}


def _stage_of(resource: Resource, physical: Physical) -> tuple[str, str]:
    """The id of the API that a resource is a stage of, and the stage's part of the path; two "" for any other."""
    if resource.type == "AWS::ApiGatewayV2::Api" and "Target" in resource.properties:
        return physical.ref, ""  # quick create: its `$default` stage is no resource of its own
    key = _STAGES.get(resource.type)
    if key is None:
        return "", ""
    return str(resource.properties[key]), "" if physical.ref == "$default" else f"/{physical.ref}"
