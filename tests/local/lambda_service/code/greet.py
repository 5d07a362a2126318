"""Says a word, with what the environment says of itself; or fails."""

import json
import os


def handler(event, context):
    said = {
        "word": os.environ.get("WORD", ""),
        "arn": context.invoked_function_arn,
        "version": context.function_version,
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
    }
    return {"statusCode": 200, "body": json.dumps(said)} if "requestContext" in event else said


def fail(event, context):
    raise KeyError("lost")
