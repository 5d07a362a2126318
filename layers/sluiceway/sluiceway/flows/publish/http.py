"""What `POST /topics/{topic}/records` answers.

Owns who may publish what, and how results are told: 200 with an entry for each record, in order, as soon as one of them
is stored or never will be; 429 and 503 with Retry-After where none is. Must not know AWS. docs/producing.md has the
rules.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.codec.http import problem
from sluiceway.codec.refusals import Refusal, explain
from sluiceway.errors import Misconfigured, NotRecorded, Rejected, Retryable
from sluiceway.events.http import HttpReply, HttpRequest, Problem
from sluiceway.events.invocation import Invocation
from sluiceway.flows.publish.ledger import Publish, PublishLedger, Settled
from sluiceway.flows.publish.options import ProducerOptions
from sluiceway.flows.publish.producer import Producer
from sluiceway.flows.publish.records import Receipt
from sluiceway.flows.publish.results import Failure, Result, describe, fail, is_certain
from sluiceway.flows.publish.shards import Outlet
from sluiceway.ports import Chance
from sluiceway.rules.producing.records import measure_record
from sluiceway.rules.publishing import Check, encode_data, parse_idempotency_key, parse_records
from sluiceway.steps.metrics import count

__all__ = ["PublishDesk", "Topic", "publish_records"]

RETRY_AFTER_S: Final = 2
RESERVE_S: Final = 1.0  # of the invocation, for writing the results down
RESERVE_SHARE: Final = 0.1  # never more than this share of a short one
_DEFAULTS: Final = ProducerOptions()
_EXPOSED: Final = "retry-after,idempotent-replayed"
_NOT_FOUND: Final = Problem("/problems/topic-not-found", "There is no such topic", 404)
_FORBIDDEN: Final = Problem("/problems/publishing-forbidden", "The caller may not publish to this topic", 403)
_THROTTLED: Final = Problem("/problems/throttled", "The topic takes no more at the moment; no record is stored", 429)
_UNAVAILABLE: Final = Problem("/problems/unavailable", "The topic cannot be written now; no record is stored", 503)
_PERHAPS: Final = Problem("/problems/perhaps-stored", "No record is known to be stored, and some may be", 503)
_TITLES: Final = {400: "The request is not valid", 413: "The request is too large"}
_DETAILS: Final = {
    "/problems/idempotency-in-doubt": "Its records may be stored, all, some or none; the key stays in doubt",
    "/problems/not-recorded": "The records may be stored; what became of them could not be written down",
    "/problems/result-gone": "The records are stored; their receipts are no longer kept",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a topic's records go, who may send them (None: every caller), and the check on the way in."""

    outlet: Outlet
    publishers: frozenset[str] | None = None
    check: Check = encode_data


@dataclass(frozen=True, slots=True)
class PublishDesk:
    """What publishing needs. `options`: of the producer; its `linger_s` does not count. `origin`: the one for CORS."""

    topics: Mapping[str, Topic]
    ledger: PublishLedger
    chance: Chance
    origin: str
    options: ProducerOptions = _DEFAULTS

    def find(self, name: str, caller: str) -> Topic | Problem:
        """The topic, or why it is none of the caller's."""
        topic = self.topics.get(name)
        if topic is None:
            return _NOT_FOUND
        allowed = bool(caller) and (topic.publishers is None or caller in topic.publishers)
        return topic if allowed else _FORBIDDEN


class _Sent(NamedTuple):
    """A request that is good: the records as they will be put, and the caller's key."""

    records: Sequence[tuple[str, bytes]]
    key: str | None


async def publish_records(request: HttpRequest, call: Invocation, desk: PublishDesk) -> HttpReply:
    """Puts the records and tells what became of each."""
    cors = {"access-control-allow-origin": desk.origin, "access-control-expose-headers": _EXPOSED}
    name = request.path_parameters.get("topic", "")
    topic = desk.find(name, request.caller)
    if isinstance(topic, Problem):
        return problem(topic, headers=cors)
    job = _Job(request, call, outlet=topic.outlet, desk=desk)
    try:
        sent = _read(request, name, topic=topic, max_bytes=desk.options.max_record_bytes)
    except Rejected as error:
        status = 413 if error.reason == "body-too-large" else 400
        return problem(Problem(f"/problems/{error.reason}", _TITLES[status], status, str(error)), headers=cors)
    except (Retryable, Misconfigured) as error:
        log.failure("publish.not_checked", error, topic=name)
        return _later(_UNAVAILABLE, cors)
    try:
        return await job.answer(sent, cors)
    except (Retryable, Rejected, Misconfigured) as error:
        refusal = explain(error)
        if refusal is None and isinstance(error, Rejected):
            raise
        if refusal is None or refusal.problem.status >= 500:
            log.failure("publish.failed", error, topic=name)
        refusal = refusal or (explain(NotRecorded("")) if job.has_begun else None)
        return _later(_UNAVAILABLE, cors) if refusal is None else _refuse(refusal, cors)


