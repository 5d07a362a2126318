"""CloudWatch's API in each of its protocols: requests made by botocore's serialisers, answers read by its parsers."""

from __future__ import annotations

from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

import botocore.session
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from localcloud.clock import VIRTUAL_EPOCH_S
from localcloud.services.cloudwatch.alarms import Alarms
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.cloudwatch.wire import CloudWatchService
from localcloud.services.contract import WireRequest, WireResponse

PROTOCOLS: Final = {"query": "query", "json": "json", "cbor": "smithy-rpc-v2-cbor"}
SERVICE: Final = "GraniteServiceVersion20100801"
REGION: Final = "eu-west-1"


class HandClock:
    """A date that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = VIRTUAL_EPOCH_S

    def time(self) -> float:
        return self.now


class World:
    """A service, and a caller of it in one protocol."""

    def __init__(self, protocol: str = "cbor") -> None:
        self.protocol = protocol
        self.clock = HandClock()
        self.metrics = Metrics(self.clock)
        self.alarms = Alarms(clock=self.clock)
        self.service = CloudWatchService(self.metrics, self.alarms)

    async def call(self, operation: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
        """Status and what botocore makes of the answer."""
        response = await self.service.handle(make_request(self.protocol, operation, parameters))
        return response.status, read_answer(self.protocol, operation, response)

    async def ok(self, operation: str, **parameters: Any) -> dict[str, Any]:
        status, parsed = await self.call(operation, **parameters)
        assert status == 200, parsed
        parsed.pop("ResponseMetadata", None)
        return parsed

    async def error(self, operation: str, **parameters: Any) -> tuple[str, str]:
        """An error's code and message."""
        status, parsed = await self.call(operation, **parameters)
        assert status == 400, (status, parsed)
        error = parsed["Error"]
        return error["Code"], error["Message"]

    async def put(self, name: str = "m", **datum: Any) -> None:
        datum = {"Value": 1.0} | datum if not {"Values", "StatisticValues"} & datum.keys() else datum
        await self.ok("PutMetricData", Namespace="app", MetricData=[{"MetricName": name, **datum}])


@cache
def operation_model(protocol: str, operation: str) -> Any:
    """botocore's model of CloudWatch; its newer versions have all three protocols, this one has the query protocol."""
    loader: Any = botocore.session.get_session().get_component("data_loader")
    raw = loader.load_service_model("cloudwatch", "service-2")
    metadata = {
        **raw["metadata"],
        "protocol": PROTOCOLS[protocol],
        "protocols": [PROTOCOLS[protocol]],
        "targetPrefix": SERVICE,
        "jsonVersion": "1.0",
    }
    if protocol != "query":
        metadata["awsQueryCompatible"] = {}
    return ServiceModel({**raw, "metadata": metadata}, "cloudwatch").operation_model(operation)


def make_request(protocol: str, operation: str, parameters: dict[str, Any]) -> WireRequest:
    """The request that botocore sends, without its own checks."""
    serializer: Any = create_serializer(PROTOCOLS[protocol], include_validation=False)
    sent: Any = serializer.serialize_to_request(parameters, operation_model(protocol, operation))
    body = sent["body"]
    body = urlencode(body).encode() if isinstance(body, dict) else bytes(body)
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    if protocol == "cbor":
        headers["smithy-protocol"] = "rpc-v2-cbor"
    return wire_request(headers, body, sent["url_path"])


def wire_request(headers: dict[str, str], body: bytes, path: str = "/", query: str = "") -> WireRequest:
    return WireRequest("monitoring", REGION, "POST", path, query, headers, body, "key", "request-id")


def read_answer(protocol: str, operation: str, response: WireResponse) -> dict[str, Any]:
    """What botocore's parser makes of it."""
    assert isinstance(response.body, bytes)
    model = operation_model(protocol, operation)
    parser: Any = create_parser(PROTOCOLS[protocol])
    headers = {name.lower(): value for name, value in response.headers.items()}
    shape = model.output_shape
    answer = {"status_code": response.status, "headers": headers, "body": response.body}
    if shape is None and response.status == 200:
        assert b"<PutMetricDataResult" not in response.body
    return parser.parse(answer, shape)
