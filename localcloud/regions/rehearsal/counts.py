"""What became of a rehearsal's records: read from both Regions' streams, and held against what clients were told."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast

from localcloud.regions.rehearsal.load import Ask
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.wire import Wire

__all__ = ["Counts", "count", "read_stream"]

PAGE: Final = 10_000


class Counts(NamedTuple):
    """How it ended: what clients were told, and what must be 0.

    `twice`: records stored more than once. `lost`: told stored, and not there. `unlisted`: in doubt for a client, and
    on no list. `unknown`: clients that were told nothing final.
    """

    stored: int
    in_doubt: int
    refused: int
    twice: int
    lost: int
    unlisted: int
    unknown: int

    @property
    def is_right(self) -> bool:
        """Whether nothing was done twice, lost or left unsaid."""
        return not (self.twice or self.lost or self.unlisted or self.unknown or self.refused)


def count(asks: Iterable[Ask], stored: Mapping[str, int], listed: frozenset[str]) -> Counts:
    """`stored`: how often each key's record is in the streams; `listed`: the keys that are listed as in doubt."""
    kinds: Counter[str] = Counter()
    for ask in asks:
        times = stored.get(ask.key, 0)
        kinds[ask.told or "unknown"] += 1
        kinds["twice"] += times > 1
        kinds["lost"] += ask.told == "stored" and not times
        kinds["unlisted"] += ask.told == "in-doubt" and ask.key not in listed
    return Counts(
        stored=kinds["stored"],
        in_doubt=kinds["in-doubt"],
        refused=kinds["refused"],
        twice=kinds["twice"],
        lost=kinds["lost"],
        unlisted=kinds["unlisted"],
        unknown=kinds["unknown"],
    )


async def read_stream(environ: Mapping[str, str], stream: str) -> Counter[str]:
    """How often the record of each key is in `stream` of one Region, from its beginning to its end now."""
    found: Counter[str] = Counter()
    async with Wire.open(environ) as wire:
        shards = (await wire.call(KINESIS, "ListShards", {"StreamName": stream})).json()["Shards"]
        for shard in cast("list[dict[str, Any]]", shards):
            asked = {"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = (await wire.call(KINESIS, "GetShardIterator", asked)).json()["ShardIterator"]
            while iterator:
                page = (await wire.call(KINESIS, "GetRecords", {"ShardIterator": iterator, "Limit": PAGE})).json()
                found.update(_keys(page["Records"]))
                iterator = page.get("NextShardIterator") if page["Records"] or page["MillisBehindLatest"] else None
    return found


def _keys(records: Iterable[Mapping[str, str]]) -> Iterable[str]:
    for record in records:
        data = json.loads(base64.b64decode(record["Data"]))
        content = data.get("data", data)
        if "rehearsal" in content:
            yield str(content["rehearsal"])
