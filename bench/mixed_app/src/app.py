"""Handlers that note the number of what they have handled, a line each, in the file of its kind."""

import base64
import json
import os
from pathlib import Path
from typing import Any

POISON = 40
STUMBLE = 15


class Refused(Exception):
    """What an asynchronous invocation fails with."""


def note(kind: str, *numbers: int) -> None:
    with (Path(os.environ["EVIDENCE"]) / kind).open("a") as file:
        file.write("".join(f"{number}\n" for number in numbers))


def work(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Every 40th never succeeds, every 15th not at first."""
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        number = json.loads(record["body"])["number"]
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        if number % POISON == 0 or (number % STUMBLE == 0 and first):
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            note("queue", number)
    return {"batchItemFailures": failed}


def measure(event: dict[str, Any], _context: object) -> None:
    note("stream", *(json.loads(base64.b64decode(each["kinesis"]["data"]))["number"] for each in event["Records"]))


def follow(event: dict[str, Any], _context: object) -> None:
    note("table", *(int(each["dynamodb"]["NewImage"]["number"]["N"]) for each in event["Records"]))


def hear(event: dict[str, Any], _context: object) -> None:
    note("topic", *(json.loads(each["Sns"]["Message"])["number"] for each in event["Records"]))


def obey(event: dict[str, Any], _context: object) -> None:
    note("bus", event["detail"]["number"])


def later(event: dict[str, Any], _context: object) -> dict[str, Any]:
    if event["number"] % POISON == 0:
        raise Refused(event["number"])
    return event


def praise(event: dict[str, Any], _context: object) -> None:
    note("later", event["responsePayload"]["number"])


def complain(event: dict[str, Any], _context: object) -> None:
    note("complained", event["requestPayload"]["number"])


def chat(event: dict[str, Any], _context: object) -> dict[str, Any]:
    if event["requestContext"]["eventType"] != "MESSAGE":
        return {"statusCode": 200}
    number = json.loads(event["body"])["number"]
    note("chat", number)
    return {"statusCode": 200, "body": json.dumps({"number": number})}


def step(event: dict[str, Any], _context: object) -> dict[str, Any]:
    note("step", event["number"])
    return event
