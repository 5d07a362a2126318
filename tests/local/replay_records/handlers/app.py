"""A handler that prints the orders of a batch, and names those that are bad as failed."""

import base64
import json


def handle_orders(event, context):
    """Print each order; one that is bad, and what follows it, failed."""
    for record in event["Records"]:
        order = json.loads(base64.b64decode(record["kinesis"]["data"]))
        if order.get("bad"):
            return {"batchItemFailures": [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]}
        print(f"SEEN {json.dumps(order)}", flush=True)
    return {"batchItemFailures": []}
