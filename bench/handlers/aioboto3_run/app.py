"""The measured function on aioboto3 as it is usually written: `asyncio.run`, and clients that live one invocation."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aioboto3
from aws_lambda_powertools import Logger
from messages import Message, parse

logger = Logger(service=os.environ["AWS_LAMBDA_FUNCTION_NAME"], utc=True, use_rfc3339=True)
session = aioboto3.Session()


async def pass_on(messages: list[Message]) -> dict[str, Any]:
    async with session.client("dynamodb") as dynamodb, session.client("sqs") as sqs:
        for message in messages:
            key = {"job_id": {"S": message.body}}
            found = await dynamodb.get_item(TableName=os.environ["JOBS_TABLE"], Key=key, ConsistentRead=True)
            state = found["Item"]["state"]["S"] if "Item" in found else "unknown"
            sent = await sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=f"{message.body} is {state}")
            logger.info("job.passed_on", state=state, message_id=sent["MessageId"])
    return {"batchItemFailures": []}


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    return asyncio.run(pass_on(parse(event)))
