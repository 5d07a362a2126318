"""The functions of the application that is reset."""

import json
import os
import time
import urllib.request

import boto3


def work(event, context):
    """An item for each message and each call; an error where it is asked for."""
    body = event["Records"][0]["body"] if "Records" in event else event.get("id", "called")
    if body == "fail":
        raise ValueError("as asked")
    boto3.resource("dynamodb").Table(os.environ["TABLE"]).put_item(Item={"id": body})
    return {"statusCode": 200, "body": os.environ["MARK"]}


def wedge(event, context):
    """Never an end."""
    while True:
        time.sleep(1)


def seed(event, context):
    """A custom resource that puts an item into the table, by one call more or less each time."""
    if event["RequestType"] == "Create":
        for _ in range(1 + os.getpid() % 7):
            boto3.resource("dynamodb").Table(os.environ["TABLE"]).put_item(Item={"id": "seed"})
    answer = {
        "Status": "SUCCESS",
        "PhysicalResourceId": "seed",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Mark": "seeded"},
    }
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"content-type": ""}, method="PUT")
    urllib.request.urlopen(request).close()
