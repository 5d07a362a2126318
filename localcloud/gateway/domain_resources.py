"""CloudFormation's custom domain names of REST APIs, and what they map to.

A name is served on the HTTP port to whoever asks under it (`Host`), without a certificate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.gateway.domains import DomainName, Domains
from localcloud.gateway.resources import make_id
from localcloud.gateway.server import Gateway
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["BasePathMappingHandler", "DomainNameHandler", "domain_handlers"]

# Zone ids of regional API endpoints: https://docs.aws.amazon.com/general/latest/gr/apigateway.html
ZONE: Final = "Z2OJLYMUO9EFXC"  # us-west-2's; an alias here goes by its DNS name alone
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
        read = read_properties(resource)
        name, context = read.text("DomainName"), resource.context
        if not _NAME.fullmatch(name):
            raise read.error("DomainName", f"{name!r} is no domain name")
        if name.startswith("*."):
            raise read.error("DomainName", "a wildcard name is not served here")
        try:
            self._domains.add(name)
        except ValueError as error:
            raise read.error("DomainName", str(error)) from error
        alias = f"d-{make_id(10, 'domain', context.region, name)}.execute-api.{context.region}.amazonaws.com"
        arn = f"arn:{context.partition}:apigateway:{context.region}::/domainnames/{name}"
        attributes = {"RegionalDomainName": alias, "RegionalHostedZoneId": ZONE, "DomainNameArn": arn}
        return Physical(name, attributes)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Serve it no longer."""
        self._domains.remove(physical.ref)


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
    return [DomainNameHandler(gateway.domains), BasePathMappingHandler(gateway.domains)]
