"""The members of requests and of templates, which spell them alike, as record sets and settings. Pure.

Every reader raises Route53Error (InvalidInput) with the member's name; what is not served is refused by name.
Source: https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from localcloud.services.route53.answers import API_NAME
from localcloud.services.route53.check_config import ALARM, AlarmName, CheckConfig
from localcloud.services.route53.domains import MalformedName, read_name
from localcloud.services.route53.errors import Route53Error, invalid_input, not_served
from localcloud.services.route53.records import PRIMARY, SECONDARY, SERVED_TYPES, Alias, RecordSet

__all__ = ["Fields", "bare_id", "read_change", "read_config", "read_domain", "read_record", "update_config"]

MAX_TTL_S: Final = 2_147_483_647
MAX_WEIGHT: Final = 255
MAX_SET_ID_CHARACTERS: Final = 128
_TYPES: Final = (
    "SOA", "A", "TXT", "NS", "CNAME", "MX", "NAPTR", "PTR", "SRV", "SPF", "AAAA", "CAA", "DS", "TLSA", "SSHFP", "SVCB",
    "HTTPS",
)  # fmt: skip
_UNSERVED: Final = {
    "CidrRoutingConfig": "IP-based routing",
    "GeoLocation": "geolocation routing",
    "GeoProximityLocation": "geoproximity routing",
    "MultiValueAnswer": "multivalue answer routing",
    "Region": "latency routing: on one machine every Region is as near as the other",
    "TrafficPolicyInstanceId": "traffic policies",
}
_RECORD: Final = (
    *("Name", "Type", "SetIdentifier", "Weight", "Failover", "TTL", "ResourceRecords", "AliasTarget", "HealthCheckId"),
    *_UNSERVED,
)
_CONFIG: Final = (
    *("AlarmIdentifier", "ChildHealthChecks", "Disabled", "EnableSNI", "FailureThreshold", "FullyQualifiedDomainName"),
    *("HealthThreshold", "IPAddress", "InsufficientDataHealthStatus", "Inverted", "MeasureLatency", "Port"),
    *("Regions", "RequestInterval", "ResourcePath", "RoutingControlArn", "SearchString", "Type"),
)
_FIXED: Final = ("MeasureLatency", "RequestInterval", "RoutingControlArn", "Type")  # UpdateHealthCheck has none of them
_RESET: Final = {
    "ChildHealthChecks": {"children": ()},
    "FullyQualifiedDomainName": {"name": ""},
    "Regions": {"regions": ()},
    "ResourcePath": {"path": ""},
}


class Fields:
    """The members of one structure; `where` names it in errors."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping):
            raise invalid_input(f"Invalid request: {where} is no structure")
        self.values = cast("Mapping[str, Any]", values)
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def only(self, *names: str) -> None:
        """Refuse what is none of `names`."""
        for name in self.values:
            if name not in names:
                raise invalid_input(f"Invalid request: {self.where} has no member '{name[:64]}'")

    def text(self, name: str, default: str | None = None, *, most: int = 4_000) -> str:
        """A text of `most` characters at most. Required where `default` is None."""
        value = self.values.get(name, default)
        if value is None:
            raise invalid_input(f"Invalid request: Missing field '{name}' in {self.where}")
        if not isinstance(value, str):
            raise invalid_input(f"Invalid request: '{name}' in {self.where} is no text")
        if len(value) > most:
            raise invalid_input(f"Invalid request: '{name}' in {self.where} has more than {most} characters")
        return value

    def number(self, name: str, default: int | None, *, low: int, high: int) -> int | None:
        """A whole number; `default` where it is not given."""
        if name not in self.values:
            return default
        text = self.text(name, most=20)
        if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdecimal()):
            raise invalid_input(f"Invalid request: '{name}' in {self.where} is no number")
        if not low <= int(text) <= high:
            raise invalid_input(f"Invalid request: '{name}' in {self.where} must be from {low} to {high}")
        return int(text)

    def count(self, name: str, default: int, *, high: int) -> int:
        """A whole number from 0 to `high`, that has a default."""
        found = self.number(name, default, low=0, high=high)
        return default if found is None else found

    def flag(self, name: str, default: bool | None = None) -> bool:  # noqa: FBT001 - the default of a boolean
        """`true` or `false`. Required where `default` is None."""
        if name not in self.values and default is not None:
            return default
        text = self.text(name, most=5)
        if text not in {"true", "false"}:
            raise invalid_input(f"Invalid request: '{name}' in {self.where} must be true or false")
        return text == "true"

    def items(self, name: str) -> Sequence[object]:
        """A list, empty where it is not given."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise invalid_input(f"Invalid request: '{name}' in {self.where} is no list")
        return cast("list[object]", value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where it is not given."""
        found = self.items(name)
        if any(not isinstance(item, str) for item in found):
            raise invalid_input(f"Invalid request: '{name}' in {self.where} holds what is no text")
        return tuple(str(item) for item in found)


