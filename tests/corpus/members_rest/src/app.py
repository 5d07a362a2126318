"""Says who asks, and writes down who joins."""

import json
import os

import boto3


def me(event, context):
    claims = event["requestContext"].get("authorizer", {}).get("claims", {})
    told = {"email": claims.get("email"), "groups": claims.get("cognito:groups")}
    return {"statusCode": 200, "body": json.dumps(told)}


def welcome(event, context):
    attributes = event["request"]["userAttributes"]
    boto3.resource("dynamodb").Table(os.environ["JOINED"]).put_item(
        Item={"sub": attributes["sub"], "email": attributes["email"], "how": event["triggerSource"]}
    )
    return event
