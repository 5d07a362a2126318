"""Adds readings up, and checks that each of them is a number."""

import base64
import json
import os

import boto3

sqs = boto3.client("sqs")


def _read(record):
    return json.loads(base64.b64decode(record["kinesis"]["data"]))


def add_up(event, context):
    state = event["state"] or {"sum": 0, "count": 0}
    for record in event["Records"]:
        value = _read(record)["value"]
        if isinstance(value, int):
            state = {"sum": state["sum"] + value, "count": state["count"] + 1}
    if event["isFinalInvokeForWindow"] and state["count"]:
        sqs.send_message(QueueUrl=os.environ["TOTALS"], MessageBody=json.dumps(state))
    return {"state": state}


def check(event, context):
    for record in event["Records"]:
        value = _read(record)["value"]
        if not isinstance(value, int):
            raise TypeError(f"no number: {value}")
