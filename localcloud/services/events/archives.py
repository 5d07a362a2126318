"""All archives of all Regions: made on a bus, fed by a managed rule of that bus, bounded together.

An archive is fed as AWS feeds it: the bus has a rule `Events-Archive-<name>` whose pattern is the archive's and, beside
it, that there is no `replay-name`; so no replayed event is ever archived. Its target, which ListTargetsByRule shows as
AWS does, is the archive itself: an event is in the archive once it is on the bus.
Knows no protocol.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Final, Protocol, cast

from localcloud.clock import Clock
from localcloud.services.events.archive import Archive, ArchiveSettings
from localcloud.services.events.bus import Bus, Managed, RuleSettings
from localcloud.services.events.envelope import Event
from localcloud.services.events.errors import EventsError, invalid_pattern, missing_archive, validation
from localcloud.services.events.event_patterns import compile_pattern
from localcloud.services.events.json_values import decode, encode
from localcloud.services.events.limits import Limits
from localcloud.services.events.target import Target
from localcloud.uuids import new_uuid

__all__ = ["Archives", "BusFinder"]

log = logging.getLogger(__name__)

MANAGER: Final = "prod.vhs.events.aws.internal"  # ManagedBy of the rules of archives, as AWS answers
_RULE_PREFIX: Final = "Events-Archive-"  # as AWS names them
_REPLAY_NAME: Final = "replay-name"
_ABSENT: Final = [{"exists": False}]


class BusFinder(Protocol):
    """What is needed of the buses."""

    def get(self, name: str, region: str) -> Bus:
        """The bus of a name or an ARN. Raises EventsError: ResourceNotFoundException."""
        ...


class Archives:
    """The archives of the account, in memory."""

    def __init__(self, buses: BusFinder, *, clock: Clock, rng: Random, limits: Limits) -> None:
        self._buses = buses
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._archives: dict[str, Archive] = {}  # by ARN
        self._held_bytes = 0

    def create(self, region: str, settings: ArchiveSettings) -> Archive:
        """Make an archive and the managed rule that feeds it.

        Raises EventsError: ResourceNotFoundException, ResourceAlreadyExistsException, InvalidEventPatternException,
        LimitExceededException (its rule is one of the bus's), ValidationException.
        """
        bus = self._buses.get(settings.bus_arn, region)
        arn = f"{bus.arn.partition(':event-bus/')[0]}:archive/{settings.name}"
        if arn in self._archives:
            raise EventsError("ResourceAlreadyExistsException", f"Archive {settings.name} already exists.")
        rule_name = f"{_RULE_PREFIX}{settings.name}"
        if bus.find(rule_name) is not None:
            raise EventsError("ResourceAlreadyExistsException", f"Rule {rule_name} already exists.")
        archive = Archive(replace(settings, bus_arn=bus.arn), arn, now_s=self._clock.time())
        managed = Managed(MANAGER, _make_target(archive, region, new_uuid(self._rng)), partial(self._take, archive))
        bus.put(RuleSettings(name=rule_name, pattern=self._rule_pattern(settings.pattern)), managed=managed)
        self._archives[arn] = archive
        return archive

    def find(self, arn: str) -> Archive | None:
        """The archive of an ARN, None where there is none. What is too old is not in it."""
        archive = self._archives.get(arn)
        if archive is not None:
            self._expire(archive)
        return archive

    def get(self, name: str, region: str) -> Archive:
        """The archive of a name. Raises EventsError: ResourceNotFoundException."""
        archive = next((each for each in self.list(region) if each.settings.name == name), None)
        if archive is None:
            raise missing_archive(name)
        return archive

    def list(self, region: str, *, bus_arn: str = "") -> list[Archive]:
        """The Region's archives, of one bus or of all, by name. What is too old is not in them."""
        found = [
            archive
            for archive in self._archives.values()
            if archive.arn.split(":")[3] == region and bus_arn in {"", archive.settings.bus_arn}
        ]
        for archive in found:
            self._expire(archive)
        return sorted(found, key=lambda archive: archive.settings.name)

    def update(
        self, archive: Archive, *, description: str | None, pattern: str | None, retention_days: int | None
    ) -> None:
        """Change what is not None; a pattern counts for the events that come. Raises EventsError as `create`."""
        settings = archive.settings
        if pattern is not None:
            bus = self._buses.get(settings.bus_arn, archive.arn.split(":")[3])
            rule = bus.get(f"{_RULE_PREFIX}{settings.name}")
            bus.put(replace(rule.settings, pattern=self._rule_pattern(pattern)), managed=rule.managed)
            settings = replace(settings, pattern=pattern)
        if description is not None:
            settings = replace(settings, description=description)
        if retention_days is not None:
            self._expire(archive)  # what was too old until now does not come back
            settings = replace(settings, retention_days=retention_days)
        archive.settings = settings

    def delete(self, archive: Archive) -> None:
        """Forget an archive, its events and its rule. A replay of it that runs fails."""
        bus = self._buses.get(archive.settings.bus_arn, archive.arn.split(":")[3])
        rule = bus.get(f"{_RULE_PREFIX}{archive.settings.name}")
        rule.targets = {}
        bus.delete(rule.settings.name)
        del self._archives[archive.arn]
        archive.deleted = True
        self._held_bytes -= archive.held_bytes

    def _take(self, archive: Archive, event: Event) -> None:
        before = archive.held_bytes
        archive.add(event, now_s=self._clock.time())
        self._held_bytes += archive.held_bytes - before
        if self._held_bytes > self._limits.archive_bytes:
            self._make_room()

    def _make_room(self) -> None:
        """Drop the oldest events, of whichever archive, until the rest fits."""
        for archive in self._archives.values():
            self._expire(archive)
        while self._held_bytes > self._limits.archive_bytes:
            oldest = min(self._archives.values(), key=lambda archive: archive.oldest_s)
            before = oldest.held_bytes
            oldest.drop_oldest()
            self._held_bytes -= before - oldest.held_bytes
            if oldest.dropped == 1:
                log.warning("events.archive_full", extra={"archive": oldest.arn, "limit": self._limits.archive_bytes})

    def _expire(self, archive: Archive) -> None:
        before = archive.held_bytes
        archive.expire(self._clock.time())
        self._held_bytes -= before - archive.held_bytes

    def _rule_pattern(self, pattern: str) -> str:
        """The pattern of the managed rule. Raises EventsError: InvalidEventPatternException, ValidationException."""
        if len(pattern) > self._limits.pattern_chars:
            raise validation(f"Parameter EventPattern exceeds limit of {self._limits.pattern_chars}.")
        fields: Mapping[str, object] = {}
        if pattern:
            compile_pattern(pattern)
            fields = cast("dict[str, object]", decode(pattern))
        if fields.get(_REPLAY_NAME, _ABSENT) != _ABSENT:
            raise invalid_pattern("Replayed events are not sent to an archive: replay-name cannot be in its pattern")
        return encode({**fields, _REPLAY_NAME: _ABSENT})


def _make_target(archive: Archive, region: str, number: str) -> Target:
    """The target of a managed rule, as ListTargetsByRule of AWS shows it."""
    template = (
        f'{{"archive-arn": "{archive.arn}:{number}", "event": <aws.events.event.json>, '
        '"ingestion-time": <aws.events.event.ingestion-time>}'
    )
    source: Mapping[str, Any] = {
        "Id": f"{_RULE_PREFIX}{archive.settings.name}",
        "Arn": f"{archive.arn.partition(':events:')[0]}:events:{region}:::",
        "InputTransformer": {"InputPathsMap": {}, "InputTemplate": template},
    }
    return Target(target_id=source["Id"], arn=source["Arn"], service="archive", region=region, source=source)
