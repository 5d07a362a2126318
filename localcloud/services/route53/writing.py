"""Zones, record sets and health checks as answers have them. Pure.

Source: https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheck.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from localcloud.services.route53.check_config import ALARM, CALCULATED, CheckConfig
from localcloud.services.route53.health import HealthCheck, Seen
from localcloud.services.route53.model import ChangeInfo
from localcloud.services.route53.records import RecordSet
from localcloud.services.route53.xml import Members
from localcloud.services.route53.zones import NAME_SERVERS, Zone

__all__ = ["tell_change", "tell_check", "tell_delegation", "tell_observation", "tell_record", "tell_zone"]

CHECKER_ADDRESS = "127.0.0.1"
CHECKER_REGION = "us-east-1"


def tell_zone(zone: Zone) -> dict[str, Any]:
    """A HostedZone."""
    config = {"Comment": zone.comment} if zone.comment else {}
    return {
        "Id": f"/hostedzone/{zone.id}",
        "Name": zone.name,
        "CallerReference": zone.caller_reference,
        "Config": config | {"PrivateZone": False},
        "ResourceRecordSetCount": sum(1 for _ in zone.all()),
    }


def tell_delegation() -> dict[str, Any]:
    """A DelegationSet."""
    return {"NameServers": Members("NameServer", [name.removesuffix(".") for name in NAME_SERVERS])}


def tell_change(change: ChangeInfo) -> dict[str, Any]:
    """A ChangeInfo."""
    told = {"Id": f"/change/{change.id}", "Status": "INSYNC", "SubmittedAt": _date(change.at_s)}
    return told | ({"Comment": change.comment} if change.comment else {})


def tell_record(record: RecordSet) -> dict[str, Any]:
    """A ResourceRecordSet."""
    told: dict[str, Any] = {"Name": record.name, "Type": record.type}
    if record.set_id:
        told["SetIdentifier"] = record.set_id
    if record.weight is not None:
        told["Weight"] = record.weight
    if record.failover:
        told["Failover"] = record.failover
    if record.ttl is not None:
        told["TTL"] = record.ttl
    if record.values:
        told["ResourceRecords"] = Members("ResourceRecord", [{"Value": value} for value in record.values])
    if record.alias is not None:
        told["AliasTarget"] = {
            "HostedZoneId": record.alias.zone_id,
            "DNSName": record.alias.name,
            "EvaluateTargetHealth": record.alias.evaluates,
        }
    if record.check_id:
        told["HealthCheckId"] = record.check_id
    return told


def tell_check(check: HealthCheck) -> dict[str, Any]:
    """A HealthCheck."""
    told: dict[str, Any] = {
        "Id": check.id,
        "CallerReference": check.caller_reference,
        "HealthCheckConfig": _tell_config(check.config),
        "HealthCheckVersion": check.version,
    }
    definition = check.definition
    if definition is not None:
        dimensions = [{"Name": name, "Value": value} for name, value in definition.dimensions]
        told["CloudWatchAlarmConfiguration"] = {
            "EvaluationPeriods": definition.periods,
            "Threshold": definition.threshold,
            "ComparisonOperator": definition.comparison,
            "Period": definition.period_s,
            "MetricName": definition.metric,
            "Namespace": definition.namespace,
            "Statistic": definition.statistic,
            "Dimensions": Members("Dimension", dimensions),
        }
    return told


def tell_observation(seen: Seen | None) -> dict[str, Any]:
    """The HealthCheckObservations of the one checker; none before the first look."""
    if seen is None:
        return {"HealthCheckObservations": ""}
    told = {
        "Region": CHECKER_REGION,
        "IPAddress": CHECKER_ADDRESS,
        "StatusReport": {"Status": seen.said, "CheckedTime": _date(seen.at_s)},
    }
    return {"HealthCheckObservations": Members("HealthCheckObservation", [told])}


def _tell_config(config: CheckConfig) -> dict[str, Any]:
    told: dict[str, Any] = {"Type": config.type, "Inverted": config.inverted, "Disabled": config.disabled}
    if config.is_endpoint:
        given = {
            "IPAddress": config.address,
            "ResourcePath": config.path,
            "FullyQualifiedDomainName": config.name,
            "SearchString": config.search,
        }
        told |= {name: value for name, value in given.items() if value}
        told |= {
            "Port": config.with_port(),
            "RequestInterval": config.interval_s,
            "FailureThreshold": config.threshold,
            "MeasureLatency": config.measures_latency,
            "EnableSNI": config.sni,
        }
    if config.type == CALCULATED:
        children = Members("ChildHealthCheck", config.children)
        told |= {"HealthThreshold": config.health_threshold, "ChildHealthChecks": children}
    if config.type == ALARM and config.alarm is not None:
        told["AlarmIdentifier"] = {"Region": config.alarm.region, "Name": config.alarm.name}
        told["InsufficientDataHealthStatus"] = config.insufficient
    if config.regions:
        told["Regions"] = Members("Region", config.regions)
    return told


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
