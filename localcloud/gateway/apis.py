"""The REST APIs of a stack while they are made: their resources, models and authorizers, and what deployments hold.

Owns what may stand beside what, in API Gateway's own words; knows no CloudFormation property and no OpenAPI.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from localcloud.gateway.definition import Api, Authorizer, GatewayResponse, Method
from localcloud.gateway.routing import Resources
from localcloud.gateway.server import Gateway
from localcloud.template.properties import Properties

__all__ = ["Apis", "KnownApi", "Validator", "make_id"]

_ID_CHARACTERS: Final = string.ascii_lowercase + string.digits
_PART: Final = re.compile(r"[A-Za-z0-9._:-]+|\{[A-Za-z0-9._-]+\+?\}")
_PART_RULE: Final = (
    "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the beginning "
    "and the end."
)


def make_id(length: int, *parts: str) -> str:
    """An id as AWS's own, of `length` lower-case letters and digits, the same for the same parts every time."""
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest())
    characters: list[str] = []
    while len(characters) < length:
        number, rest = divmod(number, len(_ID_CHARACTERS))
        characters.append(_ID_CHARACTERS[rest])
    return "".join(characters)


@dataclass(frozen=True, slots=True)
class Validator:
    """A request validator."""

    body: bool
    parameters: bool


@dataclass(slots=True)
class KnownApi:
    """An API in the making. `paths`: resource path by id, the root's too; `models`: schema by name."""

    api: Api
    paths: dict[str, str]
    models: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    validators: dict[str, Validator] = field(default_factory=dict[str, Validator])
    authorizers: dict[str, Authorizer] = field(default_factory=dict[str, Authorizer])
    deployments: dict[str, Api] = field(default_factory=dict[str, Api])

    def add_resource(self, resource_id: str, parent_id: str, part: str) -> None:
        """Know a resource. Raises ValueError."""
        parent = self.paths[parent_id]
        if not _PART.fullmatch(part):
            raise ValueError(_PART_RULE)
        if parent.endswith("+}"):
            raise ValueError(f"Cannot create a child of a resource with a greedy path variable: {parent}")
        path = f"{parent.rstrip('/')}/{part}"
        if path in self.paths.values() or path in self.api.methods:
            raise ValueError(f"Another resource with the same parent already has this name: {part}")
        Resources([*self.paths.values(), *self.api.methods, path])  # two variables at one place
        self.paths[resource_id] = path

    def add_method(self, method: Method) -> None:
        """Know a method. Raises ValueError where its resource has one of the name."""
        there = self.api.methods.get(method.path, {})
        if method.http_method in there:
            raise ValueError("Method already exists for this resource")
        methods = {**self.api.methods, method.path: {**there, method.http_method: method}}
        self.api = replace(self.api, methods=methods)

    def remove_method(self, path: str, http_method: str) -> None:
        """Forget a method."""
        left = {name: each for name, each in self.api.methods.get(path, {}).items() if name != http_method}
        others = {name: each for name, each in self.api.methods.items() if name != path}
        self.api = replace(self.api, methods=others | ({path: left} if left else {}))

    def set_gateway_response(self, kind: str, response: GatewayResponse | None) -> None:
        """Know, or (None) forget, a customised gateway response."""
        kept = {name: each for name, each in self.api.gateway_responses.items() if name != kind}
        self.api = replace(self.api, gateway_responses=kept | ({kind: response} if response is not None else {}))


class Apis:
    """The APIs that have been made, and the definitions that their deployments hold."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.plans = gateway.plans
        self._known: dict[str, KnownApi] = {}

    def add(self, api: Api) -> None:
        """Know an API."""
        self._known[api.id] = KnownApi(api, {self.root_id(api.id): "/"})

    def remove(self, api_id: str) -> None:
        """Forget an API and its deployments."""
        self._known.pop(api_id, None)

    @staticmethod
    def root_id(api_id: str) -> str:
        """The id of an API's root resource."""
        return make_id(10, "root", api_id)

    def find(self, read: Properties, name: str = "RestApiId") -> KnownApi:
        """The API that a property names. Raises TemplateError where there is none."""
        api_id = read.text(name)
        if api_id not in self._known:
            raise read.error(name, f"{api_id!r} is no API of this stack")
        return self._known[api_id]

    def get(self, api_id: str) -> KnownApi | None:
        """The API of an id, None where there is none (any more)."""
        return self._known.get(api_id)

    def snapshot(self, read: Properties, deployment_id: str) -> None:
        """Keep the API's definition of now. Raises TemplateError where RestApiId is none, or has no method yet."""
        known = self.find(read)
        if not any(known.api.methods.values()):
            raise read.error(
                "RestApiId",
                "The REST API doesn't contain any methods; DependsOn lets a deployment wait for the methods it is of",
            )
        known.deployments[deployment_id] = known.api

    def deployed(self, read: Properties, deployment_id: str) -> Api:
        """A deployment's definition. Raises TemplateError."""
        known = self.find(read)
        if deployment_id not in known.deployments:
            raise read.error("DeploymentId", f"{deployment_id!r} is no deployment of the API")
        return known.deployments[deployment_id]