def _read(request: HttpRequest, name: str, *, topic: Topic, max_bytes: int) -> _Sent:
    """Raises Rejected, whose text names the field and the limit."""
    key = parse_idempotency_key(request.headers)
    records: list[tuple[str, bytes]] = []
    for index, record in enumerate(parse_records(request.body)):
        place = f"records[{index}]"
        try:
            data = topic.check(name, record.data)
        except Rejected as error:
            path = f"{place}.data.{error.field}" if error.field else f"{place}.data"
            raise Rejected(f"{path}: {error}", reason=error.reason, field=path) from error
        try:
            measure_record(record.key, data, max_bytes=max_bytes)
        except Rejected as error:
            path = f"{place}.{error.field}"
            raise Rejected(f"{path}: {error}", reason=error.reason, field=path) from error
        records.append((record.key, data))
    return _Sent(records, key)


class _Job:
    """One good request. `has_begun`: something of it may be stored."""

    def __init__(self, request: HttpRequest, call: Invocation, *, outlet: Outlet, desk: PublishDesk) -> None:
        self._request = request
        self._call = call
        self._outlet = outlet
        self._desk = desk
        self._stop_at = call.deadline - call.keep_s(RESERVE_S, RESERVE_SHARE)
        self.has_begun = False

    async def answer(self, sent: _Sent, cors: Mapping[str, str]) -> HttpReply:
        """Raises what the ledger raises."""

        async def put(places: Sequence[int]) -> list[Result]:
            return await self._put([sent.records[at] for at in places])

        if sent.key is None:
            return _tell(Settled(await put(range(len(sent.records)))), cors)
        request, call = self._request, self._call
        body_sha256 = sha256(request.body).hexdigest()
        publish = Publish(request.caller, request.path_parameters["topic"], sent.key, body_sha256, len(sent.records))
        deadline = call.deadline + call.grace_s
        return _tell(await self._desk.ledger.settle(publish, put, deadline=deadline), cors)

    async def _put(self, records: Sequence[tuple[str, bytes]]) -> list[Result]:
        """Each record's result, in order."""
        desk = self._desk
        options = replace(desk.options, linger_s=0.0)
        try:
            async with Producer(self._outlet, options=options, deadline=self._stop_at, chance=desk.chance) as producer:
                self.has_begun = True
                futures = [await producer.submit(key, data) for key, data in records]
        except (Retryable, Misconfigured) as error:
            log.failure("publish.not_begun", error)
            return [Failure("unavailable")] * len(records)
        results = [_read_result(future) for future in futures]
        stored = sum(not isinstance(result, Failure) for result in results)
        if stored:
            count("RecordsPublished", stored)
        if stored < len(results):
            count("RecordsNotPublished", len(results) - stored)
        return results


def _read_result(future: asyncio.Future[Receipt]) -> Result:
    error = future.exception()
    return future.result() if error is None else fail(error)


def _tell(settled: Settled, cors: Mapping[str, str]) -> HttpReply:
    results = settled.results
    if all(is_certain(result) for result in results):
        throttled = any(result == Failure("throttled") for result in results)
        return _later(_THROTTLED if throttled else _UNAVAILABLE, cors)
    if all(isinstance(result, Failure) and result.why != "refused" for result in results):
        return _later(_PERHAPS, cors)
    headers = {"content-type": "application/json", "cache-control": "no-store", **cors}
    if settled.replayed:
        headers["idempotent-replayed"] = "true"
    body = {"records": [describe(result) for result in results]}
    return HttpReply(200, json.dumps(body, ensure_ascii=False, separators=(",", ":")), headers)


def _later(what: Problem, cors: Mapping[str, str]) -> HttpReply:
    return problem(what, headers={**cors, "retry-after": str(RETRY_AFTER_S)})


def _refuse(refusal: Refusal, cors: Mapping[str, str]) -> HttpReply:
    """What guarded work refuses, with what that means for records."""
    details = replace(refusal.problem, detail=_DETAILS.get(refusal.problem.type, ""))
    waits = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return problem(details, headers={**cors, **waits})
