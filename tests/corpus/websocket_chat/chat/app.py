"""Keeps who is in the room, and tells all of them what one says."""

import json
import os

import boto3

table = boto3.resource("dynamodb").Table(os.environ["CONNECTIONS"])


def handler(event, context):
    about = event["requestContext"]
    connection = about["connectionId"]
    if about["routeKey"] == "$connect":
        name = (event.get("queryStringParameters") or {}).get("name")
        if not name:
            return {"statusCode": 403}
        table.put_item(Item={"connection": connection, "name": name})
    elif about["routeKey"] == "$disconnect":
        gone = table.delete_item(Key={"connection": connection}, ReturnValues="ALL_OLD")
        tell(os.environ["POST_TO"], {"left": gone["Attributes"]["name"]})
    else:
        speaker = table.get_item(Key={"connection": connection})["Item"]["name"]
        text = json.loads(event["body"])["text"]
        tell(f"https://{about['domainName']}/{about['stage']}", {"from": speaker, "text": text})
    return {"statusCode": 200}


def tell(endpoint, message):
    api = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)
    for item in table.scan()["Items"]:
        try:
            api.post_to_connection(ConnectionId=item["connection"], Data=json.dumps(message))
        except api.exceptions.GoneException:
            table.delete_item(Key={"connection": item["connection"]})
