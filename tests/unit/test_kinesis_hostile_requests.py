"""Whatever is sent to Kinesis, the answer is one of the API's own: never an exception, never a 5xx."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import botocore.session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.services.kinesis.operations import OPERATIONS, SUBSCRIBE
from tests.unit.kinesis_setup import LAST_HASH, OPEN, Api, b64, shard_id

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
CONSUMER = f"{STREAM}/consumer/c:1800000000"
KNOWN = botocore.session.get_session().get_service_model("kinesis")
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["", "s", STREAM, CONSUMER, shard_id(0), "shardId-x", "LATEST", "0", str(LAST_HASH), "AAAA", "é"]),
    st.sampled_from(
        ["ON_DEMAND", "KMS", "ALL", "AT_TIMESTAMP", "TRIM_HORIZON", "UNIFORM_SCALING", "4" * 56, b64(b"x")]
    ),
)
VALUE = st.recursive(
    JUNK,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["Type", "StreamMode", "Data", "PartitionKey", "Status", "Timestamp", "ShardId", "k"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)
GOOD: dict[str, Any] = {
    "StreamName": "s",
    "StreamARN": STREAM,
    "ConsumerARN": CONSUMER,
    "ConsumerName": "c",
    "ResourceARN": STREAM,
    "ShardId": shard_id(0),
    "ShardIteratorType": "LATEST",
    "StartingPosition": {"Type": "LATEST"},
    "Data": b64(b"x"),
    "PartitionKey": "k",
    "Records": [{"Data": b64(b"x"), "PartitionKey": "k"}],
    "Tags": {"a": "b"},
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An operation, with some of its own members good, some junk, and now and then a member that it has not."""
    operation = draw(st.sampled_from(sorted([*OPERATIONS, SUBSCRIBE])))
    names = list(GOOD)
    if operation in KNOWN.operation_names:
        names = list(KNOWN.operation_model(operation).input_shape.members)
    members = {name: GOOD[name] for name in names if name in GOOD and draw(st.booleans())}
    chosen = draw(st.lists(st.sampled_from([*names, "Limit", "Nonsense"]), max_size=3))
    return operation, members | {name: draw(VALUE) for name in chosen}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), min_size=1, max_size=6))
def test_any_request_is_answered(calls: list[tuple[str, dict[str, Any]]]) -> None:
    """200, or 400 with a code and a message; IAM's question fails as little."""

    async def main() -> None:
        api = Api(limits=OPEN)
        await api.consumer(await api.make())
        for operation, members in calls:
            request = api.request(operation, json.dumps(members).encode())
            api.service.permissions(request)
            answer = await api.service.handle(request)
            if not isinstance(answer.body, bytes):
                await answer.body.aclose()
            elif answer.status != 200:
                told = json.loads(answer.body)
                assert (answer.status, bool(told["__type"])) == (400, True)
                assert told.get("message") or told.get("Message")
            await asyncio.sleep(0.4)

    run_virtual(main)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.text("Kinesi_.2013PutRecds", max_size=40))
def test_any_bytes_are_answered(body: bytes, target: str) -> None:
    """Whatever body and target."""

    async def main() -> None:
        api = Api()
        request = api.request("PutRecord", body)
        for each in (request, api.request(target, body), api.request("x", body, **{"x-amz-target": target})):
            assert api.service.permissions(each) == ()
            assert (await api.service.handle(each)).status == 400

    run_virtual(main)
