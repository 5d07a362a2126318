"""Handlers that print what they are given, a line of JSON each; some fail where the data says so."""

import base64
import json


def _print(**seen):
    print(f"SEEN {json.dumps(seen, separators=(',', ':'))}", flush=True)


def print_event(event, context):
    """Print the records."""
    _print(records=event["Records"])


def handle_orders(event, context):
    """Print each order; from the first that says so on, the orders of its group fail until they come a second time."""
    stopped, failed = set(), []
    for record in event["Records"]:
        attributes = record["attributes"]
        group, again = attributes["MessageGroupId"], int(attributes["ApproximateReceiveCount"]) > 1
        if group in stopped or (record["body"].startswith("flaky") and not again):
            stopped.add(group)
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            _print(group=group, body=record["body"])
    return {"batchItemFailures": failed}


def handle_readings(event, context):
    """Print the readings of a batch; one that is poison fails it whole."""
    readings = [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
    if any(reading.get("poison") for reading in readings):
        raise ValueError("poison")
    _print(readings=readings)


def count_readings(event, context):
    """Count a window's records in its state, and print the count at its end."""
    count = event["state"].get("count", 0) + len(event["Records"])
    if event["isFinalInvokeForWindow"]:
        _print(window=event["window"], shard=event["shardId"], count=count)
    return {"state": {"count": count}}
