"""Route 53 of an account: its zones, its health checks, and what they answer together. No wire.

Made without I/O; `run` looks at health checks, and whoever serves DNS asks `resolver`.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.clock import Clock
from localcloud.services.route53.alarm_data import AlarmReader, NoAlarm, UnfitAlarm
from localcloud.services.route53.answers import Places, Resolver
from localcloud.services.route53.check_config import CheckConfig, judge_config
from localcloud.services.route53.checker import Checkers, Probe
from localcloud.services.route53.errors import Route53Error, invalid_input, no_such_check, no_such_zone
from localcloud.services.route53.health import HealthCheck, HealthChecks, Measures
from localcloud.services.route53.probe import NetworkProbe, locate
from localcloud.services.route53.zones import Change, Zone, apply_changes
from localcloud.uuids import new_uuid

__all__ = ["ChangeInfo", "Ports", "Route53"]

MAX_ZONES: Final = 500  # Route 53 quotas, DNSLimitations.html: hosted zones of an account
MAX_CHECKS: Final = 200  # the same: health checks of an account
MAX_RECORDS: Final = 10_000  # the same: record sets of a zone
MAX_CHANGES: Final = 1_000  # the same: changes of a request, an UPSERT counts twice
MAX_KEPT_CHANGES: Final = 1_000  # ids that GetChange knows; memory has a bound
_ID_CHARACTERS: Final = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True)
class ChangeInfo:
    """A change that was made: all of them are in sync at once here."""

    id: str
    at_s: float
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Ports:
    """What Route 53 asks and tells. `probe` None asks over the network."""

    clock: Clock
    rng: random.Random
    places: Places
    alarms: AlarmReader
    measures: Measures
    probe: Probe | None = None


class Route53:
    """Zones and health checks. Not for use by several threads."""

    def __init__(self, ports: Ports) -> None:
        self._clock = ports.clock
        self._rng = ports.rng
        self._alarms = ports.alarms
        self._zones: dict[str, Zone] = {}
        self._changes: dict[str, ChangeInfo] = {}
        self.checks = HealthChecks(ports.clock, ports.measures)
        draws = random.Random(ports.rng.getrandbits(64))  # noqa: S311 - weights, not secrets
        self.resolver = Resolver(self._zones.values, self.checks.is_healthy, places=ports.places, rng=draws)
        probe = ports.probe or NetworkProbe(lambda config: locate(config, self.resolver))
        self._checkers = Checkers(self.checks, probe, ports.alarms)

    async def run(self) -> None:
        """Look at what health checks are about, until cancelled."""
        await self._checkers.run()

    # ---- zones

    def create_zone(self, name: str, caller_reference: str, *, comment: str = "") -> tuple[Zone, ChangeInfo]:
        """A new zone. Raises Route53Error: HostedZoneAlreadyExists, TooManyHostedZones."""
        if any(zone.given and zone.caller_reference == caller_reference for zone in self._zones.values()):
            said = f"A hosted zone has already been created with the specified caller reference {caller_reference}."
            raise Route53Error("HostedZoneAlreadyExists", said, status=409)
        if len(self._zones) >= MAX_ZONES:
            raise Route53Error("TooManyHostedZones", "Limits Exceeded: hosted zones of an account.")
        zone = Zone(self._new_id("Z"), name, caller_reference, comment)
        self._zones[zone.id] = zone
        return zone, self._note()

    def delete_zone(self, zone_id: str) -> ChangeInfo:
        """Raises Route53Error: NoSuchHostedZone, HostedZoneNotEmpty."""
        zone = self.zone(zone_id)
        if zone.records:
            said = "The specified hosted zone contains non-required resource record sets and so cannot be deleted."
            raise Route53Error("HostedZoneNotEmpty", said)
        del self._zones[zone.id]
        return self._note()

    def zone(self, zone_id: str) -> Zone:
        """The zone with an id. Raises Route53Error (NoSuchHostedZone)."""
        found = self._zones.get(zone_id)
        if found is None:
            raise no_such_zone(zone_id)
        return found

    def zones(self) -> list[Zone]:
        """Every zone, by id."""
        return [self._zones[zone_id] for zone_id in sorted(self._zones)]

    def zone_named(self, name: str) -> Zone | None:
        """The zone whose name this is, None where there is none."""
        return next((zone for zone in self.zones() if zone.name == name), None)

    def change(self, zone_id: str, changes: Iterable[Change], *, comment: str = "", adopts: bool = False) -> ChangeInfo:
        """Make all changes, or none. `adopts`: a zone that was not made here counts as one that exists.

        Raises Route53Error: NoSuchHostedZone, NoSuchHealthCheck, InvalidChangeBatch.
        """
        wanted = list(changes)
        adopted = Zone(zone_id, "", "") if adopts and zone_id not in self._zones else None
        zone = adopted or self.zone(zone_id)
        if sum(2 if each.action == "UPSERT" else 1 for each in wanted) > MAX_CHANGES:
            raise Route53Error("InvalidChangeBatch", f"[Number of records limit of {MAX_CHANGES} exceeded.]")
        if len(zone.records) + len(wanted) > MAX_RECORDS + MAX_CHANGES:
            raise Route53Error("InvalidChangeBatch", f"[The zone has {MAX_RECORDS} resource record sets at most.]")
        for each in wanted:
            if each.record.check_id and each.action != "DELETE":
                self.checks.get(each.record.check_id)
        apply_changes(zone, wanted)
        if adopted is not None:
            self._zones[zone_id] = adopted
        elif not zone.given and not zone.records:
            del self._zones[zone_id]
        return self._note(comment)

    def change_info(self, change_id: str) -> ChangeInfo:
        """Raises Route53Error (NoSuchChange)."""
        found = self._changes.get(change_id)
        if found is None:
            said = f"Could not find resource with ID: {change_id}"
            raise Route53Error("NoSuchChange", said, status=404)
        return found

    # ---- health checks

    async def create_check(
        self, config: CheckConfig, caller_reference: str, *, tags: Mapping[str, str] | None = None
    ) -> HealthCheck:
        """A new check; the same one for the same reference and settings. Raises Route53Error."""
        held = next((each for each in self.checks.all() if each.caller_reference == caller_reference), None)
        if held is not None:
            if held.config == config:
                return held
            said = f"A health check with the caller reference {caller_reference} has already been created."
            raise Route53Error("HealthCheckAlreadyExists", said, status=409)
        check = HealthCheck(new_uuid(self._rng), caller_reference, config, self._clock.time(), tags=tags or {})
        await self._judge(check, config)
        if len(self.checks.all()) >= MAX_CHECKS:
            raise Route53Error("TooManyHealthChecks", f"There are {MAX_CHECKS} health checks at most.")
        self.checks.add(check)
        return check

    async def update_check(self, check_id: str, config: CheckConfig, *, version: int = 0) -> HealthCheck:
        """Other settings; where `version` is not 0, it has to be the check's. Raises Route53Error."""
        check = self.checks.get(check_id)
        if version and version != check.version:
            said = f"The health check version {version} does not match the current version {check.version}."
            raise Route53Error("HealthCheckVersionMismatch", said, status=409)
        await self._judge(check, config)
        self.checks.change(check, config)
        return check

    async def _judge(self, check: HealthCheck, config: CheckConfig) -> None:
        """Raises Route53Error. An alarm's settings are read now; a Region that gives no answer is asked again later."""
        judge_config(config)
        for child in config.children:
            if self.checks.find(child) is None:
                raise no_such_check(child)
        if self._reaches(config.children, check.id):
            raise invalid_input("Invalid parameter : A health check must not be among its own child health checks.")
        if config.alarm is not None:
            try:
                check.definition = await self._alarms.define(config.alarm)
            except (NoAlarm, UnfitAlarm) as error:
                raise invalid_input(f"Invalid parameter : {error}.") from error

    def _reaches(self, children: Iterable[str], check_id: str) -> bool:
        left, seen = list(children), set[str]()
        while left:
            child = left.pop()
            if child == check_id:
                return True
            check = self.checks.find(child)
            if child not in seen and check is not None:
                left += check.config.children
            seen.add(child)
        return False

    def _note(self, comment: str = "") -> ChangeInfo:
        made = ChangeInfo(self._new_id("C"), self._clock.time(), comment)
        self._changes[made.id] = made
        while len(self._changes) > MAX_KEPT_CHANGES:
            del self._changes[next(iter(self._changes))]
        return made

    def _new_id(self, first: str) -> str:
        return first + "".join(self._rng.choices(_ID_CHARACTERS, k=20))