def bare_id(text: str) -> str:
    """An id without `/hostedzone/` or `/change/` before it."""
    return text.rpartition("/")[2]


def read_domain(text: str) -> str:
    """A name as in `domains`. Raises Route53Error (InvalidDomainName)."""
    try:
        return read_name(text)
    except MalformedName as error:
        raise Route53Error("InvalidDomainName", f"{text[:255]} is not a valid domain name: {error}") from error


def read_change(values: object) -> tuple[str, RecordSet]:
    """A change's action, and its record set."""
    fields = Fields(values, "Change")
    fields.only("Action", "ResourceRecordSet")
    action = fields.text("Action")
    if action not in {"CREATE", "DELETE", "UPSERT"}:
        raise invalid_input("Invalid request: Action must be one of CREATE, DELETE, UPSERT")
    return action, read_record(fields.values.get("ResourceRecordSet", {}), action)


def read_record(values: object, action: str) -> RecordSet:
    """A record set that could stand alone; whether it fits its zone is the zone's to say."""
    fields = Fields(values, "ResourceRecordSet")
    fields.only(*_RECORD)
    where = f"Change with [Action={action}, Name={fields.text('Name', '', most=1024)}, "
    fields.where = f"{where}Type={fields.text('Type', '')}, SetIdentifier={fields.text('SetIdentifier', 'null')}]"
    name, kind = read_domain(fields.text("Name", most=1024)), fields.text("Type")
    _refuse_unserved(fields, kind)
    record = RecordSet(
        name=name,
        type=kind,
        set_id=fields.text("SetIdentifier", "", most=MAX_SET_ID_CHARACTERS),
        failover=fields.text("Failover", ""),
        weight=fields.number("Weight", None, low=0, high=MAX_WEIGHT),
        ttl=fields.number("TTL", None, low=0, high=MAX_TTL_S),
        values=tuple(_read_value(item) for item in fields.items("ResourceRecords")),
        alias=_read_alias(fields.values["AliasTarget"], fields.where) if "AliasTarget" in fields else None,
        check_id=fields.text("HealthCheckId", "", most=64),
    )
    _judge(record, fields.where)
    return record


def _refuse_unserved(fields: Fields, kind: str) -> None:
    if kind not in _TYPES:
        raise invalid_input(f"Invalid request: Type must be one of {', '.join(_TYPES)} in {fields.where}")
    if kind not in SERVED_TYPES:
        raise not_served(f"record sets of the type {kind}; it serves {', '.join(SERVED_TYPES)}")
    for member, what in _UNSERVED.items():
        if member in fields:
            raise not_served(what)


def _judge(record: RecordSet, where: str) -> None:
    is_plain = record.ttl is not None and bool(record.values)
    if (record.alias is not None) == is_plain or (record.alias is not None and (record.values or record.ttl)):
        found = "none found" if record.alias is None else "more than one found"
        said = "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], "
        raise invalid_input(f"Invalid request: {said}but {found} in {where}")
    if record.failover not in {"", PRIMARY, SECONDARY}:
        raise invalid_input(f"Invalid request: Failover must be PRIMARY or SECONDARY in {where}")
    if record.failover and record.weight is not None:
        said = "Expected exactly one of [Weight, Region, Failover, GeoLocation, or MultiValueAnswer]"
        raise invalid_input(f"Invalid request: {said}, but more than one found in {where}")
    if record.routing == "simple" and record.set_id:
        said = "Expected exactly one of [Weight, Region, Failover, GeoLocation, or MultiValueAnswer]"
        raise invalid_input(f"Invalid request: {said}, but none found in {where}")
    if record.routing != "simple" and not record.set_id:
        raise invalid_input(f"Invalid request: Missing field 'SetIdentifier' in {where}")


