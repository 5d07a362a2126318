"""The operations of Route 53 that are served: a request's members in, an answer's out.

Knows the model and the API's members; no HTTP.
Source: https://docs.aws.amazon.com/Route53/latest/APIReference/API_Operations_Amazon_Route_53.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.route53.check_config import ALARM, CALCULATED
from localcloud.services.route53.errors import invalid_input, not_served
from localcloud.services.route53.health import HealthCheck, Seen
from localcloud.services.route53.model import Route53
from localcloud.services.route53.reading import Fields, bare_id, read_change, read_config, read_domain, update_config
from localcloud.services.route53.records import RecordSet
from localcloud.services.route53.writing import (
    tell_change,
    tell_check,
    tell_delegation,
    tell_observation,
    tell_record,
    tell_zone,
)
from localcloud.services.route53.xml import Members
from localcloud.services.route53.zones import NAME_SERVERS, Change

__all__ = ["AWAITED", "OPERATIONS", "Answered", "Asked"]

MAX_PAGE: Final = 100  # API_ListHostedZones.html
MAX_RECORDS_PAGE: Final = 300  # API_ListResourceRecordSets.html
ENDPOINT: Final = "https://route53.amazonaws.com/2013-04-01"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the id in its path, its query, and its body's members."""

    id: str
    query: Mapping[str, str]
    body: Mapping[str, Any]

    def page(self, most: int) -> int:
        """MaxItems. Raises Route53Error."""
        found = Fields(self.query, "the request").number("maxitems", most, low=1, high=2**31)
        return min(found or most, most)


@dataclass(frozen=True, slots=True)
class Answered:
    """The members of an answer; `status` and `location` are HTTP's."""

    members: Mapping[str, object] = field(default_factory=dict[str, object])
    status: int = 200
    location: str = ""


# ---- zones


def create_hosted_zone(route53: Route53, asked: Asked) -> Answered:
    """CreateHostedZone, of public zones."""
    fields = Fields(asked.body, "CreateHostedZoneRequest")
    fields.only("Name", "VPC", "CallerReference", "HostedZoneConfig", "DelegationSetId")
    config = Fields(fields.values.get("HostedZoneConfig") or {}, "HostedZoneConfig")
    config.only("Comment", "PrivateZone")
    if "VPC" in fields or config.flag("PrivateZone", default=False):
        raise not_served("private hosted zones: there is no VPC here")
    if "DelegationSetId" in fields:
        raise not_served("reusable delegation sets")
    name = read_domain(fields.text("Name", most=1024))
    comment = config.text("Comment", "", most=256)
    zone, change = route53.create_zone(name, _reference(fields, most=128), comment=comment)
    told = {"HostedZone": tell_zone(zone), "ChangeInfo": tell_change(change), "DelegationSet": tell_delegation()}
    return Answered(told, 201, f"{ENDPOINT}/hostedzone/{zone.id}")


def get_hosted_zone(route53: Route53, asked: Asked) -> Answered:
    """GetHostedZone."""
    return Answered({"HostedZone": tell_zone(route53.zone(asked.id)), "DelegationSet": tell_delegation()})


def delete_hosted_zone(route53: Route53, asked: Asked) -> Answered:
    """DeleteHostedZone."""
    return Answered({"ChangeInfo": tell_change(route53.delete_zone(asked.id))})


def list_hosted_zones(route53: Route53, asked: Asked) -> Answered:
    """ListHostedZones, by id."""
    if asked.query.get("delegationsetid") or asked.query.get("hostedzonetype"):
        raise not_served("reusable delegation sets and private hosted zones")
    marker, most = bare_id(asked.query.get("marker", "")), asked.page(MAX_PAGE)
    left = [zone for zone in route53.zones() if zone.id >= marker]
    told: dict[str, object] = {"HostedZones": Members("HostedZone", [tell_zone(zone) for zone in left[:most]])}
    if "marker" in asked.query:
        told["Marker"] = asked.query["marker"]
    told["IsTruncated"] = len(left) > most
    if len(left) > most:
        told["NextMarker"] = left[most].id
    return Answered(told | {"MaxItems": most})


