"""CloudFormation's Route 53 resources over the model: hosted zones, record sets, groups of them, health checks.

A template may name a zone by an id that nobody made here: it counts as one that exists, and the ledger says so.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Route53.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from localcloud.services.route53.errors import Route53Error
from localcloud.services.route53.model import Route53
from localcloud.services.route53.reading import bare_id, read_config, read_domain, read_record
from localcloud.services.route53.zones import NAME_SERVERS, Change, Zone
from localcloud.template.handler import Physical, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import Properties, read_properties, scalar_text

__all__ = ["HealthCheckHandler", "HostedZoneHandler", "RecordSetGroupHandler", "RecordSetHandler", "route53_handlers"]

_SERVED: Final = Supported()
_KEPT: Final = Supported(Support.PARTIAL, "kept and shown; the API's operations on tags are not served")
_ZONE: Final = Supported(
    Support.PARTIAL, "a zone that was not made here counts as one that exists, with the records that are made here"
)
_MISSING: Final[Mapping[str, str]] = {
    "CidrRoutingConfig": "IP-based routing is not served",
    "GeoLocation": "geolocation routing is not served",
    "GeoProximityLocation": "geoproximity routing is not served",
    "MultiValueAnswer": "multivalue answer routing is not served",
    "Region": "latency routing is not served: on one machine every Region is as near as the other",
}
_RECORD: Final = (
    "AliasTarget", "Failover", "HealthCheckId", "Name", "ResourceRecords", "SetIdentifier", "TTL", "Type", "Weight",
)  # fmt: skip
_CONFIG: Final = (
    "AlarmIdentifier", "ChildHealthChecks", "EnableSNI", "FailureThreshold", "FullyQualifiedDomainName",
    "HealthThreshold", "InsufficientDataHealthStatus", "Inverted", "MeasureLatency", "Port", "RequestInterval",
    "ResourcePath", "SearchString",
)  # fmt: skip
_TYPES: Final = (
    "HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP", "CALCULATED", "CLOUDWATCH_METRIC",
)  # fmt: skip


class HostedZoneHandler:
    """`AWS::Route53::HostedZone`. Ref is the id; attributes Id, NameServers."""

    type: str = "AWS::Route53::HostedZone"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        "HostedZoneConfig": _SERVED,
        "HostedZoneTags": Supported(Support.PARTIAL, "not kept: the API's operations on tags are not served"),
        "Name": _SERVED,
        "QueryLoggingConfig": Supported(Support.REFUSED, "queries are not logged here"),
        "VPCs": Supported(Support.REFUSED, "private hosted zones are not served: there is no VPC here"),
    }

    def __init__(self, route53: Callable[[], Route53]) -> None:
        self._route53 = route53

    async def create(self, resource: Resource) -> Physical:
        """Make the zone. Raises TemplateError."""
        read = read_properties(resource)
        comment = read.nested("HostedZoneConfig").text("Comment", "")
        try:
            name = read_domain(read.text("Name"))
            zone, _ = self._route53().create_zone(name, _reference(resource), comment=comment)
        except Route53Error as error:
            raise read.error("", error.message) from error
        return Physical(zone.id, {"Id": zone.id, "NameServers": [each.removesuffix(".") for each in NAME_SERVERS]})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Delete the zone. Raises TemplateError where records of others are in it."""
        try:
            self._route53().delete_zone(physical.ref)
        except Route53Error as error:
            raise read_properties(resource).error("", error.message) from error


