"""Lambda as its API and its resource handlers have it, and where it tells of asynchronous invocations.

The one place where functions meet IAM, S3, Function URLs and the front. Knows no resource handler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from localcloud.compute.code import CodeStore
from localcloud.compute.functions import Functions
from localcloud.compute.invocation_destinations import RoleOutlets
from localcloud.compute.layers import Layers
from localcloud.compute.metering import FunctionMeters
from localcloud.compute.publishing import Publisher
from localcloud.compute.resource_parts import FunctionParts
from localcloud.compute.role_calls import RoleCaller
from localcloud.front import Front
from localcloud.options import CloudOptions
from localcloud.parts.delegated import Lazily
from localcloud.parts.messaging import Messaging
from localcloud.parts.services import Services
from localcloud.services.contract import Dispatch, WireRequest
from localcloud.services.iam.sessions import RoleSessions
from localcloud.services.lambda_.api import ApiParts
from localcloud.services.lambda_.errors import refused

if TYPE_CHECKING:
    from localcloud.services.lambda_.wire import LambdaService

__all__ = ["open_lambda"]

MAX_OBJECT_BYTES: Final = 250 * 1024 * 1024  # gettingstarted-limits: a deployment package, unzipped
_LAMBDA: Final = "lambda.amazonaws.com"
_SESSION: Final = "awslambda_async"
_FAILED: Final = 300


def open_lambda(
    options: CloudOptions, services: Services, functions: Functions, *, messaging: Messaging, front: Front
) -> ApiParts:
    """Serve the Lambda API behind `front`, and let functions tell destinations. Gives what handlers make functions in.

    The Function URLs, which are made later, are put into what it gives.
    """
    parts = ApiParts(
        own=FunctionParts(
            functions=functions,
            publisher=Publisher(CodeStore(options.cache), clock=services.clock, rng=services.rng),
            may_do=services.may_do,
            clock=services.clock,
        ),
        policies=services.policies,
        layers=Layers(),
        urls=lambda: (),
        read_object=_ObjectReader(front.dispatch),
        may_assume=lambda role: services.iam.may_assume(role, _LAMBDA),
    )
    region = options.region

    @cache
    def open_api() -> LambdaService:
        from localcloud.services.lambda_.wire import LambdaService  # noqa: PLC0415 - few stacks call Lambda's API

        return LambdaService(
            lambda asked: functions if asked == region else None,
            lambda asked: messaging.mappings if asked == region else None,
            parts=lambda asked: parts if asked == region else None,
        )

    services.resource_tags["lambda"] = lambda action, arn: open_api().tags_of(action, arn)
    front.add(Lazily("lambda", open_api))
    sessions = RoleSessions(services.iam, service=_LAMBDA, session=_SESSION)
    caller = RoleCaller(dispatch=front.dispatch, assume=sessions.assume, rng=services.rng)
    meters = functions.meters = FunctionMeters(services.counters, functions.records, region=region)
    functions.connect(RoleOutlets(caller, rng=services.rng), meters, parts.own.publisher.follow)
    return parts


class _ObjectReader:
    """Reads archives from S3 as the caller of a request would; signatures are not verified, but one must be there."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def __call__(self, bucket: str, key: str, *, version: str, request: WireRequest) -> bytes:
        """The content. Raises LambdaError, in Lambda's words, for what S3 refuses."""
        scope = f"{request.access_key}/20200101/{request.region}/s3/aws4_request"
        asked = replace(
            request,
            service="s3",
            method="GET",
            path=f"/{quote(bucket)}/{quote(key)}",
            query=f"versionId={quote(version)}" if version else "",
            headers={
                "host": f"s3.{request.region}.amazonaws.com",
                "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
            },
            body=b"",
        )
        answer = await self._dispatch(asked)
        body = answer.body if isinstance(answer.body, bytes) else await _gather(answer.body)
        if answer.status >= _FAILED:
            code, said = (_between(body.decode("utf-8", "replace"), tag) for tag in ("Code", "Message"))
            raise refused(f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {said}")
        return body


async def _gather(chunks: AsyncIterator[bytes]) -> bytes:
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        if len(found) > MAX_OBJECT_BYTES:
            raise refused(f"Unzipped size must be smaller than {MAX_OBJECT_BYTES} bytes")
    return bytes(found)


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