def list_hosted_zones_by_name(route53: Route53, asked: Asked) -> Answered:
    """ListHostedZonesByName: by the labels of their names, the last one first."""
    name, zone_id = asked.query.get("dnsname", ""), bare_id(asked.query.get("hostedzoneid", ""))
    if zone_id and not name:
        raise invalid_input("Invalid request: hostedzoneid is given with dnsname alone")
    start, most = (_place(read_domain(name)) if name else [], zone_id), asked.page(MAX_PAGE)
    ordered = sorted(route53.zones(), key=lambda zone: (_place(zone.name), zone.id))
    left = [zone for zone in ordered if (_place(zone.name), zone.id) >= start]
    told: dict[str, object] = {"HostedZones": Members("HostedZone", [tell_zone(zone) for zone in left[:most]])}
    told |= {"DNSName": name} if name else {}
    told |= {"HostedZoneId": zone_id} if zone_id else {}
    told["IsTruncated"] = len(left) > most
    if len(left) > most:
        told |= {"NextDNSName": left[most].name, "NextHostedZoneId": left[most].id}
    return Answered(told | {"MaxItems": most})


# ---- record sets


def change_record_sets(route53: Route53, asked: Asked) -> Answered:
    """ChangeResourceRecordSets: all of them, or none."""
    fields = Fields(asked.body, "ChangeResourceRecordSetsRequest")
    fields.only("ChangeBatch")
    batch = Fields(fields.values.get("ChangeBatch", {}), "ChangeBatch")
    batch.only("Comment", "Changes")
    route53.zone(asked.id)
    changes = [Change(*read_change(item)) for item in batch.items("Changes")]
    if not changes:
        raise invalid_input("Invalid request: Missing field 'Changes' in ChangeBatch")
    made = route53.change(asked.id, changes, comment=batch.text("Comment", "", most=256))
    return Answered({"ChangeInfo": tell_change(made)})


def get_change(route53: Route53, asked: Asked) -> Answered:
    """GetChange."""
    return Answered({"ChangeInfo": tell_change(route53.change_info(asked.id))})


def list_record_sets(route53: Route53, asked: Asked) -> Answered:
    """ListResourceRecordSets: by the labels of their names, the last one first, then by type and set identifier."""
    query, most = asked.query, asked.page(MAX_RECORDS_PAGE)
    name, kind, set_id = query.get("name", ""), query.get("type", ""), query.get("identifier", "")
    if (kind and not name) or (set_id and not kind):
        raise invalid_input("Invalid request: a type is given with a name alone, an identifier with a type alone")
    start = (_place(read_domain(name)) if name else [], kind, set_id)
    left = [each for each in sorted(route53.zone(asked.id).all(), key=_order) if _order(each) >= start]
    records = Members("ResourceRecordSet", [tell_record(record) for record in left[:most]])
    told: dict[str, object] = {"ResourceRecordSets": records, "IsTruncated": len(left) > most}
    if len(left) > most:
        told |= {"NextRecordName": left[most].name, "NextRecordType": left[most].type}
        told |= {"NextRecordIdentifier": left[most].set_id} if left[most].set_id else {}
    return Answered(told | {"MaxItems": most})


def test_dns_answer(route53: Route53, asked: Asked) -> Answered:
    """TestDNSAnswer: what the zone answers now, as a client would get it."""
    query = Fields(asked.query, "the request")
    if "edns0clientsubnetip" in query or "resolverip" in query:
        raise not_served("answers that hang on where a resolver is")
    zone = route53.zone(bare_id(query.text("hostedzoneid")))
    name, kind = query.text("recordname", most=1024), query.text("recordtype")
    answer = route53.resolver.ask_zone(zone, read_domain(name), kind)
    entries = [record.data for record in answer.records]
    told = {
        "Nameserver": NAME_SERVERS[0].removesuffix("."),
        "RecordName": name,
        "RecordType": kind,
        "RecordData": Members("RecordDataEntry", entries),
        "ResponseCode": answer.rcode,
        "Protocol": "UDP",
    }
    return Answered(told)


# ---- health checks


