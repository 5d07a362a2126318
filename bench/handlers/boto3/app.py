"""The measured function on boto3, synchronous, clients made once."""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from messages import parse

logger = Logger(service=os.environ["AWS_LAMBDA_FUNCTION_NAME"], utc=True, use_rfc3339=True)
dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    for message in parse(event):
        key = {"job_id": {"S": message.body}}
        found = dynamodb.get_item(TableName=os.environ["JOBS_TABLE"], Key=key, ConsistentRead=True)
        state = found["Item"]["state"]["S"] if "Item" in found else "unknown"
        sent = sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=f"{message.body} is {state}")
        logger.info("job.passed_on", state=state, message_id=sent["MessageId"])
    return {"batchItemFailures": []}
