"""Every event source mapping of a Region: made, changed, switched off and on, deleted, and what state each is in.

Owns the life of a mapping; reads settings through `settings` and gets what polls from `pollers`. A mapping that is
switched off and on again goes on where it was. Knows no wire and no template.
Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from localcloud.clock import Clock
from localcloud.compute.event_source import NOTHING_YET, Poller, end_polling
from localcloud.compute.event_source_stream import Checkpoints
from localcloud.compute.function import FunctionSpec, parse_reference
from localcloud.compute.functions import Functions
from localcloud.compute.mappings.settings import MappingSettings, read_settings
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.lambda_.errors import LambdaError
from localcloud.template.properties import Properties
from localcloud.uuids import new_uuid

__all__ = ["EventSourceMapping", "Mappings", "Pollers"]

log = logging.getLogger(__name__)

SETTLE_S: Final = 0.1  # AWS takes up to a minute to change a mapping's state; a laptop has one process to tell
_SETTLED: Final = frozenset({"Enabled", "Disabled"})
_FIXED: Final = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")


class Pollers(Protocol):
    """Makes pollers, and says what is wrong with a mapping that a poller could not serve."""

    def check(self, read: Properties, spec: FunctionSpec, settings: MappingSettings) -> None:
        """Whether source and destination are there and the role may use them. Raises TemplateError."""
        ...

    def make(self, mapping: EventSourceMapping) -> Poller:
        """A poller for a mapping that `check` has passed."""
        ...


@dataclass(slots=True, kw_only=True)
class EventSourceMapping:
    """One mapping. `members`: as CreateEventSourceMapping had them, under its names."""

    mapping_id: str
    arn: str
    source_arn: str
    members: dict[str, Any]
    spec: FunctionSpec
    function_arn: str
    settings: MappingSettings
    state: str
    modified_s: float
    tags: dict[str, str] = field(default_factory=dict[str, str])
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    poller: Poller | None = None
    task: asyncio.Task[None] | None = None

    @property
    def last_result(self) -> str:
        """What became of the latest batch, in the API's words."""
        return self.poller.last_result if self.poller is not None else NOTHING_YET


