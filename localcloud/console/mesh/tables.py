"""What the mesh's tables hold: rules, who has subscribed, rollups. Read as they are; what is wrong is shown as wrong.

Source: docs/filtering.md, docs/subscriptions.md, docs/rollups.md say what the items are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from localcloud.console.mesh.cloud import Cloud, Json
from localcloud.console.mesh.places import Rollup
from sluiceway.aws.attributes import Value, encode_item
from sluiceway.errors import Rejected
from sluiceway.rules.filtering import parse_rule
from sluiceway.rules.topics import topic_of

__all__ = [
    "MINUTES",
    "describe_rule",
    "group_subscribers",
    "read_rollup",
    "read_rules",
    "read_subscribers",
    "sum_minutes",
]

MINUTES: Final = 30  # of a rollup that are shown
MAX_RULES: Final = 500
MAX_KINDS: Final = 50  # different subscriptions of a topic that are told apart


async def read_rules(cloud: Cloud, table: str) -> list[Json]:
    """RULE of the API's docstring, for each. Raises SluicewayError."""
    items, _ = await cloud.read_items("Scan", table, {})
    kept = [item for item in items if str(item.get("rule_id", "")) != "#head" and item.get("removed") is not True]
    rules = [describe_rule(item) for item in kept[:MAX_RULES]]
    return sorted(rules, key=lambda rule: (rule["topic"], rule["id"]))


def describe_rule(item: Mapping[str, Value]) -> Json:
    """RULE of the API's docstring; `problem` where it is none that filter_records could use."""
    problem = None
    try:
        parse_rule({name: value for name, value in item.items() if name != "changed"})
    except Rejected as error:
        problem = " ".join(filter(None, (error.reason, error.field)))
    masks = item.get("masks")
    return {
        "topic": _plain(item.get("topic")),
        "id": _plain(item.get("rule_id")),
        "pattern": _plain(item.get("pattern")),
        "columns": _plain(item.get("columns")),
        "masks": _plain(masks) if isinstance(masks, Mapping) else {},
        "destination": _plain(item.get("destination")),
        "enabled": item.get("enabled") is not False,
        "version": _plain(item.get("version")),
        "problem": problem,
    }


async def read_subscribers(cloud: Cloud, table: str, now_s: float) -> list[Json]:
    """SUBSCRIBERS of the API's docstring, by topic. Raises SluicewayError."""
    items, is_whole = await cloud.read_items("Scan", table, {})
    return [{**each, "is_whole": is_whole} for each in group_subscribers(items, now_s)]


def group_subscribers(items: Sequence[Mapping[str, Value]], now_s: float) -> list[Json]:
    """By topic, and there by what is wanted. What has expired, and waits for DynamoDB to delete it, does not count."""
    topics: dict[str, dict[tuple[str, tuple[str, ...]], set[str]]] = defaultdict(lambda: defaultdict(set))
    for item in items:
        expires = item.get("expires_s")
        if isinstance(expires, int) and expires and expires < now_s:
            continue
        columns = item.get("columns")
        names = tuple(str(each) for each in columns) if isinstance(columns, list) else ()
        kind = (str(item.get("pattern") or ""), names)
        topics[topic_of(str(item.get("topic", "")))][kind].add(str(item.get("connection_id", "")))
    found: list[Json] = []
    for topic, kinds in sorted(topics.items()):
        ordered = sorted(kinds.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        wants = [
            {"pattern": pattern or None, "columns": list(columns), "connections": len(connections)}
            for (pattern, columns), connections in ordered
        ]
        everyone = set[str]().union(*kinds.values())
        found.append({"topic": topic, "connections": len(everyone), "wants": wants[:MAX_KINDS]})
    return found


async def read_rollup(cloud: Cloud, rollup: Rollup, now_s: float) -> Json:
    """ROLLUP of the API's docstring. Raises SluicewayError."""
    now = datetime.fromtimestamp(now_s, UTC)
    minutes = [(now - timedelta(minutes=back)).strftime("%Y-%m-%dT%H:%MZ") for back in range(MINUTES - 1, -1, -1)]
    within = {
        "FilterExpression": "begins_with(#rollup, :rollup) AND #period BETWEEN :low AND :high",
        "ExpressionAttributeNames": {"#rollup": "rollup", "#period": "period"},
        "ExpressionAttributeValues": encode_item(
            {":rollup": f"{rollup.rollup_id}#", ":low": f"minute#{minutes[0]}", ":high": f"minute#{minutes[-1]}"}
        ),
    }
    items, is_whole = await cloud.read_items("Scan", rollup.table, within)
    job = {
        "KeyConditionExpression": "#rollup = :rollup",
        "ExpressionAttributeNames": {"#rollup": "rollup"},
        "ExpressionAttributeValues": encode_item({":rollup": f"{rollup.rollup_id}#job"}),
    }
    jobs, _ = await cloud.read_items("Query", rollup.table, job)
    return {
        "id": rollup.rollup_id,
        "metrics": list(rollup.metrics),
        "minutes": sum_minutes(items, minutes, rollup.metrics),
        "is_whole": is_whole,
        "job": _describe_job(jobs[0]) if jobs else None,
    }


def sum_minutes(items: Sequence[Mapping[str, Value]], minutes: Sequence[str], metrics: Sequence[str]) -> list[Json]:
    """MINUTE of the API's docstring, for each of `minutes`, all of the rollup's dimensions together."""
    records: dict[str, int] = defaultdict(int)
    rows: dict[str, int] = defaultdict(int)
    sums: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for item in items:
        start = str(item.get("period", "")).partition("#")[2]
        stored = item.get("metrics")
        records[start] += _whole(item.get("records"))
        rows[start] += 1
        for name in metrics:
            measure = stored.get(name) if isinstance(stored, Mapping) else None
            if isinstance(measure, Mapping):
                total, count = sums.get((start, name), (Decimal(0), 0))
                more = Decimal(str(measure.get("sum", 0)))
                sums[(start, name)] = (total + more, count + _whole(measure.get("values")))
    return [
        {
            "start": start,
            "records": records.get(start, 0),
            "rows": rows.get(start, 0),
            "averages": {
                name: float(sums[(start, name)][0] / sums[(start, name)][1])
                for name in metrics
                if sums.get((start, name), (0, 0))[1]
            },
        }
        for start in minutes
    ]


def _describe_job(item: Mapping[str, Value]) -> Json:
    names = ("state", "updated_ms", "next_ms", "last_failure", "stats")
    return {name: _plain(item.get(name)) for name in names}


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | Decimal) else 0


def _plain(value: object) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | set | tuple | frozenset):
        return [_plain(each) for each in cast("Sequence[object]", value)]
    return value
