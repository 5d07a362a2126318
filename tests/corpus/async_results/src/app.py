"""Halves even numbers; complains of others."""

import json
import os

import boto3


def work(event, context):
    if event["number"] % 2:
        raise ValueError(f"{event['number']} is odd")
    return {"half": event["number"] // 2, "version": context.function_version, "arn": context.invoked_function_arn}


def complain(event, context):
    told = {
        "why": event["responsePayload"]["errorMessage"],
        "condition": event["requestContext"]["condition"],
        "asked": event["requestPayload"],
        "tries": event["requestContext"]["approximateInvokeCount"],
    }
    boto3.client("sqs").send_message(QueueUrl=os.environ["COMPLAINTS"], MessageBody=json.dumps(told))
