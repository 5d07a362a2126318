"""Who asks, as the token says it."""

import json


def profile(event, context):
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    told = {"email": claims["email"], "route": event["routeKey"], "order": event.get("pathParameters", {}).get("order")}
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "cookies": ["seen=1; Secure; HttpOnly"],
        "body": json.dumps(told),
    }


def health(event, context):
    return {"ok": True}
