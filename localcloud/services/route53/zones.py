"""Hosted zones and the changes of their record sets: a batch is made whole, or not at all. Pure.

A zone that is named here by its id alone counts as one that exists: its name is the longest that all of its records
are within, and it is forgotten with its last record.
Source: https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from localcloud.services.route53.domains import is_within, shared_suffix
from localcloud.services.route53.errors import invalid_batch
from localcloud.services.route53.records import RecordKey, RecordSet, find_faults

__all__ = ["NAME_SERVERS", "Change", "Zone", "apply_changes"]

NAME_SERVERS: Final = (  # AWS gives each zone four; these lead nowhere
    "ns-1.awsdns-00.com.",
    "ns-513.awsdns-00.net.",
    "ns-1025.awsdns-00.org.",
    "ns-1537.awsdns-00.co.uk.",
)
_NS_TTL_S: Final = 172_800  # SOA-NSrecords.html, as is the SOA record below
_SOA_TTL_S: Final = 900
_SOA: Final = f"{NAME_SERVERS[0]} awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
_FEWEST_LABELS: Final = 2  # of the name of a zone that is known by its id alone: nobody has a zone `com.`


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a batch: CREATE, DELETE or UPSERT."""

    action: str
    record: RecordSet


@dataclass(slots=True)
class Zone:
    """One zone. `given` is its name, "" where it is known by its id alone."""

    id: str
    given: str
    caller_reference: str
    comment: str = ""
    records: dict[RecordKey, RecordSet] = field(default_factory=dict[RecordKey, RecordSet])

    @property
    def name(self) -> str:
        """Its name; "" of one that is known by its id and has no records."""
        return self.given or shared_suffix([record.name for record in self.records.values()])

    def of(self, name: str, kind: str) -> list[RecordSet]:
        """Every record set of a name and type, by set identifier."""
        found = [record for record in self.all() if (record.name, record.type) == (name, kind)]
        return sorted(found, key=lambda record: record.set_id)

    def all(self) -> Iterator[RecordSet]:
        """Every record set, with the zone's own SOA and NS."""
        if self.name:
            yield RecordSet(name=self.name, type="NS", ttl=_NS_TTL_S, values=NAME_SERVERS)
            yield self.soa
        yield from self.records.values()

    @property
    def soa(self) -> RecordSet:
        """Its SOA record."""
        return RecordSet(name=self.name, type="SOA", ttl=_SOA_TTL_S, values=(_SOA,))


def apply_changes(zone: Zone, changes: Iterable[Change]) -> None:
    """Make all of `changes`. Raises Route53Error (InvalidChangeBatch), and then none is made."""
    records = dict(zone.records)
    faults: list[str] = []
    for change in changes:
        found = _judge(zone, records, change)
        faults += found
        if not found and change.action == "DELETE":
            del records[change.record.key]
        elif not found:
            records[change.record.key] = change.record
    faults = faults or _judge_whole(zone, records)
    if faults:
        raise invalid_batch(faults)
    zone.records = records


def _judge(zone: Zone, records: Mapping[RecordKey, RecordSet], change: Change) -> list[str]:
    record, held = change.record, records.get(change.record.key)
    if zone.given and not is_within(record.name, zone.given):
        return [f"RRSet with DNS name {record.name} is not permitted in zone {zone.given}"]
    if change.action == "DELETE":
        if held is None:
            return [f"Tried to delete resource record set {_tell(record)} but it was not found"]
        if held != record:
            said = "but the values provided do not match the current values"
            return [f"Tried to delete resource record set {_tell(record)} {said}"]
        return []
    if change.action == "CREATE" and held is not None:
        return [f"Tried to create resource record set {_tell(record)} but it already exists"]
    return find_faults(record)


def _judge_whole(zone: Zone, records: Mapping[RecordKey, RecordSet]) -> list[str]:
    """What is wrong between records that are each right."""
    faults: list[str] = []
    after = Zone(zone.id, zone.given, zone.caller_reference, records=dict(records))
    if records and after.name.count(".") < _FEWEST_LABELS:
        name = list(records)[-1][0]
        faults.append(f"RRSet with DNS name {name} is not permitted in zone {zone.name or zone.id}")
    for record in records.values():
        others = [other for other in records.values() if other.name == record.name and other is not record]
        if record.type == "CNAME":
            faults += _judge_cname(after, record, others)
        same = [other for other in others if other.type == record.type]
        if any(other.routing != record.routing for other in same):
            faults.append(f"{_tell_fully(record)} cannot be created as other RRSets exist with the same name and type.")
        elif record.failover and any(other.failover == record.failover for other in same):
            said = f"cannot be created because another RRSet with Failover {record.failover} exists."
            faults.append(f"{_tell_fully(record)} {said}")
    return list(dict.fromkeys(faults))


def _judge_cname(zone: Zone, record: RecordSet, others: Iterable[RecordSet]) -> list[str]:
    if zone.given and record.name == zone.given:
        said = f"is not permitted at apex in zone {zone.given}"
        return [f"RRSet of type CNAME with DNS name {record.name} {said}"]
    if any(other.type != "CNAME" for other in others):
        said = f"is not permitted as it conflicts with other records with the same DNS name in zone {zone.name}"
        return [f"RRSet of type CNAME with DNS name {record.name} {said}"]
    return []


def _tell(record: RecordSet) -> str:
    identifier = f", set-identifier='{record.set_id}'" if record.set_id else ""
    return f"[name='{record.name}', type='{record.type}'{identifier}]"


def _tell_fully(record: RecordSet) -> str:
    routing = f", and Failover {record.failover}" if record.failover else ""
    return f"RRSet with DNS name {record.name}, type {record.type}, SetIdentifier {record.set_id or 'null'}{routing}"
