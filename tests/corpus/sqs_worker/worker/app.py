"""Squares numbers; a number that is none fails alone, and the rest of its batch is done."""

import os

import boto3
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

processor = BatchProcessor(event_type=EventType.SQS)
table = boto3.resource("dynamodb").Table(os.environ["RESULTS"])


def square(record: SQSRecord) -> None:
    job = record.json_body
    number = int(job["number"])
    attempt = int(record.attributes.approximate_receive_count)
    table.put_item(Item={"job": job["job"], "square": number * number, "attempt": attempt})


def handler(event, context):
    return process_partial_response(event=event, record_handler=square, processor=processor, context=context)
