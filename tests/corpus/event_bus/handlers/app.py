"""Ships what is paid, and says so on the same bus."""

import json
import os

import boto3

sqs = boto3.client("sqs")
events = boto3.client("events")


def ship(event, context):
    order = event["detail"]["order"]
    sqs.send_message(QueueUrl=os.environ["SHIPPED"], MessageBody=order)
    if "replay-name" in event:
        return
    shipped = {"Source": "shop.warehouse", "DetailType": "OrderShipped", "Detail": json.dumps({"order": order})}
    put = events.put_events(Entries=[shipped | {"EventBusName": os.environ["BUS"]}])
    if put["FailedEntryCount"]:
        raise RuntimeError(put["Entries"][0]["ErrorMessage"])


def report(event, context):
    return f"made the {event['report']} report"
