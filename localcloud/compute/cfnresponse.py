"""`cfnresponse`, which Lambda puts beside code that is written into a template: it answers for a custom resource.

Copied beside inline code that says `import cfnresponse` on a line of its own, as CloudFormation does, and run by the
function's interpreter: it knows the standard library alone. Its names and arguments are AWS's.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

SUCCESS = "SUCCESS"
FAILED = "FAILED"


def send(  # noqa: PLR0913, PLR0917 - AWS's own signature
    event: Any,
    context: Any,
    responseStatus: str,  # noqa: N803 - callers name it
    responseData: Any,  # noqa: N803 - the same
    physicalResourceId: str | None = None,  # noqa: N803 - the same
    noEcho: bool = False,  # noqa: FBT001, FBT002, N803 - the same
    reason: str | None = None,
) -> None:
    """Answer the event. What goes wrong is printed, never raised."""
    answer = {
        "Status": responseStatus,
        "Reason": reason or f"See the details in CloudWatch Log Stream: {context.log_stream_name}",
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"content-type": ""}, method="PUT")  # noqa: S310 - CloudFormation's address
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - the same
            print("cfnresponse: answered", responseStatus, "with status", response.status)  # noqa: T201 - the function's log
    except OSError as error:
        print("cfnresponse: cannot answer:", error)  # noqa: T201 - the same
