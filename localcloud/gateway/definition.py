"""What an API is once its OpenAPI body has been read: plain data, complete, nothing left to look up.

Knows no OpenAPI and no HTTP. Templates are parsed here already: a bad one fails the deployment, not a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.gateway.vtl.nodes import Block

__all__ = ["Api", "Authorizer", "GatewayResponse", "Integration", "IntegrationResponse", "Method", "Template"]


@dataclass(frozen=True, slots=True)
class Template:
    """A mapping template: its text (sent as it is where the type is not VTL) and its tree."""

    text: str
    block: Block


@dataclass(frozen=True, slots=True)
class IntegrationResponse:
    """How one kind of answer becomes the method's; `selection` is None for the default."""

    selection: re.Pattern[str] | None
    status: int
    parameters: Mapping[str, str]
    templates: Mapping[str, Template]


@dataclass(frozen=True, slots=True)
class Integration:
    """Where a method leads: `kind` aws_proxy, aws or mock; `passthrough` never, when_no_match, when_no_templates.

    `streams`: the function's response is handed on as it is made.
    """

    kind: str
    method: str = ""
    uri: str = ""
    credentials: str = ""
    passthrough: str = "when_no_match"
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    templates: Mapping[str, Template] = field(default_factory=dict[str, Template])
    responses: tuple[IntegrationResponse, ...] = ()
    timeout_s: float = 29.0
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A Lambda authorizer. `kind` is token or request; `ttl_s` 0 means no cache; `validation` is for tokens."""

    name: str
    id: str
    kind: str
    function_arn: str
    identity_sources: tuple[str, ...]
    ttl_s: int = 300
    validation: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a resource. `models` are draft 4 schemas by content type, `required` parameter expressions."""

    path: str
    http_method: str
    resource_id: str
    integration: Integration
    operation: str = ""
    authorizer: Authorizer | None = None
    validates_body: bool = False
    validates_parameters: bool = False
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    required: tuple[str, ...] = ()
    response_headers: Mapping[int, frozenset[str]] = field(default_factory=dict[int, frozenset[str]])


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """A customised gateway response; status None keeps the type's own."""

    status: int | None
    parameters: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Api:
    """A REST API. `methods` by resource path, then by method (`ANY` too)."""

    id: str
    name: str
    region: str
    account_id: str
    methods: Mapping[str, Mapping[str, Method]]
    gateway_responses: Mapping[str, GatewayResponse] = field(default_factory=dict[str, GatewayResponse])
    binary_types: frozenset[str] = frozenset()
