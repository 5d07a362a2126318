"""CloudFormation's custom domain names of REST and HTTP APIs, and what they map to.

A name is served on the HTTP port to whoever asks under it (`Host`), without a certificate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.gateway.domain_zones import REGIONAL_ZONES
from localcloud.gateway.domains import DomainName, Domains
from localcloud.gateway.resources import make_id
from localcloud.gateway.server import Gateway
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import read_properties

__all__ = [
    "ApiMappingHandler",
    "BasePathMappingHandler",
    "DomainNameHandler",
    "DomainNameV2Handler",
    "domain_handlers",
]

_SERVED: Final = Supported()
_NO_TLS: Final = Supported(Support.PARTIAL, "the name is served over plain HTTP here")
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", re.IGNORECASE)
_BASE: Final = re.compile(r"[A-Za-z0-9$_.+!*'()-]{1,300}")


class DomainNameHandler:
    """`AWS::ApiGateway::DomainName`. Ref is the name; its attributes are those of a regional one."""

    type: str = "AWS::ApiGateway::DomainName"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "CertificateArn": Supported(Support.REFUSED, "an edge-optimised name is not served here; use a regional one"),
        "DomainName": _SERVED,
        "EndpointAccessMode": Supported(Support.REFUSED, "there is one way in here"),
        "EndpointConfiguration.IpAddressType": Supported(Support.PARTIAL, "names are served on IPv4 loopback"),
        "EndpointConfiguration.Types": Supported(reason="only regional names are served here", values=("REGIONAL",)),
        "MutualTlsAuthentication": Supported(Support.REFUSED, "there is no TLS here"),
        "OwnershipVerificationCertificateArn": _NO_TLS,
        "RegionalCertificateArn": _NO_TLS,
        "RoutingMode": Supported(reason="routing rules are not served here", values=("BASE_PATH_MAPPING_ONLY",)),
        "SecurityPolicy": _NO_TLS,
        "Tags": _SERVED,
    }

    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    async def create(self, resource: Resource) -> Physical:
        """Serve the name. Raises TemplateError where it is none, or taken."""
        return _serve_name(self._domains, resource)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Serve it no longer."""
        self._domains.remove(physical.ref)


def _serve_name(domains: Domains, resource: Resource) -> Physical:
    read, context = read_properties(resource), resource.context
    name = read.text("DomainName")
    if not _NAME.fullmatch(name):
        raise read.error("DomainName", f"{name!r} is no domain name")
    if name.startswith("*."):
        raise read.error("DomainName", "a wildcard name is not served here")
    try:
        domains.add(name)
    except ValueError as error:
        raise read.error("DomainName", str(error)) from error
    alias = f"d-{make_id(10, 'domain', context.region, name)}.execute-api.{context.region}.amazonaws.com"
    arn = f"arn:{context.partition}:apigateway:{context.region}::/domainnames/{name}"
    attributes = {"RegionalDomainName": alias, "DomainNameArn": arn}
    zone = REGIONAL_ZONES.get(context.region)
    return Physical(name, attributes if zone is None else {**attributes, "RegionalHostedZoneId": zone})


