"""A streaming mesh as the console's API tells it, for tests of the page."""

from __future__ import annotations

import time
from typing import Any

STREAM = "shop-OrdersStream-with-a-name-of-some-length"


def shard(number: int, first: float, last: float, *parents: int, is_open: bool = True, **more: Any) -> dict[str, Any]:
    """A shard with its part of the hash keys."""
    rates = {"records_s": 2.4, "bytes_s": 410.0, "load": 0.0024, "hot": False} if is_open else {}
    nothing = {"records_s": 0.0, "bytes_s": 0.0, "load": 0.0, "hot": False}
    kin = [f"shardId-{parent:012}" for parent in parents]
    found = {"id": f"shardId-{number:012}", "from": first, "to": last, "parents": kin, "open": is_open}
    return found | nothing | rates | more


def told_mesh() -> dict[str, Any]:
    """A stream that was split and merged, with a hot shard; readers of all kinds; of all that can be wrong, one."""
    now_ms = time.time() * 1000
    last = {"ended_ms": now_ms - 4_000, "took_ms": 12.4, "ok": True, "trace": "1-a-b", "batches": 1_204, "failed": 3}
    reader = {
        "id": "u1", "stream": STREAM, "function": "FilterRecords", "state": "Enabled", "consumer": None,
        "position": "LATEST", "batch_size": 500, "window_s": 0, "filters": [], "last_result": "OK", "age_ms": 840.0,
        "age_at_ms": now_ms - 20_000, "last": last, "letters": "shop-FilterDeadLetters",
    }  # fmt: skip
    return {
        "now_ms": now_ms,
        "streams": [
            {
                "name": STREAM, "arn": f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}", "status": "ACTIVE",
                "mode": "PROVISIONED", "retention_h": 24, "records_s": 815.2, "bytes_s": 140_000.0, "is_whole": True,
                "shards": [
                    shard(0, 0.0, 0.5, is_open=False),
                    shard(1, 0.5, 1.0, is_open=False),
                    shard(2, 0.0, 0.25, 0, records_s=810.4, load=0.81, hot=True),
                    shard(3, 0.25, 0.5, 0, is_open=False),
                    shard(4, 0.25, 1.0, 3, 1),
                ],
                "consumers": [{"name": "sluiceway-console", "status": "ACTIVE", "own": True}],
            }
        ],
        "readers": [
            reader,
            reader | {
                "id": "u2", "function": "BroadcastRecords", "last_result": "PROBLEM: Function call failed",
                "age_ms": 92_000.0, "letters": "shop-BroadcastDeadLetters",
            },
            reader | {"id": "u3", "function": "RollUpRecords", "window_s": 60, "age_ms": None, "last": None},
        ],
        "letters": [
            {"queue": "shop-FilterDeadLetters", "count": 0},
            {"queue": "shop-BroadcastDeadLetters", "count": 2},
        ],
        "topics": {"orders": STREAM},
        "channels": {"orders": "/orders/live"},
        "filtered": {
            "matched": 1_400, "unmatched": 20, "poison": 1, "sent": 1_398, "refused": 2, "returned": 0,
            "misconfigured": 0,
        },
        "rules": [
            {
                "topic": "orders", "id": "large-orders", "pattern": '{"total":[{"numeric":[">=",100]}]}',
                "columns": ["order", "total", "customer"], "enabled": True, "version": 2, "problem": None,
                "masks": {"customer.email": "tokenise", "customer.card": {"mask": "hash", "domain": "card"}},
                "destination": {"type": "sqs", "url": "https://sqs.us-east-1.amazonaws.com/1/large-orders"},
                "counts": {"refused": 2, "returned": 0, "misconfigured": 0},
            },
            {
                "topic": "orders", "id": "broken", "pattern": '{"total":5}', "columns": None, "masks": {},
                "destination": {"type": "stream", "name": "x" * 60}, "enabled": False, "version": 1, "counts": None,
                "problem": "invalid-pattern pattern.total",
            },
        ],
        "subscribers": [
            {
                "topic": "orders", "connections": 3, "is_whole": True,
                "wants": [{"pattern": '{"region":["north"]}', "columns": ["order", "total"], "connections": 3}],
            }
        ],
        "rollups": [
            {
                "id": "records", "metrics": ["temperature"], "is_whole": True,
                "minutes": [
                    {"start": f"2027-01-15T08:{minute:02}Z", "records": minute * 7 % 40, "rows": 4,
                     "averages": {"temperature": 18.25}}
                    for minute in range(30)
                ],
                "job": {"state": "retry", "updated_ms": round(now_ms - 90_000), "next_ms": 0,
                        "last_failure": "the bucket is away", "stats": {}},
            }
        ],
        "replays": [
            {
                "id": "r1", "stream": STREAM, "reader": "u1", "function": "FilterRecords", "since_ms": 0,
                "until_ms": round(now_ms), "rate": 100, "state": "running", "done": 300, "refused": 4,
                "arrived_ms": round(now_ms), "shards": 5, "shards_done": 2, "fraction": 0.4, "error": None,
                "reasons": [{"reason": "function-error: ValueError", "records": 4}],
            }
        ],
        "demo": None,
    }  # fmt: skip


def told_record(number: int, **more: Any) -> dict[str, Any]:
    """A record of the tail."""
    found = {
        "shard": "shardId-000000000002", "sequence_number": f"4968{number:052}", "sub_sequence": None,
        "key": f"customer-{number:02}", "arrived_ms": round(time.time() * 1000), "size_bytes": 120,
        "data": {"order": number, "total": 12.5, "customer": {"name": f"customer-{number:02}", "note": "n" * 60}},
        "text": None, "base64": None, "cut": False, "fault": None,
    }  # fmt: skip
    return found | more
