"""What a zone answers now: the record that routing chooses by health, where an alias leads, what there is not. Pure.

Sources: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-simple-configs.html and, for weights,
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-complex-configs.html
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.services.route53.domains import WILDCARD, is_within, parent_of
from localcloud.services.route53.records import PRIMARY, RecordSet
from localcloud.services.route53.zones import Zone

__all__ = ["API_NAME", "Answer", "Place", "Places", "Resolver", "Rr"]

ALIAS_TTL_S: Final = 60  # resource-record-sets-choosing-alias-non-alias.html: an AWS resource's own TTL
LOOPBACK: Final = "127.0.0.1"
HTTP_SERVICE: Final = "_http._tcp."
MAX_STEPS: Final = 8  # of CNAMEs and aliases, one after another
API_NAME: Final = re.compile(r"([a-z0-9-]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\.?")
"""A name of API Gateway's: of an API, or of what a regional custom domain name leads to. Its groups: id and Region."""
Place = tuple[str, int]


class Places(Protocol):
    """Where AWS's own names answer on this machine."""

    def address_of(self, hostname: str) -> Place | None:
        """Host and port of a name, such as `d-1.execute-api.us-east-1.amazonaws.com`; None where nothing answers."""
        ...


@dataclass(frozen=True, slots=True)
class Rr:
    """One resource record. `data` as the API has values: an address, a name, strings in quotes, SRV's four fields."""

    name: str
    type: str
    ttl: int
    data: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of a name and type. `rcode`: NOERROR, NXDOMAIN or REFUSED; `soa` where there is nothing to say.

    `target` is the name of AWS's that an alias leads to, "" for none; `chosen` the set identifier of the record.
    """

    rcode: str = "NOERROR"
    records: tuple[Rr, ...] = ()
    soa: Rr | None = None
    target: str = ""
    chosen: str = ""


class Resolver:
    """Answers for `zones`, by what `is_healthy` says of health checks. Weights are drawn from `rng`."""

    def __init__(
        self,
        zones: Callable[[], Iterable[Zone]],
        is_healthy: Callable[[str], bool],
        *,
        places: Places,
        rng: random.Random,
    ) -> None:
        self.places = places
        self._zones = zones
        self._is_healthy = is_healthy
        self._rng = rng

    def zone_of(self, name: str) -> Zone | None:
        """The zone that speaks for a name: the longest one that it is within."""
        found = [zone for zone in self._zones() if zone.name and is_within(name, zone.name)]
        return max(found, key=lambda zone: len(zone.name), default=None)

    def ask(self, name: str, kind: str) -> Answer:
        """The answer for `name`, written as in `domains`, and a type."""
        zone = self.zone_of(name)
        return Answer("REFUSED") if zone is None else self.ask_zone(zone, name, kind)

    def ask_zone(self, zone: Zone, name: str, kind: str) -> Answer:
        """The same, of one zone."""
        if kind == "SRV" and name.startswith(HTTP_SERVICE):
            return self._find_service(zone, name)
        records: list[Rr] = []
        found = Answer()
        for _ in range(MAX_STEPS):
            found = self._find(zone, name, kind)
            records += found.records
            last = found.records[-1] if found.records else None
            if last is None or last.type != "CNAME" or kind == "CNAME":
                break
            name = last.data if last.data.endswith(".") else f"{last.data}."
            other = self.zone_of(name)
            if other is None:
                break  # what asks goes on elsewhere
            zone = other
        rcode = "NOERROR" if records else found.rcode
        return Answer(rcode, tuple(records), found.soa, found.target, found.chosen)

    def _find_service(self, zone: Zone, name: str) -> Answer:
        """The port of an API: on a laptop all Regions have one address, so that alone tells them apart."""
        host = name.removeprefix(HTTP_SERVICE)
        found = self.ask_zone(zone, host, "A")
        place = self.places.address_of(found.target) if found.target else None
        if place is None:
            return Answer("NOERROR" if found.records else found.rcode, soa=_soa(zone))
        return Answer(records=(Rr(name, "SRV", found.records[-1].ttl, f"0 0 {place[1]} {host}"),), target=found.target)

    def _find(self, zone: Zone, name: str, kind: str) -> Answer:
        """One step: the records of the name and type, or its CNAME, or why there are none."""
        owner = self._owner(zone, name)
        if owner is None:
            return Answer("NXDOMAIN", soa=_soa(zone))
        for each in dict.fromkeys((kind, "CNAME")):
            record = self._choose(zone, owner, each)
            if record is not None:
                return self._give(zone, record, name, steps=MAX_STEPS)
        return Answer(soa=_soa(zone))

    def _owner(self, zone: Zone, name: str) -> str | None:
        """The name whose records answer for `name`: itself, or the closest wildcard. Source: RFC 4592, 2.2."""
        names = {record.name for record in zone.all()}
        above = name
        while is_within(above, zone.name):
            if any(is_within(each, above) for each in names):
                break
            above = parent_of(above)
        if above == name:
            return name
        wild = f"{WILDCARD}.{above}"
        return wild if wild in names else None

    def _choose(self, zone: Zone, name: str, kind: str) -> RecordSet | None:
        records = zone.of(name, kind)
        if len(records) < 2:
            return records[0] if records else None
        healthy = [record for record in records if self._is_well(zone, record, steps=MAX_STEPS)]
        if records[0].routing == "failover":
            records.sort(key=lambda record: record.failover != PRIMARY)
            return next((record for record in records if record in healthy), records[0])
        return self._draw(healthy, records)

    def _draw(self, healthy: list[RecordSet], records: list[RecordSet]) -> RecordSet:
        """By weight among the healthy; those without weight where no other is healthy; among all where none is."""
        weighed = [[record for record in group if record.weight] for group in (healthy, records)]
        pool = next(pool for pool in (weighed[0], healthy, weighed[1], records) if pool)
        weights = [record.weight or 0 for record in pool]
        return self._rng.choices(pool, weights if any(weights) else None)[0]

    def _is_well(self, zone: Zone, record: RecordSet, *, steps: int) -> bool:
        if record.check_id and not self._is_healthy(record.check_id):
            return False
        alias = record.alias
        if alias is None or not alias.evaluates or not is_within(alias.name, zone.name) or not steps:
            return True  # an API of API Gateway has no health that Route 53 sees
        targets = zone.of(alias.name, record.type)
        return any(self._is_well(zone, target, steps=steps - 1) for target in targets)

    def _give(self, zone: Zone, record: RecordSet, name: str, *, steps: int) -> Answer:
        """The record's values under the name that was asked for; an alias's are those of what it leads to."""
        if record.alias is None:
            given = tuple(Rr(name, record.type, record.ttl or 0, value) for value in record.values)
            return Answer(records=given, chosen=record.set_id)
        if API_NAME.fullmatch(record.alias.name):
            given = (Rr(name, "A", ALIAS_TTL_S, LOOPBACK),) if record.type == "A" else ()
            soa = None if given else _soa(zone)
            return Answer(records=given, soa=soa, target=record.alias.name.removesuffix("."), chosen=record.set_id)
        target = self._choose(zone, record.alias.name, record.type) if steps else None
        if target is None:
            return Answer(soa=_soa(zone), chosen=record.set_id)
        found = self._give(zone, target, name, steps=steps - 1)
        return Answer(found.rcode, found.records, found.soa, found.target, record.set_id)


def _soa(zone: Zone) -> Rr:
    """For negative answers, kept no longer than the lesser of its TTL and its last field. Source: RFC 2308, 3."""
    soa = zone.soa
    return Rr(zone.name, "SOA", min(soa.ttl or 0, int(soa.values[0].split()[-1])), soa.values[0])
