"""The measured function on aioboto3, clients and event loop made once and held."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
from aws_lambda_powertools import Logger
from messages import Message, parse

logger = Logger(service=os.environ["AWS_LAMBDA_FUNCTION_NAME"], utc=True, use_rfc3339=True)
runner = asyncio.Runner()
stack = AsyncExitStack()


async def open_clients() -> tuple[Any, Any]:
    session = aioboto3.Session()
    dynamodb = await stack.enter_async_context(session.client("dynamodb"))
    return dynamodb, await stack.enter_async_context(session.client("sqs"))


dynamodb, sqs = runner.run(open_clients())


async def pass_on(messages: list[Message]) -> dict[str, Any]:
    for message in messages:
        key = {"job_id": {"S": message.body}}
        found = await dynamodb.get_item(TableName=os.environ["JOBS_TABLE"], Key=key, ConsistentRead=True)
        state = found["Item"]["state"]["S"] if "Item" in found else "unknown"
        sent = await sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=f"{message.body} is {state}")
        logger.info("job.passed_on", state=state, message_id=sent["MessageId"])
    return {"batchItemFailures": []}


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    return runner.run(pass_on(parse(event)))
