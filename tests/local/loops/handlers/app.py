"""Functions that make the event that invokes them again."""

import json
import os

import boto3


def bucket_again(event, _context):
    """One more object beside the one that came."""
    record = event["Records"][0]["s3"]
    number = int(record["object"]["key"].rpartition("/")[2])
    boto3.client("s3").put_object(Bucket=record["bucket"]["name"], Key=f"in/{number + 1}", Body=b"x")
    print(f"round {number}")


def queue_again(event, _context):
    """One more message like the one that came."""
    number = json.loads(event["Records"][0]["body"])
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(number + 1))
    print(f"round {number}")


def topic_again(event, _context):
    """One more message in the topic that told."""
    number = json.loads(event["Records"][0]["Sns"]["Message"])
    boto3.client("sns").publish(TopicArn=os.environ["TOPIC"], Message=json.dumps(number + 1))
    print(f"round {number}")


def self_again(event, context):
    """Itself once more."""
    payload = json.dumps({"n": event["n"] + 1}).encode()
    boto3.client("lambda").invoke(
        FunctionName=context.function_name, InvocationType=event.get("kind", "Event"), Payload=payload
    )
    print(f"round {event['n']}")
