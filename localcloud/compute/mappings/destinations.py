"""On-failure destinations of mappings, reached as AWS reaches them: a call to the service, by the function's role.

Owns which ARNs may be destinations and the three requests; what is in them is `localcloud.compute.destinations`.
Source: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from localcloud.compute.destinations import BucketDestination, FailureDestination, MessageDestination
from localcloud.compute.role_calls import CallRefused, RoleCall, RoleCaller
from localcloud.services.contract import ACCOUNT_ID, Dispatch

__all__ = ["DESTINATION_ACTIONS", "DestinationCaller", "DestinationFailed", "service_of_destination"]

DESTINATION_ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "sqs": ("sqs:SendMessage", "call SendMessage on SQS"),
    "sns": ("sns:Publish", "call Publish on SNS"),
    "s3": ("s3:PutObject", "call PutObject on S3"),
}
"""By service: the action that the role needs, and what Lambda says that it cannot do."""
DestinationFailed = CallRefused
"""The destination's service refused."""


def service_of_destination(arn: str) -> str:
    """The service whose standard queue, standard topic or bucket `arn` names; "" where it may be no destination."""
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    return "" if service not in DESTINATION_ACTIONS or arn.endswith(".fifo") else service


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationCaller:
    """Calls services through `dispatch` with sessions of the roles that `assume` gives."""

    dispatch: Dispatch
    assume: Callable[[str], str]
    rng: random.Random

    def open(self, arn: str, *, role_arn: str, region: str, mapping_id: str) -> FailureDestination:
        """The destination of a mapping. Its sends raise DestinationFailed, and LookupError where the role is gone."""
        place = _Place(arn, role_arn, region)
        service = service_of_destination(arn)
        if service == "sqs":
            return MessageDestination(lambda text: self._send_message(place, text))
        if service == "sns":
            return MessageDestination(lambda text: self._publish(place, text))
        return BucketDestination(
            lambda key, body: self._put_object(place, key, body), mapping_id=mapping_id, rng=self.rng
        )

    async def _send_message(self, place: _Place, text: str) -> None:
        url = f"http://localhost/{ACCOUNT_ID}/{place.name}"
        body = json.dumps({"QueueUrl": url, "MessageBody": text}).encode()
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.SendMessage"}
        await self._call(place, "sqs", headers=headers, body=body)

    async def _publish(self, place: _Place, text: str) -> None:
        form = {"Action": "Publish", "Version": "2010-03-31", "TopicArn": place.arn, "Message": text}
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        await self._call(place, "sns", headers=headers, body=urlencode(form).encode())

    async def _put_object(self, place: _Place, key: str, body: bytes) -> None:
        headers = {
            "host": f"s3.{place.region}.amazonaws.com",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        }
        await self._call(place, "s3", method="PUT", path=f"/{place.name}/{quote(key)}", headers=headers, body=body)

    async def _call(  # noqa: PLR0913 - a request's members, all keyword-only but two
        self,
        place: _Place,
        service: str,
        *,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        caller = RoleCaller(dispatch=self.dispatch, assume=self.assume, rng=self.rng)
        call = RoleCall(
            arn=place.arn,
            role_arn=place.role_arn,
            service=service,
            region=place.arn.split(":")[3] or place.region,
            method=method,
            path=path,
            headers=headers,
            body=body,
        )
        await caller.make(call)


@dataclass(frozen=True, slots=True)
class _Place:
    arn: str
    role_arn: str
    region: str

    @property
    def name(self) -> str:
        """The queue's or the bucket's name."""
        return self.arn.rpartition(":")[2]
