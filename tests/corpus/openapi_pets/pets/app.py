"""Answers both forms of event."""

import json


def handler(event, context):
    if event.get("version") == "2.0":
        return {"name": event["pathParameters"]["name"], "route": event["routeKey"]}
    pet = json.loads(event["body"])
    return {
        "statusCode": 201,
        "multiValueHeaders": {"x-pet": [pet["name"], str(pet["age"])]},
        "body": json.dumps({"resource": event["resource"], "stage": event["requestContext"]["stage"]}),
    }
