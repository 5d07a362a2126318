"""What a person sees of Route 53: names, what they answer now, and health checks. Plain data, for JSON.

Asks as a client does, so weights are drawn; changes nothing.
"""

from __future__ import annotations

from typing import Any

from localcloud.services.route53.health import HealthCheck, Seen
from localcloud.services.route53.model import Route53
from localcloud.services.route53.records import RecordSet
from localcloud.services.route53.zones import Zone

__all__ = ["snapshot"]


def snapshot(route53: Route53) -> dict[str, Any]:
    """`{"zones": [...], "checks": [...]}`; dates in epoch seconds.

    A zone: `id`, `name`, `made_here`, `names`. A name: `name`, `type`, `answers` (what is said now), `ttl_s`, `target`
    (the name of AWS's that an alias leads to), `place` (where that answers here, `127.0.0.1:4611`, "" for nowhere),
    `chosen` (a set identifier, "" for a simple record) and `records`. A record: `set_id`, `routing`, `role`, `check`,
    `healthy`, `values`, `alias`.
    A check: `id`, `name`, `type`, `about`, `healthy`, `since_s`, `disabled`, `inverted`, `last` and `last_failure`
    (`ok`, `said`, `at_s`; None before the first look), `in_a_row` of `threshold` looks that speak against the status.
    """
    return {
        "zones": [_tell_zone(route53, zone) for zone in route53.zones()],
        "checks": [_tell_check(route53, check) for check in route53.checks.all()],
    }


def _tell_zone(route53: Route53, zone: Zone) -> dict[str, Any]:
    pairs = sorted({(record.name, record.type) for record in zone.records.values()})
    names = [_tell_name(route53, zone, name, kind=kind) for name, kind in pairs]
    return {"id": zone.id, "name": zone.name, "made_here": bool(zone.given), "names": names}


def _tell_name(route53: Route53, zone: Zone, name: str, *, kind: str) -> dict[str, Any]:
    answer = route53.resolver.ask_zone(zone, name, kind)
    place = route53.resolver.places.address_of(answer.target) if answer.target else None
    return {
        "name": name,
        "type": kind,
        "answers": [record.data for record in answer.records],
        "ttl_s": answer.records[-1].ttl if answer.records else 0,
        "target": answer.target,
        "place": f"{place[0]}:{place[1]}" if place is not None else "",
        "chosen": answer.chosen,
        "records": [_tell_record(route53, record) for record in zone.of(name, kind)],
    }


def _tell_record(route53: Route53, record: RecordSet) -> dict[str, Any]:
    return {
        "set_id": record.set_id,
        "routing": record.routing,
        "role": record.failover or ("" if record.weight is None else str(record.weight)),
        "check": record.check_id,
        "healthy": not record.check_id or route53.checks.is_healthy(record.check_id),
        "values": list(record.values),
        "alias": record.alias.name if record.alias is not None else "",
    }


def _tell_check(route53: Route53, check: HealthCheck) -> dict[str, Any]:
    config = check.config
    alarm = f"{config.alarm.name} in {config.alarm.region}" if config.alarm is not None else ""
    endpoint = f"{config.name or config.address}{config.path}"
    return {
        "id": check.id,
        "name": check.tags.get("Name", ""),
        "type": config.type,
        "about": alarm or endpoint or ", ".join(config.children),
        "healthy": route53.checks.is_healthy(check.id),
        "since_s": check.since_s,
        "disabled": config.disabled,
        "inverted": config.inverted,
        "in_a_row": check.run,
        "threshold": config.threshold,
        "last": _tell_seen(check.last),
        "last_failure": _tell_seen(check.last_failure),
    }


def _tell_seen(seen: Seen | None) -> dict[str, Any] | None:
    return None if seen is None else {"ok": seen.ok, "said": seen.said, "at_s": seen.at_s}