async def create_check(route53: Route53, asked: Asked) -> Answered:
    """CreateHealthCheck."""
    fields = Fields(asked.body, "CreateHealthCheckRequest")
    fields.only("CallerReference", "HealthCheckConfig")
    config = read_config(fields.values.get("HealthCheckConfig", {}))
    check = await route53.create_check(config, _reference(fields, most=64))
    return Answered({"HealthCheck": tell_check(check)}, 201, f"{ENDPOINT}/healthcheck/{check.id}")


async def update_check(route53: Route53, asked: Asked) -> Answered:
    """UpdateHealthCheck."""
    check = route53.checks.get(asked.id)
    fields = Fields(asked.body, "UpdateHealthCheckRequest")
    version = fields.count("HealthCheckVersion", 0, high=2**31)
    config = update_config(asked.body, check.config)
    return Answered({"HealthCheck": tell_check(await route53.update_check(asked.id, config, version=version))})


def get_check(route53: Route53, asked: Asked) -> Answered:
    """GetHealthCheck."""
    return Answered({"HealthCheck": tell_check(route53.checks.get(asked.id))})


def delete_check(route53: Route53, asked: Asked) -> Answered:
    """DeleteHealthCheck: records that name it count as healthy from now on."""
    route53.checks.remove(asked.id)
    return Answered()


def list_checks(route53: Route53, asked: Asked) -> Answered:
    """ListHealthChecks, by id."""
    marker, most = asked.query.get("marker", ""), asked.page(MAX_PAGE)
    left = [check for check in route53.checks.all() if check.id >= marker]
    told: dict[str, object] = {"HealthChecks": Members("HealthCheck", [tell_check(check) for check in left[:most]])}
    if "marker" in asked.query:
        told["Marker"] = marker
    told["IsTruncated"] = len(left) > most
    if len(left) > most:
        told["NextMarker"] = left[most].id
    return Answered(told | {"MaxItems": most})


def get_check_status(route53: Route53, asked: Asked) -> Answered:
    """GetHealthCheckStatus: what the one checker saw last."""
    return _observe(route53, asked, lambda check: check.last)


def get_last_failure(route53: Route53, asked: Asked) -> Answered:
    """GetHealthCheckLastFailureReason."""
    return _observe(route53, asked, lambda check: check.last_failure)


def _observe(route53: Route53, asked: Asked, read: Callable[[HealthCheck], Seen | None]) -> Answered:
    check = route53.checks.get(asked.id)
    if check.config.type in {CALCULATED, ALARM}:
        said = f"Invalid parameter : Health checks of the type {check.config.type} have no health checkers."
        raise invalid_input(said)
    return Answered(tell_observation(read(check)))


def _reference(fields: Fields, *, most: int) -> str:
    found = fields.text("CallerReference", most=most)
    if not found:
        raise invalid_input(f"Invalid request: 'CallerReference' in {fields.where} is empty")
    return found


def _place(name: str) -> list[str]:
    """Where a name stands in a list: by its labels, the last one first."""
    return name.split(".")[::-1]


def _order(record: RecordSet) -> tuple[list[str], str, str]:
    return _place(record.name), record.type, record.set_id


OPERATIONS: Final[Mapping[str, Callable[[Route53, Asked], Answered]]] = {
    "ChangeResourceRecordSets": change_record_sets,
    "CreateHostedZone": create_hosted_zone,
    "DeleteHealthCheck": delete_check,
    "DeleteHostedZone": delete_hosted_zone,
    "GetChange": get_change,
    "GetHealthCheck": get_check,
    "GetHealthCheckLastFailureReason": get_last_failure,
    "GetHealthCheckStatus": get_check_status,
    "GetHostedZone": get_hosted_zone,
    "ListHealthChecks": list_checks,
    "ListHostedZones": list_hosted_zones,
    "ListHostedZonesByName": list_hosted_zones_by_name,
    "ListResourceRecordSets": list_record_sets,
    "TestDNSAnswer": test_dns_answer,
}
AWAITED: Final[Mapping[str, Callable[[Route53, Asked], Awaitable[Answered]]]] = {
    "CreateHealthCheck": create_check,  # an alarm is asked for in its own Region
    "UpdateHealthCheck": update_check,
}
