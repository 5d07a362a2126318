"""Tells somebody of a large order."""

import json
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    for record in event["Records"]:
        notice = record["Sns"]
        order = json.loads(notice["Message"])
        told = {
            "order": order["order"],
            "total": notice["MessageAttributes"]["total"]["Value"],
            "of": notice["Subject"],
        }
        sqs.send_message(QueueUrl=os.environ["ALERTS"], MessageBody=json.dumps(told))
