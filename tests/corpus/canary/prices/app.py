"""Says its price, its version, and whether it was warm before anybody asked."""

import json
import os

warm = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]


def handler(event, context):
    told = {"price": int(os.environ["PRICE"]), "version": context.function_version, "warm": warm}
    return {"statusCode": 200, "body": json.dumps(told)} if event else told
