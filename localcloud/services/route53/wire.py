"""Route 53 on the wire: REST-XML in and out, which operation a path and method name, and what IAM checks.

One service for all Regions: its control plane is in us-east-1, which SDKs sign for wherever they are.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.route53.errors import Route53Error, invalid_input, not_served
from localcloud.services.route53.model import Route53
from localcloud.services.route53.operations import AWAITED, OPERATIONS, Answered, Asked
from localcloud.services.route53.xml import read_body, write_document, write_error

__all__ = ["CONTROL_REGION", "Route53Service", "read_needs"]

CONTROL_REGION: Final = "us-east-1"  # disaster-recovery-resiliency.html: the control plane; whatever a caller signs for
MAX_QUERY_CHARACTERS: Final = 8_192
MAX_FIELDS: Final = 32
_BODIES: Final = ("ChangeResourceRecordSets", "CreateHealthCheck", "CreateHostedZone", "UpdateHealthCheck")
_ROUTES: Final = tuple(
    (method, re.compile(f"/2013-04-01/{path}/?"), name)
    for method, path, name in (
        ("GET", "change/(?:change/)?([^/]+)", "GetChange"),
        ("POST", "healthcheck", "CreateHealthCheck"),
        ("GET", "healthcheck", "ListHealthChecks"),
        ("GET", "healthcheck/([^/]+)", "GetHealthCheck"),
        ("POST", "healthcheck/([^/]+)", "UpdateHealthCheck"),
        ("DELETE", "healthcheck/([^/]+)", "DeleteHealthCheck"),
        ("GET", "healthcheck/([^/]+)/status", "GetHealthCheckStatus"),
        ("GET", "healthcheck/([^/]+)/lastfailurereason", "GetHealthCheckLastFailureReason"),
        ("POST", "hostedzone", "CreateHostedZone"),
        ("GET", "hostedzone", "ListHostedZones"),
        ("GET", "hostedzonesbyname", "ListHostedZonesByName"),
        ("GET", "hostedzone/([^/]+)", "GetHostedZone"),
        ("DELETE", "hostedzone/([^/]+)", "DeleteHostedZone"),
        ("POST", "hostedzone/([^/]+)/rrset", "ChangeResourceRecordSets"),
        ("GET", "hostedzone/([^/]+)/rrset", "ListResourceRecordSets"),
        ("GET", "testdnsanswer", "TestDNSAnswer"),
    )
)
_RESOURCES: Final = {"change": "change", "healthcheck": "healthcheck", "hostedzone": "hostedzone"}


class Route53Service:
    """The Route 53 API (signing name `route53`). Not for use by several threads."""

    name = "route53"

    def __init__(self, route53: Route53) -> None:
        self._route53 = route53

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            operation, found = _route(request)
            answered = await self._perform(operation, _read(request, operation, found))
        except Route53Error as error:
            headers = {"content-type": "text/xml", "x-amzn-requestid": request.request_id}
            return WireResponse(error.status, write_error(error, request.request_id), headers)
        headers = {"content-type": "text/xml"} | ({"location": answered.location} if answered.location else {})
        return WireResponse(answered.status, write_document(f"{operation}Response", answered.members), headers)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """What IAM would check."""
        return read_needs(request)

    async def _perform(self, operation: str, asked: Asked) -> Answered:
        if operation in AWAITED:
            return await AWAITED[operation](self._route53, asked)
        return OPERATIONS[operation](self._route53, asked)


def read_needs(request: WireRequest) -> tuple[Permission, ...]:
    """What IAM would check; empty for what is no operation that is served."""
    try:
        operation, found = _route(request)
    except Route53Error:
        return ()
    kind = request.path.split("/")[2]
    resource = f"arn:aws:route53:::{_RESOURCES[kind]}/{found}" if found and kind in _RESOURCES else "*"
    return (Permission(f"route53:{operation}", resource),)


def _route(request: WireRequest) -> tuple[str, str]:
    """The operation, and the id in its path. Raises Route53Error."""
    path = unquote(request.path)
    for method, pattern, name in _ROUTES:
        found = pattern.fullmatch(path)
        if method == request.method and found is not None:
            return name, found[1] if found.groups() else ""
    raise not_served(f"{request.method} {path[:128]} of Route 53")


def _read(request: WireRequest, operation: str, found: str) -> Asked:
    body = read_body(request.body, f"{operation}Request") if operation in _BODIES else {}
    return Asked(found, _read_query(request.query), body)


def _read_query(text: str) -> Mapping[str, str]:
    if len(text) > MAX_QUERY_CHARACTERS:
        raise invalid_input("Invalid request: the query is too long")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise invalid_input("Invalid request: the query has too many members") from None
