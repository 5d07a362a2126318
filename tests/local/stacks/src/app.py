"""Makes things, as cfn-response does it: the answer is put where the event says, with an empty content type."""

import json
import urllib.request


def make(event, context):
    """SUCCESS, or FAILED, or nothing, as the properties say."""
    print(
        json.dumps(
            {"asked": event["RequestType"], "of": event["LogicalResourceId"], "id": event.get("PhysicalResourceId")}
        )
    )
    properties = event["ResourceProperties"]
    creates = event["RequestType"] == "Create"
    if creates and properties["Mode"] == "silent":
        return
    fails = creates and properties["Mode"] == "fail"
    answer = {
        "Status": "FAILED" if fails else "SUCCESS",
        "Reason": "as it was told",
        "PhysicalResourceId": event.get("PhysicalResourceId", f"made-{event['LogicalResourceId']}"),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Name": properties["Name"] + properties.get("Size", "")},
    }
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"content-type": ""}, method="PUT")
    urllib.request.urlopen(request, timeout=5).close()
