"""The console's JSON about the mesh, in the manner of `localcloud.console.api`.

GET /api/streams
    {"streams": [STREAM, ...], "readers": [READER, ...], "letters": [LETTERS, ...], "topics": {<topic>: <stream>},
     "channels": {<topic>: <channel of an Event API>},
     "rules": [RULE, ...], "filtered": COUNTS, "subscribers": [SUBSCRIBERS, ...], "rollups": [ROLLUP, ...],
     "replays": [REPLAY, ...], "demo": DEMO | null, "now_ms": 1.5}

STREAM  {"name", "arn", "status", "mode", "retention_h", "records_s": 1.5 | null, "bytes_s": 1.5 | null,
         "shards": [SHARD, ...], "is_whole": false where there are more shards,
         "consumers": [{"name", "status", "own": true for the console's}, ...]}
    Rates are of the last ten whole seconds; null while nobody looks at the stream.
SHARD   {"id", "from": 0.0, "to": 0.5, "parents": [id, ...], "open": true, "records_s", "bytes_s",
         "load": 0.1 of what a shard takes | null, "hot": false}           from and to: parts of the hash keys
READER  {"id", "stream", "function": <logical id>, "state", "consumer": <name> | null, "position", "batch_size",
         "window_s", "filters": [text, ...], "last_result", "letters": queue | null,
             "age_ms": IteratorAge | null, "age_at_ms": of the minute that began then | null,
         "last": {"ended_ms", "took_ms", "ok", "trace", "batches", "failed"} | null}
LETTERS {"queue", "count": 0 | null where there is no such queue}
RULE    {"topic", "id", "pattern", "columns", "masks", "destination", "enabled", "version", "problem": text | null,
         "counts": {"refused", "returned", "misconfigured"} | null where nothing went wrong}
COUNTS  {"matched", "unmatched", "poison", "sent", "refused", "returned", "misconfigured"}   since the start
SUBSCRIBERS {"topic", "connections": 2, "is_whole": true,
             "wants": [{"pattern": text | null, "columns": [...], "connections": 1}, ...]}
ROLLUP  {"id", "metrics": [...], "minutes": [MINUTE, ...], "is_whole", "job": {"state", "updated_ms", ...} | null}
MINUTE  {"start": "2027-01-15T08:01Z", "records": 3, "rows": 2, "averages": {<metric>: 1.5}}

GET /api/records?stream=NAME&pattern=TEXT        {"records": [RECORD, ...]}: those that are kept, oldest first
GET /api/tail?stream=NAME&pattern=TEXT           server-sent events; the stream is read as long as somebody listens
    event: record       data: RECORD             first those that are kept, then as they arrive
    event: state        data: {"state": "starting" | "live" | "failed", "error": text | null}
    event: dropped      data: {"count": 3}
RECORD  {"shard", "sequence_number", "sub_sequence", "key", "arrived_ms", "size_bytes", "cut": true where only the
         beginning is shown, "fault": text | null, and one of "data": object or array, "text", "base64"}

POST /api/letters/{queue}                        {"queue", "letters": [LETTER, ...], "seen": 3}
LETTER  {"id", "sent_ms", "reason", "detail", "shard", "first": sequence number, "records": 1}

POST /api/replays  {"reader": READER id, "since_ms"?: 0, "rate"?: 100}       REPLAY
DELETE /api/replays/{id}                         204
REPLAY  {"id", "stream", "reader", "function", "since_ms", "until_ms", "rate", "done", "refused", "arrived_ms",
         "state": "running" | "done" | "cancelled" | "failed", "shards", "shards_done", "fraction": 0.5, "error",
         "reasons": [{"reason", "records"}, ...]}                            also as `event: replay` of /api/events

POST /api/demo  {"topic": "records", "rate"?: 5, "seconds"?: 60, "seed"?: 1}  DEMO
DELETE /api/demo                                 204
DEMO    {"topic", "stream", "sent", "total", "running", "error"}
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final, cast

from localcloud.console.api import Facts
from localcloud.console.mesh.cloud import Cloud, Json, explain, open_cloud_calls
from localcloud.console.mesh.demo import Demo, read_demo
from localcloud.console.mesh.letters import read_letters
from localcloud.console.mesh.places import Places, find_places
from localcloud.console.mesh.readers import Batches, count_letters, describe_reader, name_stream, read_ages
from localcloud.console.mesh.records import read_pattern
from localcloud.console.mesh.replays import Replays, read_wanted
from localcloud.console.mesh.rules import FilterTally
from localcloud.console.mesh.streams import read_stream, read_stream_names
from localcloud.console.mesh.tables import read_rollup, read_rules, read_subscribers
from localcloud.console.mesh.tail import Tail, Tails
from localcloud.console.refusals import ApiError
from localcloud.json_text import MalformedJson, read_json
from sluiceway.errors import SluicewayError
from sluiceway.rules.patterns import Pattern

__all__ = ["Mesh", "open_mesh"]

FRESH_S: Final = 0.5  # an answer is given again so long: several pages ask


class Mesh:
    """Everything about the mesh. Methods raise ApiError. Made by `open_mesh`, and lives as long as its block."""

    def __init__(
        self, facts: Facts, cloud: Cloud, group: asyncio.TaskGroup, *, tell: Callable[[str, Json], None]
    ) -> None:
        self._facts = facts
        self._cloud = cloud
        self._tails = Tails(cloud, group, facts.clock)
        self._replays = Replays(cloud, group, facts.clock, tell=lambda replay: tell("replay", replay))
        self._demo = Demo(cloud, group, facts.clock)
        self._batches = Batches()
        self._tally = FilterTally(lambda group: group in self._places().filters)
        self._asking = asyncio.Lock()
        self._told: tuple[float, Json] | None = None

    def listen(self) -> list[Callable[[], None]]:
        """Hear of batches and of what filters log; each answer ends it."""
        return [self._facts.recorder.listen(self._batches.hear), self._facts.logs.listen(self._tally.hear)]

    def close(self) -> None:
        """End everything that runs."""
        self._tails.close()
        self._replays.close()
        self._demo.stop()

    # ------------------------------------------------------------------ what there is

    async def streams(self) -> Json:
        """All of it at once, a moment old at most."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if self._told is None or loop.time() - self._told[0] > FRESH_S:
                try:
                    told = await self._read()
                except SluicewayError as error:
                    raise explain(error) from error
                self._told = (loop.time(), told)
            told = self._told[1]
        return {**told, "replays": self._replays.list(), "demo": self._demo.state}

    async def _read(self) -> Json:
        now_s = self._facts.clock.time()
        names = await read_stream_names(self._cloud)
        tails = {name: self._tails.find(name) for name in names}
        streams = [await read_stream(self._cloud, name, tail and tail.rates()) for name, tail in tails.items()]
        return {
            "now_ms": round(now_s * 1000, 3),
            "streams": streams,
            **await self._read_readers(now_s),
            **await self._read_tables(now_s),
        }

    async def _read_readers(self, now_s: float) -> Json:
        mappings = [each for each in await self._cloud.list_mappings() if name_stream(str(each.get("EventSourceArn")))]
        names = [str(mapping["FunctionArn"]).split(":")[6] for mapping in mappings]
        ages = await read_ages(self._cloud, names, now_s)
        readers = [
            describe_reader(mapping, self._facts.state, age=ages.get(name), last=self._batches.find(name))
            for mapping, name in zip(mappings, names, strict=True)
        ]
        queues = dict.fromkeys(str(each["letters"]) for each in readers if each["letters"])
        return {"readers": readers, "letters": [await count_letters(self._cloud, queue) for queue in queues]}

    async def _read_tables(self, now_s: float) -> Json:
        places = self._places()
        rules = [rule for table in places.rules for rule in await read_rules(self._cloud, table)]
        subscribers = [
            each for table in places.subscriptions for each in await read_subscribers(self._cloud, table, now_s)
        ]
        return {
            "topics": dict(places.topics),
            "channels": dict(places.channels),
            "rules": [{**rule, "counts": self._tally.of_rule(str(rule["id"]))} for rule in rules],
            "filtered": self._tally.whole() if places.rules else None,
            "subscribers": subscribers,
            "rollups": [await read_rollup(self._cloud, rollup, now_s) for rollup in places.rollups],
        }

    def _places(self) -> Places:
        return find_places(self._facts.functions())

    # ------------------------------------------------------------------ the tail

    async def records(self, query: Mapping[str, str]) -> Json:
        """What is kept of a stream's records; none while nobody looks at it."""
        pattern = read_pattern(query.get("pattern", ""))
        name, _ = await self._find_stream(query.get("stream", ""))
        tail = self._tails.find(name)
        return {"records": [] if tail is None else tail.newest(pattern)}

    async def tail(self, query: Mapping[str, str]) -> tuple[Tail, Pattern | None]:
        """The tail that is asked for, and the pattern of what is wanted of it."""
        pattern = read_pattern(query.get("pattern", ""))
        tail = self._tails.open(*await self._find_stream(query.get("stream", "")))
        if tail is None:
            raise ApiError("Too many streams are looked at; close a page.", status=429)
        return tail, pattern

    async def _find_stream(self, name: str) -> tuple[str, str]:
        told = await self.streams()
        found = next((each for each in told["streams"] if each["name"] == name), None)
        if found is None:
            raise ApiError(f"There is no stream {name[:128]}.", status=404)
        return name, str(found["arn"])

    # ------------------------------------------------------------------ what may be done

    async def letters(self, queue: str) -> Json:
        """The newest letters of a dead-letter queue of a mapping's: no other queue is looked into."""
        told = await self.streams()
        if queue not in {each["queue"] for each in told["letters"]}:
            raise ApiError(f"{queue[:80]} takes no dead letters of a stream's reader.", status=404)
        try:
            return await read_letters(self._cloud, queue)
        except SluicewayError as error:
            raise explain(error) from error

    async def replay(self, body: bytes) -> Json:
        """Begin a replay."""
        wanted = read_wanted(_read_object(body))
        try:
            mappings = await self._cloud.list_mappings()
        except SluicewayError as error:
            raise explain(error) from error
        mapping = next((each for each in mappings if each["UUID"] == wanted.mapping), None)
        stream = name_stream(str(mapping.get("EventSourceArn"))) if mapping is not None else ""
        if mapping is None or not stream:
            raise ApiError("No mapping of that id reads a stream.", status=404)
        reader = describe_reader(mapping, self._facts.state, age=None, last=None)
        return self._replays.begin(wanted, mapping, stream=stream, function=str(reader["function"]))

    def cancel(self, replay_id: str) -> None:
        """Cancel a replay."""
        self._replays.cancel(replay_id)

    async def demo(self, body: bytes) -> Json:
        """Begin to send demo records."""
        order = read_demo(_read_object(body))
        stream = self._places().topics.get(order.topic)
        if stream is None:
            raise ApiError(f"There is no topic {order.topic[:128]}.", status=404)
        return self._demo.begin(order, stream)

    def stop_demo(self) -> None:
        """Send no more of them."""
        self._demo.stop()


def _read_object(body: bytes) -> Json:
    try:
        members: Any = read_json(body)
    except MalformedJson as error:
        raise ApiError(f"The body is not JSON: {error}.") from error
    if not isinstance(members, dict):
        raise ApiError("The body is a JSON object.")
    return cast("Json", members)


@asynccontextmanager
async def open_mesh(facts: Facts, tell: Callable[[str, Json], None]) -> AsyncGenerator[Mesh]:
    """The mesh for the length of the block. `tell` hears of news by name, for all who read events."""
    raised: Exception | None = None
    async with open_cloud_calls(facts.state) as cloud, asyncio.TaskGroup() as group:
        mesh = Mesh(facts, cloud, group, tell=tell)
        with ExitStack() as stops:
            for stop in mesh.listen():
                stops.callback(stop)
            try:
                yield mesh
            except Exception as error:  # noqa: BLE001 - not for the group to wrap
                raised = error
            finally:
                mesh.close()
    if raised is not None:
        raise raised