def _read_value(item: object) -> str:
    fields = Fields(item, "ResourceRecord")
    fields.only("Value")
    return fields.text("Value")


def _read_alias(values: object, where: str) -> Alias:
    fields = Fields(values, f"AliasTarget of {where}")
    fields.only("HostedZoneId", "DNSName", "EvaluateTargetHealth")
    name = fields.text("DNSName", most=1024)
    if name.endswith(("amazonaws.com", "amazonaws.com.", ".cloudfront.net", ".cloudfront.net.")) and not (
        API_NAME.fullmatch(name.lower())
    ):
        raise not_served(f"aliases of {name}; it serves those of API Gateway's names, and of other records of the zone")
    return Alias(bare_id(fields.text("HostedZoneId", most=64)), read_domain(name), fields.flag("EvaluateTargetHealth"))


def read_config(values: object) -> CheckConfig:
    """The settings of a new health check; whether they make sense is `check_config.judge_config`'s to say."""
    fields = Fields(values, "HealthCheckConfig")
    fields.only(*_CONFIG)
    base = CheckConfig(type=fields.text("Type"))
    base = replace(
        base,
        interval_s=fields.count("RequestInterval", base.interval_s, high=30),
        measures_latency=fields.flag("MeasureLatency", default=False),
        sni=base.is_https,  # API_HealthCheckConfig.html does not say; the console and the API have it on for HTTPS
    )
    config = _fill(fields, base)
    if config.type != ALARM and "InsufficientDataHealthStatus" in fields:
        said = "Basic health checks must not have an insufficient data state specified."
        raise invalid_input(f"Invalid parameter : {said}")
    return config


def update_config(values: Mapping[str, Any], config: CheckConfig) -> CheckConfig:
    """The settings after an UpdateHealthCheck: what is given is changed, what ResetElements names is taken away."""
    fields = Fields(values, "UpdateHealthCheckRequest")
    allowed = [name for name in _CONFIG if name not in _FIXED]
    fields.only(*allowed, "HealthCheckVersion", "ResetElements")
    for name in fields.texts("ResetElements"):
        if name not in _RESET:
            raise invalid_input(f"Invalid request: ResetElements must be among {', '.join(_RESET)}")
        config = replace(config, **_RESET[name])
    return _fill(fields, config)


def _fill(fields: Fields, config: CheckConfig) -> CheckConfig:
    return replace(
        config,
        address=fields.text("IPAddress", config.address, most=45),
        port=fields.count("Port", config.port, high=65_535),
        name=fields.text("FullyQualifiedDomainName", config.name),
        path=fields.text("ResourcePath", config.path),
        search=fields.text("SearchString", config.search),
        threshold=fields.count("FailureThreshold", config.threshold, high=10),
        inverted=fields.flag("Inverted", default=config.inverted),
        disabled=fields.flag("Disabled", default=config.disabled),
        sni=fields.flag("EnableSNI", default=config.sni),
        health_threshold=fields.count("HealthThreshold", config.health_threshold, high=256),
        children=fields.texts("ChildHealthChecks") if "ChildHealthChecks" in fields else config.children,
        regions=fields.texts("Regions") if "Regions" in fields else config.regions,
        alarm=_read_alarm(fields.values["AlarmIdentifier"]) if "AlarmIdentifier" in fields else config.alarm,
        insufficient=fields.text("InsufficientDataHealthStatus", config.insufficient),
    )


def _read_alarm(values: object) -> AlarmName:
    fields = Fields(values, "AlarmIdentifier")
    fields.only("Region", "Name")
    return AlarmName(fields.text("Region", most=64), fields.text("Name", most=256))
