"""Create, read, change, delete and list notes."""

import os
from http import HTTPStatus
from uuid import uuid4

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

logger = Logger()
metrics = Metrics()
app = APIGatewayRestResolver()
table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def _text() -> str:
    text = (app.current_event.json_body or {}).get("text")
    if not isinstance(text, str) or not text:
        raise BadRequestError("a note has a text")
    return text


@app.get("/notes")
def list_notes():
    notes = table.scan()["Items"]
    return {"notes": sorted(notes, key=lambda note: note["text"])}


@app.post("/notes")
def create_note():
    note = {"id": str(uuid4()), "text": _text(), "revision": 1}
    table.put_item(Item=note)
    metrics.add_metric(name="NotesCreated", unit=MetricUnit.Count, value=1)
    logger.info("created", note=note["id"])
    return Response(
        status_code=HTTPStatus.CREATED, content_type="application/json", body=note, headers={"Location": note["id"]}
    )


@app.get("/notes/<note_id>")
def read_note(note_id: str):
    found = table.get_item(Key={"id": note_id}).get("Item")
    if found is None:
        raise NotFoundError(f"no note {note_id}")
    return found


@app.put("/notes/<note_id>")
def change_note(note_id: str):
    try:
        changed = table.update_item(
            Key={"id": note_id},
            UpdateExpression="SET #text = :text ADD revision :one",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeNames={"#text": "text"},
            ExpressionAttributeValues={":text": _text(), ":one": 1},
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise NotFoundError(f"no note {note_id}") from error
        raise
    return changed["Attributes"]


@app.delete("/notes/<note_id>")
def delete_note(note_id: str):
    table.delete_item(Key={"id": note_id})
    return Response(status_code=HTTPStatus.NO_CONTENT)


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@metrics.log_metrics
def handler(event, context):
    return app.resolve(event, context)
