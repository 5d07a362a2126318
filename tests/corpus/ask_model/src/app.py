"""Lets teams in, asks a model for them, and says what was asked."""

import json
import os

import boto3


def authorize(event, context):
    team = event["headers"].get("x-team", "")
    if team == "nobody":
        raise Exception("Unauthorized")  # noqa: TRY002 - API Gateway's own word for a 401
    effect = "Allow" if team in ("blue", "tests") else "Deny"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": team, "policyDocument": policy, "context": {"team": team}}


def ask(event, context):
    team = event["requestContext"]["authorizer"]["team"]
    question = json.loads(event["body"])["question"]
    answer = boto3.client("bedrock-runtime").converse(
        modelId=os.environ["MODEL"],
        messages=[{"role": "user", "content": [{"text": question}]}],
        inferenceConfig={"maxTokens": 8},
    )
    body = json.dumps({"team": team, "question": question})
    boto3.client("sqs").send_message(QueueUrl=os.environ["ASKED"], MessageBody=body)
    told = {"text": answer["output"]["message"]["content"][0]["text"], "stop": answer["stopReason"]}
    return {"statusCode": 200, "body": json.dumps(told)}


def shorten(events, context):
    return [{"asked": json.loads(event["body"])["question"][:9]} for event in events]
