"""The buckets that tell what happens to their objects: their configurations, and who is told when.

A request on such a bucket waits for the one before it, so that what it did can be told from what others do. What it
did is told although its caller has gone. Destinations are reached by a `DestinationPort` only, at least once, in no
order; a failure that may pass is tried again with back-off for an hour, which is ours: S3 does not say how long.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from localcloud.clock import Clock
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.s3.checks import split_path
from localcloud.services.s3.notification_config import (
    BadConfiguration,
    Configuration,
    Rule,
    check_rules,
    read_xml,
    write_xml,
)
from localcloud.services.s3.notification_events import Occasion, bus_event, make_record, test_event
from localcloud.services.s3.object_changes import AskS3, Change, Watcher, may_change
from localcloud.services.s3.own_requests import Place, make_request
from localcloud.uuids import new_uuid

__all__ = ["DestinationPort", "NotDelivered", "Notifications"]

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 300.0
MAX_AGE_S: Final = 3600.0
_UNUSABLE: Final = "Unable to validate the following destination configurations"
_SKIP: Final = "x-amz-skip-destination-validation"


class NotDelivered(Exception):
    """A destination did not take a message. `retry`: it may later."""

    def __init__(self, reason: str, *, retry: bool) -> None:
        super().__init__(reason)
        self.retry = retry


class DestinationPort(Protocol):
    """The way to queues, topics, functions and the default event bus."""

    def find_fault(self, arn: str, bucket: str) -> str:
        """Why a destination cannot be told of a bucket's objects, in S3's words, "" where it can."""
        ...

    async def send(self, arn: str, text: str, bucket: str, *, trace: str = "") -> None:
        """Hand a message over, with the trace header of the request that it tells of. Raises NotDelivered."""
        ...

    def emit(self, region: str, bucket: str, *, detail_type: str, detail: str) -> None:
        """Put an event on the default bus of a Region."""
        ...


@dataclass(slots=True)
class _Bucket:
    """A bucket that tells."""

    region: str
    configuration: Configuration
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Notifications:
    """The notifications of every bucket. One event loop; `close()` before `group` ends.

    `principal_id`: of the owner of an access key.
    """

    def __init__(
        self,
        port: DestinationPort,
        *,
        principal_id: Callable[[str], str],
        group: asyncio.TaskGroup,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._port = port
        self._principal_id = principal_id
        self._group = group
        self._clock = clock
        self._rng = rng
        self._buckets: dict[str, _Bucket] = {}
        self._last = 0
        self._deliveries: set[asyncio.Task[None]] = set()

    def hears(self, request: WireRequest) -> bool:
        """Whether a request could be one to tell of."""
        bucket, key = split_path(request.path)
        return bucket in self._buckets and (may_change(request) or (request.method == "DELETE" and not key))

    def close(self) -> None:
        """Tell nobody any more; what is tried again is given up."""
        self._buckets.clear()
        for task in self._deliveries:
            task.cancel()

    # ------------------------------------------------------------------ configurations

    async def answer(self, request: WireRequest, ask: AskS3) -> WireResponse:
        """Get- or PutBucketNotificationConfiguration."""
        bucket, _ = split_path(request.path)
        found = await ask(make_request("GET", Place(bucket, "", request.region), "location"))
        if found.status >= 300:
            return found
        if request.method == "GET":
            known = self._buckets.get(bucket)
            body = write_xml(known.configuration if known is not None else Configuration())
            return WireResponse(200, body, {"content-type": "application/xml"})
        try:
            configuration = read_xml(request.body, iter(lambda: new_uuid(self._rng), ""))
            validates = request.headers.get(_SKIP, "").lower() != "true"
            await self.configure(bucket, configuration, region=_region_in(found), validates=validates)
        except BadConfiguration as error:
            return _refuse(error, request)
        log.debug("s3.notifications_configured", extra={"bucket": bucket, "rules": len(configuration.rules)})
        return WireResponse(200)

    async def configure(
        self, bucket: str, configuration: Configuration, *, region: str, validates: bool = True
    ) -> None:
        """Replace what a bucket tells. Raises BadConfiguration.

        `validates`: every destination must take it, and queues and topics are sent a test event.
        """
        check_rules(configuration.rules)
        if validates:
            await self._validate(bucket, configuration, region)
        if configuration == Configuration():
            self._buckets.pop(bucket, None)
            return
        known = self._buckets.setdefault(bucket, _Bucket(region, configuration))
        known.configuration = configuration

    def forget(self, bucket: str) -> None:
        """A bucket is gone."""
        self._buckets.pop(bucket, None)

    async def _validate(self, bucket: str, configuration: Configuration, region: str) -> None:
        request_id = self._request_id()
        for rule in configuration.rules:
            if rule.arn.split(":")[3] != region:
                message = "The notification destination service region is not valid for the bucket location constraint"
                raise BadConfiguration(message, name="arn", value=rule.arn)
            fault = self._port.find_fault(rule.arn, bucket)
            if fault:
                raise BadConfiguration(_UNUSABLE, name=rule.arn, value=fault)
        text = test_event(bucket, request_id=request_id, time_s=self._clock.time())
        for rule in configuration.rules:
            if rule.service == "lambda":
                continue
            try:
                await self._port.send(rule.arn, text, bucket)
            except NotDelivered as error:
                raise BadConfiguration(_UNUSABLE, name=rule.arn, value=str(error)) from error

    # ------------------------------------------------------------------ changes

    async def carry(self, request: WireRequest, ask: AskS3) -> WireResponse:
        """Do a request, and tell of what it did. Raises what `ask` raises."""
        task = self._group.create_task(self._watch(request, ask))
        done = await asyncio.shield(task)  # who asked may go away in between
        if isinstance(done, Exception):
            raise done
        return done

    async def _watch(self, request: WireRequest, ask: AskS3) -> WireResponse | Exception:
        name, key = split_path(request.path)
        bucket = self._buckets.get(name)
        try:
            if bucket is None:
                return await ask(request)
            async with bucket.turn:
                watcher = Watcher(request, ask)
                await watcher.foresee()
                response = await ask(request)
                if request.method == "DELETE" and not key and not request.query and response.status < 300:
                    self.forget(name)
                for change in await watcher.find(response):
                    self._tell(change, name, request)
                return response
        except Exception as error:  # noqa: BLE001 - the asker's, who is given it; the group goes on
            return error

    def _tell(self, change: Change, name: str, request: WireRequest) -> None:
        bucket = self._buckets.get(name)
        if bucket is None:
            return
        occasion = Occasion(
            change=change,
            bucket=name,
            region=bucket.region,
            time_s=self._clock.time(),
            request_id=request.request_id,
            principal_id=self._principal_id(request.access_key),
            sequencer=self._next_sequencer(),
        )
        for rule in bucket.configuration.rules:
            if rule.takes(change.event, change.key):
                text = make_record(occasion, rule.rule_id)
                trace = request.headers.get("x-amzn-trace-id", "")
                task = self._group.create_task(self._deliver(rule, text, name, trace=trace))
                self._deliveries.add(task)
                task.add_done_callback(self._deliveries.discard)
        if bucket.configuration.event_bridge:
            detail_type, detail = bus_event(occasion)
            self._port.emit(bucket.region, name, detail_type=detail_type, detail=detail)

    async def _deliver(self, rule: Rule, text: str, bucket: str, *, trace: str) -> None:
        loop = asyncio.get_running_loop()
        expires = loop.time() + MAX_AGE_S
        wait_s = FIRST_WAIT_S
        fields = {"bucket": bucket, "destination": rule.arn}
        while True:
            try:
                await self._port.send(rule.arn, text, bucket, trace=trace)
            except NotDelivered as error:
                if not error.retry or loop.time() + wait_s > expires:
                    log.warning("s3.notification_dropped", extra=fields | {"reason": str(error)})
                    return
            except Exception:  # the edge of a delivery: whatever is wrong belongs to this one
                log.exception("s3.notification_dropped", extra=fields)
                return
            else:
                return
            await asyncio.sleep(wait_s * (0.5 + self._rng.random() / 2))
            wait_s = min(2 * wait_s, MAX_WAIT_S)

    def _next_sequencer(self) -> str:
        """Greater than every one before: the date in microseconds, or one more than the last."""
        self._last = max(self._last + 1, int(self._clock.time() * 1_000_000) << 8)
        return f"00{self._last:016X}"

    def _request_id(self) -> str:
        return f"{self._rng.getrandbits(64):016X}"


def _region_in(response: WireResponse) -> str:
    body = response.body if isinstance(response.body, bytes) else b""
    return ET.fromstring(body).text or "us-east-1"  # noqa: S314 - moto's own answer


def _refuse(error: BadConfiguration, request: WireRequest) -> WireResponse:
    """S3's error, with the argument that it names."""
    named = ""
    if error.value:
        named = f"<ArgumentName>{escape(error.name)}</ArgumentName><ArgumentValue>{escape(error.value)}</ArgumentValue>"
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{error.code}</Code>'
        f"<Message>{escape(error.message)}</Message>{named}<RequestId>{request.request_id}</RequestId></Error>"
    )
    return WireResponse(error.status, text.encode(), {"content-type": "application/xml"})