class Mappings:
    """The registry. One event loop; `close()` before `group` ends."""

    def __init__(
        self, functions: Functions, pollers: Pollers, *, group: asyncio.TaskGroup, clock: Clock, rng: random.Random
    ) -> None:
        self._functions = functions
        self._pollers = pollers
        self._group = group
        self._clock = clock
        self._rng = rng
        self._mappings: dict[str, EventSourceMapping] = {}
        self._settling: set[asyncio.Task[None]] = set()

    def get(self, mapping_id: str) -> EventSourceMapping:
        """The mapping of this UUID. Raises LambdaError ResourceNotFoundException."""
        found = self._mappings.get(mapping_id)
        if found is None:
            raise LambdaError(
                "ResourceNotFoundException", "The resource you requested does not exist.", 404, message_key="Message"
            )
        return found

    def list(self) -> tuple[EventSourceMapping, ...]:
        """Every mapping, in the order in which they were made."""
        return tuple(self._mappings.values())

    def create(self, read: Properties, *, tags: Mapping[str, str]) -> EventSourceMapping:
        """Make a mapping and start it, unless `Enabled` is false.

        Raises TemplateError naming the property that is wrong; LambdaError where the function is not there, or the
        two are mapped already.
        """
        source_arn = read.text("EventSourceArn")
        settings = read_settings(read, source_arn, now_s=self._clock.time())
        spec = self._functions.get(read.text("FunctionName"))
        function_arn = _qualified(spec, read.text("FunctionName"))
        self._check_new(source_arn, spec, function_arn)
        self._pollers.check(read, spec, settings)
        mapping_id = new_uuid(self._rng)
        mapping = EventSourceMapping(
            mapping_id=mapping_id,
            arn=f"arn:aws:lambda:{spec.region}:{ACCOUNT_ID}:event-source-mapping:{mapping_id}",
            source_arn=source_arn,
            members=dict(read.values),
            spec=spec,
            function_arn=function_arn,
            settings=settings,
            state="Creating",
            modified_s=self._clock.time(),
            tags=dict(tags),
        )
        self._mappings[mapping_id] = mapping
        if read.flag("Enabled", default=True):
            self._start(mapping)
        self._settle_later(self._settle(mapping, running=None))
        return mapping

    def update(self, mapping_id: str, changes: Mapping[str, Any]) -> EventSourceMapping:
        """Change what is given; what polls starts again with it, from where it was.

        Raises TemplateError, LambdaError (not found, in use).
        """
        mapping = self._settled(mapping_id, "update")
        given = {name: value for name, value in changes.items() if value is not None and name not in _FIXED}
        read = Properties(mapping.members | given, where="")
        settings = read_settings(read, mapping.source_arn, now_s=self._clock.time())
        spec = self._functions.get(read.text("FunctionName"))
        function_arn = _qualified(spec, read.text("FunctionName"))
        if function_arn != mapping.function_arn:
            self._check_new(mapping.source_arn, spec, function_arn)
        self._pollers.check(read, spec, settings)
        enabled = read.flag("Enabled", default=True)
        was = mapping.state == "Enabled"
        mapping.members, mapping.settings, mapping.spec = dict(read.values), settings, spec
        mapping.function_arn = function_arn
        mapping.modified_s = self._clock.time()
        mapping.state = "Updating" if enabled == was else ("Enabling" if enabled else "Disabling")
        self._settle_later(self._restart(mapping, start=enabled))
        return mapping

    def delete(self, mapping_id: str) -> EventSourceMapping:
        """Stop a mapping and forget it. Raises LambdaError (not found, in use)."""
        mapping = self._settled(mapping_id, "delete")
        mapping.state = "Deleting"
        self._settle_later(self._restart(mapping, start=False))
        return mapping

    async def remove(self, mapping_id: str) -> None:
        """End a mapping at once, whatever its state, and forget it; nothing where it is gone."""
        mapping = self._mappings.pop(mapping_id, None)
        if mapping is not None:
            mapping.state = "Deleting"
            await _end(mapping)

    async def close(self) -> None:
        """End all of them at once, and what was about to be said of their states."""
        for mapping_id in list(self._mappings):
            await self.remove(mapping_id)
        for task in self._settling:
            task.cancel()

    # ------------------------------------------------------------------ inside

    def _settle_later(self, settling: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(settling)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _check_new(self, source_arn: str, spec: FunctionSpec, function_arn: str) -> None:
        """A source is mapped once to a function, and once to each version and alias of it."""
        for other in self._mappings.values():
            if (other.source_arn, other.function_arn) == (source_arn, function_arn):
                text = (
                    f'An event source mapping with event source arn ("{source_arn}") and function ("{spec.name}") '
                    f"already exists. Please update or delete the existing mapping with UUID {other.mapping_id}"
                )
                raise LambdaError("ResourceConflictException", text, 409)

    def _settled(self, mapping_id: str, verb: str) -> EventSourceMapping:
        mapping = self.get(mapping_id)
        if mapping.state not in _SETTLED:
            raise _in_use(verb)
        return mapping

    def _start(self, mapping: EventSourceMapping) -> None:
        mapping.task = self._group.create_task(self._poll(mapping))

    async def _poll(self, mapping: EventSourceMapping) -> None:
        """Whatever goes wrong belongs to this mapping, never to the group."""
        try:
            mapping.poller = self._pollers.make(mapping)
            await mapping.poller.run()
        except Exception:
            log.exception("mapping.failed", extra={"mapping": mapping.mapping_id, "source": mapping.source_arn})

    async def _restart(self, mapping: EventSourceMapping, *, start: bool) -> None:
        if mapping.poller is not None:
            await mapping.poller.stop()
        await _end(mapping)
        if start and mapping.state != "Deleting":
            self._start(mapping)
        await self._settle(mapping, running=start)

    async def _settle(self, mapping: EventSourceMapping, *, running: bool | None) -> None:
        await asyncio.sleep(SETTLE_S)
        if mapping.state == "Deleting":
            if running is False:
                self._mappings.pop(mapping.mapping_id, None)
            return
        is_running = mapping.task is not None if running is None else running
        mapping.state = "Enabled" if is_running else "Disabled"


async def _end(mapping: EventSourceMapping) -> None:
    task, mapping.task = mapping.task, None
    await end_polling(task)


def _qualified(spec: FunctionSpec, named: str) -> str:
    reference = parse_reference(named)
    return f"{spec.arn}:{reference.qualifier}" if reference is not None and reference.qualifier else spec.arn


def _in_use(verb: str) -> LambdaError:
    text = f"Cannot {verb} the event source mapping because it is in use."
    return LambdaError("ResourceInUseException", text, 400, message_key="Message")
