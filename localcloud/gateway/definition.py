"""What an API is once its OpenAPI body or its separate resources have been read: plain data, nothing left to look up.

Knows no OpenAPI, no CloudFormation and no HTTP. Templates are parsed here already: a bad one fails the deployment, not
a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.gateway.vtl.nodes import Block
from localcloud.services.iam.policy import Document

__all__ = ["Api", "Authorizer", "GatewayResponse", "Integration", "IntegrationResponse", "Method", "Template"]


@dataclass(frozen=True, slots=True)
class Template:
    """A mapping template: its text (sent as it is where the type is not VTL) and its tree."""

    text: str
    block: Block


@dataclass(frozen=True, slots=True)
class IntegrationResponse:
    """How one kind of answer becomes the method's; `selection` is None for the default.

    `content`: CONVERT_TO_BINARY, CONVERT_TO_TEXT or "".
    """

    selection: re.Pattern[str] | None
    status: int
    parameters: Mapping[str, str]
    templates: Mapping[str, Template]
    content: str = ""


@dataclass(frozen=True, slots=True)
class Integration:
    """Where a method leads: `passthrough` never, when_no_match, when_no_templates.

    `kind`: aws_proxy and lambda (a function, its ARN in `uri`), aws (another service), http, http_proxy or mock.
    `streams`: the function's response is handed on as it is made. `content`: CONVERT_TO_BINARY, CONVERT_TO_TEXT or "".
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
    content: str = ""


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A Lambda or Cognito authorizer. `kind` is token, request or cognito; `ttl_s` 0 means no cache.

    `validation` is for tokens (of Cognito: their audience), `pools` the ARNs of a Cognito authorizer's user pools,
    `role` the role that invokes the function ("" where its own policy lets API Gateway in).
    """

    name: str
    id: str
    kind: str
    function_arn: str
    identity_sources: tuple[str, ...]
    ttl_s: int = 300
    validation: re.Pattern[str] | None = None
    pools: tuple[str, ...] = ()
    role: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a resource. `models` are draft 4 schemas by content type, `required` parameter expressions.

    `needs_key`: an API key; `is_signed`: a signature of IAM; `scopes`: any of them, of a Cognito access token.
    """

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
    needs_key: bool = False
    is_signed: bool = False
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """A customised gateway response; status None keeps the type's own."""

    status: int | None
    parameters: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Api:
    """A REST API. `methods` by resource path, then by method (`ANY` too).

    `key_source`: HEADER or AUTHORIZER. `policy`: its resource policy. `compression_bytes`: answers from that size on
    are compressed for clients that accept it, None for never.
    """

    id: str
    name: str
    region: str
    account_id: str
    methods: Mapping[str, Mapping[str, Method]]
    gateway_responses: Mapping[str, GatewayResponse] = field(default_factory=dict[str, GatewayResponse])
    binary_types: frozenset[str] = frozenset()
    key_source: str = "HEADER"
    policy: Document | None = None
    compression_bytes: int | None = None
