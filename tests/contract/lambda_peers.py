"""Both sides of Lambda's differential tests: the local cloud's API in this process, and moto, each behind boto3.

Nothing is invoked: moto would want containers for it.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.clock import LoopClock
from localcloud.compute.function import FunctionSpec
from localcloud.compute.functions import Functions
from localcloud.services.contract import WireRequest
from localcloud.services.lambda_.wire import LambdaService
from localcloud.services.logs.model import Logs
from tests.lambda_parts import make_parts, make_service

REGION = "us-east-1"
_OURS = "http://ours.invalid"  # a host that moto does not answer for
_NAMES = itertools.count()
_TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},'
    '"Action":"sts:AssumeRole"}]}'
)


def archive(text: str) -> bytes:
    """An archive of one file, the same bytes for the same text."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr(zipfile.ZipInfo("app.py"), text)
    return made.getvalue()


class Raw(io.BytesIO):
    """A body as botocore streams it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


class Side:
    """One implementation behind boto3."""

    def __init__(self, client: Any, role: str) -> None:
        self._client = client
        self.role = role

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer, or `{"error": code, "said": message}`; either with its status."""
        try:
            answer = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            found = error.response
            status = found["ResponseMetadata"]["HTTPStatusCode"]
            return {"error": found["Error"]["Code"], "status": status, "said": found["Error"]["Message"]}
        return answer | {"status": answer.pop("ResponseMetadata")["HTTPStatusCode"]}


@contextmanager
def open_sides() -> Iterator[tuple[Side, Side]]:
    """Ours and moto's, each with a role."""
    keys: dict[str, Any] = {"aws_access_key_id": "AK", "aws_secret_access_key": "secret", "region_name": REGION}
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    sdk: Any = boto3
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        service = runner.run(_open(Path(folder)))
        ours = sdk.client(
            "lambda", config=config, endpoint_url="http://ours.invalid", **keys
        )  # moto knows no such host

        def send(request: AWSRequest) -> AWSResponse:
            return runner.run(_answer(service, request))

        ours.meta.events.register("before-send.lambda", lambda request, **_: send(request))
        with mock_aws():
            iam = sdk.client("iam", **keys)
            role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=_TRUST)["Role"]["Arn"]
            peer = sdk.client("lambda", config=config, **keys)
            yield Side(ours, role), Side(peer, role)


def _refuse(spec: FunctionSpec) -> Any:
    raise AssertionError(spec.name)


async def _open(folder: Path) -> LambdaService:
    """The API over a registry that is asked to run nothing."""
    clock = LoopClock(asyncio.get_running_loop())
    functions = Functions(
        _refuse,
        group=asyncio.TaskGroup(),
        clock=clock,
        logs=Logs(clock=clock),
        rng=random.Random(next(_NAMES)),
    )
    return make_service(make_parts(functions, folder, clock=clock))


async def _answer(service: LambdaService, request: AWSRequest) -> AWSResponse:
    place = urlsplit(request.url)
    body = request.body or b""
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    wire = WireRequest(
        service="lambda",
        region=REGION,
        method=request.method,
        path=place.path,
        query=place.query,
        headers=headers,
        body=body if isinstance(body, bytes) else body.encode(),
        access_key="AK",
        request_id="r",
    )
    answer = await service.handle(wire)
    assert isinstance(answer.body, bytes)
    return AWSResponse(request.url, answer.status, dict(answer.headers), Raw(answer.body))
