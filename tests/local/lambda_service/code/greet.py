"""Says a word, with what the environment says of itself; or fails."""

import os


def handler(event, context):
    return {
        "word": os.environ.get("WORD", ""),
        "arn": context.invoked_function_arn,
        "version": context.function_version,
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
    }


def fail(event, context):
    raise KeyError("lost")
