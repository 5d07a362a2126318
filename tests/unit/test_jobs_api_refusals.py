"""POST /jobs where SQS refuses: what a client can mend is a 4xx by name, everything else is ours and a 503."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from localcloud.gateway.message import HttpResponse
from localcloud.services.contract import WireResponse
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.query import write_error
from tests.unit.gateway_setup import Recorder, ask, deploy_jobs_api, make_stage


async def refused(answer: WireResponse) -> HttpResponse:
    """What the template's own integration makes of `answer`."""
    found: dict[str, Any] = {}

    def take(body: dict[str, Any]) -> None:
        found.update(copy.deepcopy(body["paths"]["/jobs"]["post"]["x-amazon-apigateway-integration"]))

    await deploy_jobs_api(alter=take)
    stage = make_stage({"/jobs": {"post": {"x-amazon-apigateway-integration": found}}}, dispatch=Recorder(answer))
    return await ask(stage, "POST", "/jobs", b'{"prompt":"x"}', content_type="application/json")


def sqs_error(code: str, message: str, status: int = 400) -> WireResponse:
    """An error of SQS's query protocol, as API Gateway asks for it: in JSON."""
    return WireResponse(status, write_error(SqsError(code, message), "req", as_json=True))


TOO_LONG = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("MissingRequiredParameterException", "The request must contain the parameter MessageBody.", 400,
         "invalid-idempotency-key"),
        ("InvalidMessageContents", "Invalid binary character '#xFFFE' was found in the message body", 400,
         "invalid-characters"),
        ("InvalidParameterValueException", TOO_LONG, 413, "too-large"),
    ],
)  # fmt: skip
async def test_what_the_client_sent_is_a_4xx_by_name(code: str, message: str, status: int, kind: str) -> None:
    """Each code of SQS that a client can provoke has its own problem."""
    response = await refused(sqs_error(code, message))
    problem = json.loads(response.body)
    assert (response.status, problem["status"], problem["type"]) == (status, status, f"/problems/{kind}")
    assert response.header("content-type") == "application/problem+json"
    assert response.header("retry-after") is None


@pytest.mark.parametrize(
    "answer",
    [
        sqs_error("AccessDenied", "Access to the resource is denied.", 403),
        sqs_error("QueueDoesNotExist", "The specified queue does not exist."),
        sqs_error("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
        sqs_error("RequestThrottled", "Rate exceeded", 403),
        sqs_error("KMS.AccessDeniedException", "The ciphertext refers to a key that does not exist"),
        sqs_error("InvalidParameterValueException", "Value for parameter QueueUrl is invalid."),
        WireResponse(400, b"<html>a proxy</html>"),
        WireResponse(403, b""),
        sqs_error("InternalFailure", "We failed", 500),
        WireResponse(503, b"Service Unavailable"),
    ],
)
async def test_what_the_deployment_or_the_queue_did_is_a_503(answer: WireResponse) -> None:
    """The API's role, a queue that is gone, throttling: never a 4xx, with Retry-After, and the console may read it."""
    response = await refused(answer)
    problem = json.loads(response.body)
    assert (response.status, problem["status"], problem["type"]) == (503, 503, "/problems/unavailable")
    assert response.header("retry-after") == "5"
    assert response.header("content-type") == "application/problem+json"
    assert response.header("access-control-allow-origin") == "http://127.0.0.1:4603"
    assert b"denied" not in response.body