class RecordSetHandler:
    """`AWS::Route53::RecordSet`. Ref is the name."""

    type: str = "AWS::Route53::RecordSet"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        **dict.fromkeys(_RECORD, _SERVED),
        **{name: Supported(Support.REFUSED, reason) for name, reason in _MISSING.items()},
        "Comment": _SERVED,
        "HostedZoneId": _ZONE,
        "HostedZoneName": _SERVED,
    }

    def __init__(self, route53: Callable[[], Route53]) -> None:
        self._route53 = route53

    async def create(self, resource: Resource) -> Physical:
        """Make the record set. Raises TemplateError for what ChangeResourceRecordSets would refuse."""
        read = read_properties(resource)
        _change(self._route53(), read, [read], action="CREATE")
        return Physical(read.text("Name"))

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Delete the record set, where it is as it was made. Raises TemplateError."""
        read = read_properties(resource)
        _change(self._route53(), read, [read], action="DELETE")


class RecordSetGroupHandler:
    """`AWS::Route53::RecordSetGroup`: several record sets of one zone, made together. Ref is a name of the stack's."""

    type: str = "AWS::Route53::RecordSetGroup"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        **{f"RecordSets.{name}": _SERVED for name in _RECORD},
        **{f"RecordSets.{name}": Supported(Support.REFUSED, reason) for name, reason in _MISSING.items()},
        "Comment": _SERVED,
        "HostedZoneId": _ZONE,
        "HostedZoneName": _SERVED,
    }

    def __init__(self, route53: Callable[[], Route53]) -> None:
        self._route53 = route53

    async def create(self, resource: Resource) -> Physical:
        """Make all of the record sets, or none. Raises TemplateError."""
        read = read_properties(resource)
        _change(self._route53(), read, read.each("RecordSets"), action="CREATE")
        return Physical(f"{resource.context.stack_name}-{resource.logical_id}")

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Delete all of them. Raises TemplateError."""
        read = read_properties(resource)
        _change(self._route53(), read, read.each("RecordSets"), action="DELETE")


class HealthCheckHandler:
    """`AWS::Route53::HealthCheck`. Ref is the id; attribute HealthCheckId."""

    type: str = "AWS::Route53::HealthCheck"
    support: Supported = _SERVED
    properties: Mapping[str, Supported] = {
        **{f"HealthCheckConfig.{name}": _SERVED for name in _CONFIG},
        "HealthCheckConfig.IPAddress": Supported(Support.PARTIAL, "loopback addresses alone: nobody else is asked"),
        "HealthCheckConfig.Regions": Supported(Support.PARTIAL, "kept; there is one health checker here"),
        "HealthCheckConfig.RoutingControlArn": Supported(
            Support.REFUSED, "there is no Application Recovery Controller here"
        ),
        "HealthCheckConfig.Type": Supported(
            Support.SERVED, "there is no Application Recovery Controller here", values=_TYPES
        ),
        "HealthCheckTags": _KEPT,
    }

    def __init__(self, route53: Callable[[], Route53]) -> None:
        self._route53 = route53

    async def create(self, resource: Resource) -> Physical:
        """Make the check. Raises TemplateError for what CreateHealthCheck would refuse."""
        read = read_properties(resource)
        try:
            config = read_config(_as_members(read.mapping("HealthCheckConfig")))
            tags = read.tags("HealthCheckTags")
            check = await self._route53().create_check(config, _reference(resource), tags=tags)
        except Route53Error as error:
            raise read.error("HealthCheckConfig", error.message) from error
        return Physical(check.id, {"HealthCheckId": check.id})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Delete the check, where it is still there."""
        checks = self._route53().checks
        if checks.find(physical.ref) is not None:
            checks.remove(physical.ref)


def route53_handlers(route53: Route53 | None) -> tuple[ResourceHandler, ...]:
    """The handlers that make resources in `route53`; without one, they only say what is served."""

    def find() -> Route53:
        if route53 is None:
            raise RuntimeError("the host has Route 53")
        return route53

    return HostedZoneHandler(find), RecordSetHandler(find), RecordSetGroupHandler(find), HealthCheckHandler(find)


def _change(route53: Route53, read: Properties, records: list[Properties], *, action: str) -> None:
    """Make or unmake record sets together. Raises TemplateError."""
    try:
        zone_id, adopts = _zone_of(route53, read)
        changes = [Change(action, read_record(_record(each), action)) for each in records]
        route53.change(zone_id, changes, comment=read.text("Comment", ""), adopts=adopts)
    except Route53Error as error:
        raise read.error("", error.message) from error


def _zone_of(route53: Route53, read: Properties) -> tuple[str, bool]:
    """The zone's id, and whether it may be one that was not made here. Raises TemplateError, Route53Error."""
    if ("HostedZoneId" in read) == ("HostedZoneName" in read):
        raise read.error("", "one of HostedZoneId and HostedZoneName is needed")
    if "HostedZoneId" in read:
        return bare_id(read.text("HostedZoneId")), True
    name = read_domain(read.text("HostedZoneName"))
    zone: Zone | None = route53.zone_named(name)
    if zone is None:
        raise read.error("HostedZoneName", f"there is no hosted zone {name}")
    return zone.id, False


def _record(read: Properties) -> dict[str, Any]:
    """A template's record set as the API has it: values are structures there."""
    members = {name: read.values[name] for name in (*_RECORD, *_MISSING) if name in read}
    told = _as_members(members)
    if "AliasTarget" in told:
        told["AliasTarget"].setdefault("EvaluateTargetHealth", "false")
    if "ResourceRecords" in told:
        told["ResourceRecords"] = [{"Value": value} for value in told["ResourceRecords"]]
    return told


def _as_members(value: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as the members of a request's body: every scalar is text."""
    return {name: _as_member(member) for name, member in value.items() if member is not None}


def _as_member(value: Any) -> Any:
    if isinstance(value, dict):
        return _as_members(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return [_as_member(item) for item in cast("list[Any]", value)]
    return scalar_text(value)


def _reference(resource: Resource) -> str:
    """A caller reference that no other resource has, in its 64 characters."""
    context = resource.context
    return f"{context.region}-{context.stack_name}-{resource.logical_id}"[-64:]
