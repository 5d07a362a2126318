"""Route 53 for tests: places, alarms and metrics that a test sets, and DNS as a client writes and reads it."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.clock import LoopClock
from localcloud.services.route53.alarm_data import AlarmDefinition, NoAlarm
from localcloud.services.route53.answers import Place
from localcloud.services.route53.check_config import AlarmName, CheckConfig
from localcloud.services.route53.dns import TYPES
from localcloud.services.route53.domains import join_labels, to_labels
from localcloud.services.route53.health import Outcome
from localcloud.services.route53.model import Ports, Route53
from localcloud.services.route53.reading import read_record
from localcloud.services.route53.zones import Change, Zone

EAST, WEST = "d-east.execute-api.us-east-1.amazonaws.com", "d-west.execute-api.us-west-2.amazonaws.com"
REGIONAL_ZONE = "Z1UJRXOUMOOFQ8"
HOME_ALARM = AlarmDefinition("app", "IsHome", "Maximum", (), 60, 1, 1.0, "GreaterThanOrEqualToThreshold")


@dataclass
class World:
    """What Route 53 asks and tells, all of it in a test's hands. `asked` are the loop's times of looks."""

    places: dict[str, Place] = field(default_factory=lambda: {EAST: ("127.0.0.1", 4611), WEST: ("127.0.0.1", 4621)})
    outcomes: dict[str, bool] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    definitions: dict[str, AlarmDefinition] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    is_dark: bool = False
    metrics: list[tuple[str, str, float, str]] = field(default_factory=list)
    look_s: float = 0.0

    def address_of(self, hostname: str) -> Place | None:
        return self.places.get(hostname)

    async def ask(self, config: CheckConfig) -> Outcome:
        self.asked.append((asyncio.get_running_loop().time(), config.name))
        await asyncio.sleep(self.look_s)
        ok = self.outcomes.get(config.name, True)
        return Outcome(ok, "Success: said" if ok else "Failure: said", 1.5, 2.5)

    async def define(self, alarm: AlarmName) -> AlarmDefinition | None:
        if self.is_dark:
            return None
        if alarm.name not in self.definitions:
            raise NoAlarm(f"{alarm.region} has no metric alarm {alarm.name}")
        return self.definitions[alarm.name]

    async def read(self, _region: str, _definition: AlarmDefinition, _now_s: float) -> Mapping[int, float]:
        return {} if self.is_dark else self.values

    def put(self, check_id: str, name: str, value: float, *, unit: str) -> None:
        self.metrics.append((check_id, name, value, unit))


def open_route53(world: World | None = None) -> Route53:
    """Route 53 on the running loop's clock."""
    world = world or World()
    clock = LoopClock(asyncio.get_running_loop())
    return Route53(Ports(clock, random.Random(1), world, world, world, world))


def record(name: str, kind: str = "A", **members: Any) -> Change:
    """A CREATE of a record set, with the API's members; a plain one has a TTL of 300 s."""
    action = members.pop("action", "CREATE")
    values = members.pop("values", None)
    told: dict[str, Any] = {"Name": name, "Type": kind, **members}
    if values is not None:
        told |= {"ResourceRecords": [{"Value": value} for value in values], "TTL": members.get("TTL", "300")}
    return Change(action, read_record(told, action))


def alias(name: str, target: str, **members: Any) -> Change:
    """A CREATE of an alias to a name of API Gateway's, or of the zone's."""
    evaluates = members.pop("evaluates", "false")
    told = {"HostedZoneId": REGIONAL_ZONE, "DNSName": target, "EvaluateTargetHealth": evaluates}
    return record(name, AliasTarget=told, **members)


def pair(route53: Route53, *, primary: str = "", secondary: str = "") -> Zone:
    """`example.com` with the pair of failover records of `api.example.com`, and their checks."""
    zone, _ = route53.create_zone("example.com.", "pair")
    east = {"HealthCheckId": primary} if primary else {}
    west = {"HealthCheckId": secondary} if secondary else {}
    first = alias("api.example.com", EAST, SetIdentifier="primary", Failover="PRIMARY", **east)
    second = alias("api.example.com", WEST, SetIdentifier="secondary", Failover="SECONDARY", **west)
    route53.change(zone.id, [first, second])
    return zone


# ---- DNS as a client speaks it


def write_query(name: str, kind: str | int = "A", *, number: int = 7, edns: int = 0, flags: int = 0x0100) -> bytes:
    """A query for `name`; `edns` is the client's UDP size, 0 for a client without EDNS."""
    labels = b"".join(bytes((len(label),)) + label for label in to_labels(name)) + b"\0"
    code = TYPES[kind] if isinstance(kind, str) else kind
    more = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    return struct.pack("!6H", number, flags, 1, 0, 0, int(bool(edns))) + labels + struct.pack("!HH", code, 1) + more


@dataclass(frozen=True)
class Reply:
    """An answer as a client reads it: records as (name, type, TTL, data), data still as bytes but for A and names."""

    number: int
    flags: int
    rcode: int
    answers: list[tuple[str, str, int, Any]]
    authority: list[tuple[str, str, int, Any]]


def read_reply(packet: bytes) -> Reply:
    """Read an answer; fails where a byte is left over."""
    number, flags, questions, answers, authorities, more = struct.unpack_from("!6H", packet)
    at = 12
    for _ in range(questions):
        _, at = _name(packet, at)
        at += 4
    sections: list[list[tuple[str, str, int, Any]]] = []
    for count in (answers, authorities, more):
        found: list[tuple[str, str, int, Any]] = []
        for _ in range(count):
            entry, at = _record(packet, at)
            found.append(entry)
        sections.append(found)
    assert at == len(packet)
    return Reply(number, flags, flags & 15, sections[0], sections[1])


def _record(packet: bytes, at: int) -> tuple[tuple[str, str, int, Any], int]:
    owner, at = _name(packet, at)
    kind, _, ttl, length = struct.unpack_from("!HHIH", packet, at)
    at += 10
    name = next((name for name, number in TYPES.items() if number == kind), str(kind))
    data: Any = packet[at : at + length]
    if name == "A":
        data = ".".join(map(str, data))
    elif name in {"CNAME", "NS"}:
        data, _ = _name(packet, at)
    elif name == "SRV":
        data = (*struct.unpack_from("!3H", packet, at), _name(packet, at + 6)[0])
    return (owner, name, ttl, data), at + length


def _name(packet: bytes, at: int) -> tuple[str, int]:
    labels: list[bytes] = []
    end = -1
    while packet[at]:
        if packet[at] & 0xC0:
            end = end if end >= 0 else at + 2
            at = struct.unpack_from("!H", packet, at)[0] & 0x3FFF
            continue
        labels.append(packet[at + 1 : at + 1 + packet[at]])
        at += 1 + packet[at]
    return join_labels(labels) or ".", end if end >= 0 else at + 1
