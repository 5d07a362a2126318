"""Tickets are opened and closed; who may do what is the template's affair."""

import os

import boto3
from botocore.exceptions import ClientError

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def open_ticket(event, context):
    table.put_item(Item={"id": event["id"], "state": "open"})
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=event["id"])
    boto3.client("sns").publish(TopicArn=os.environ["TOPIC"], Message=f"{event['id']} is open")
    try:
        table.get_item(Key={"id": event["id"]})
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "read"


def close_ticket(event, context):
    try:
        state = table.get_item(Key={"id": event["id"]})["Item"]["state"]
        table.update_item(
            Key={"id": event["id"]},
            UpdateExpression="SET #state = :closed",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":closed": "closed"},
        )
    except ClientError as error:
        return error.response["Error"]["Code"]
    return state
