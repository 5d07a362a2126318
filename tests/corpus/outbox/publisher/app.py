"""Publishes the events that were written beside a balance."""

import json

import boto3
from boto3.dynamodb.types import TypeDeserializer

events = boto3.client("events")
read = TypeDeserializer().deserialize


def handler(event, context):
    failures = []
    for record in event["Records"]:
        image = {name: read(value) for name, value in record["dynamodb"]["NewImage"].items()}
        detail = json.dumps({"account": image["pk"], "amount": int(image["amount"])})
        entry = {"Source": "bank.accounts", "DetailType": image["kind"], "Detail": detail}
        if events.put_events(Entries=[entry])["FailedEntryCount"]:
            failures.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
            break
    return {"batchItemFailures": failures}