class DomainNameV2Handler:
    """`AWS::ApiGatewayV2::DomainName`. Ref is the name; its attributes are those of a regional one."""

    type: str = "AWS::ApiGatewayV2::DomainName"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "DomainName": _SERVED,
        "DomainNameConfigurations.CertificateArn": _NO_TLS,
        "DomainNameConfigurations.CertificateName": _NO_TLS,
        "DomainNameConfigurations.EndpointType": Supported(
            reason="only regional names are served here", values=("REGIONAL",)
        ),
        "DomainNameConfigurations.IpAddressType": Supported(Support.PARTIAL, "names are served on IPv4 loopback"),
        "DomainNameConfigurations.OwnershipVerificationCertificateArn": _NO_TLS,
        "DomainNameConfigurations.SecurityPolicy": _NO_TLS,
        "MutualTlsAuthentication": Supported(Support.REFUSED, "there is no TLS here"),
        "RoutingMode": Supported(reason="routing rules are not served here", values=("API_MAPPING_ONLY",)),
        "Tags": _SERVED,
    }

    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    async def create(self, resource: Resource) -> Physical:
        """Serve the name. Raises TemplateError where it is none, or taken."""
        return _serve_name(self._domains, resource)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Serve it no longer."""
        self._domains.remove(physical.ref)


class ApiMappingHandler:
    """`AWS::ApiGatewayV2::ApiMapping`. Ref and ApiMappingId are its id."""

    type: str = "AWS::ApiGatewayV2::ApiMapping"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "ApiId": _SERVED,
        "ApiMappingKey": _SERVED,
        "DomainName": _SERVED,
        "Stage": _SERVED,
    }

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(self, resource: Resource) -> Physical:
        """Map a base path of the name, which may have several parts. Raises TemplateError."""
        read = read_properties(resource)
        domain = self._gateway.domains.names.get(read.text("DomainName").lower())
        key, api_id = read.text("ApiMappingKey", ""), read.text("ApiId")
        if domain is None:
            raise read.error("DomainName", "is no domain name of this stack")
        if key and not all(_BASE.fullmatch(part) for part in key.split("/")):
            raise read.error("ApiMappingKey", "is parts of a path: letters, digits and $-_.+!*'()")
        if key in domain.mappings:
            raise read.error("ApiMappingKey", f"{key or '(none)'} of {domain.name} is mapped already")
        if not self._gateway.has_api(api_id):
            raise read.error("ApiId", "is no HTTP or REST API with a stage; others have no custom names here")
        domain.mappings[key] = (api_id, read.text("Stage"))
        mapping_id = make_id(6, "mapping", resource.context.stack_name, resource.logical_id)
        return Physical(mapping_id, {"ApiMappingId": mapping_id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Map it no longer."""
        read = read_properties(resource)
        domain = self._gateway.domains.names.get(read.text("DomainName").lower())
        if domain is not None:
            domain.mappings.pop(read.text("ApiMappingKey", ""), None)


class BasePathMappingHandler:
    """`AWS::ApiGateway::BasePathMapping`. Ref is `<name>|<base path>`."""

    type: str = "AWS::ApiGateway::BasePathMapping"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "BasePath": _SERVED,
        "DomainName": _SERVED,
        "Id": Supported(Support.REFUSED, "it names a base path of a private domain name"),
        "RestApiId": _SERVED,
        "Stage": _SERVED,
    }

    def __init__(self, domains: Domains) -> None:
        self._domains = domains

    async def create(self, resource: Resource) -> Physical:
        """Map a base path of the name. Raises TemplateError."""
        read = read_properties(resource)
        domain = self._domains.names.get(read.text("DomainName").lower())
        base = read.text("BasePath", "").removeprefix("(none)")
        if domain is None:
            raise read.error("DomainName", "is no domain name of this stack")
        if base and not _BASE.fullmatch(base):
            raise read.error("BasePath", "is one part of a path: letters, digits and $-_.+!*'()")
        if base in domain.mappings:
            raise read.error("BasePath", f"{base or '(none)'} of {domain.name} is mapped already")
        domain.mappings[base] = (read.text("RestApiId"), read.text("Stage", ""))
        return Physical(f"{domain.name}|{base or '(none)'}")

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Map it no longer."""
        name, _, base = physical.ref.partition("|")
        domain: DomainName | None = self._domains.names.get(name)
        if domain is not None:
            domain.mappings.pop(base.removeprefix("(none)"), None)


def domain_handlers(gateway: Gateway) -> list[ResourceHandler]:
    """The handlers of a gateway's names."""
    domains = gateway.domains
    return [
        DomainNameHandler(domains),
        BasePathMappingHandler(domains),
        DomainNameV2Handler(domains),
        ApiMappingHandler(gateway),
    ]
