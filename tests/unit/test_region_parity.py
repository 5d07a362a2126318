"""What two Regions have alike: the comparison over drawn facts, and facts as they are read through clients' stubs."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from localcloud.regions.parity import Difference, Facts, Parity, compare
from localcloud.regions.parity_reading import WITHIN_S, read_facts
from sluiceway.errors import Misconfigured

EAST, WEST = "us-east-1", "us-west-2"
FUNCTION: Final[dict[str, Any]] = {
    "FunctionName": "sluiceway-ReadJob-AbC123",
    "Runtime": "python3.13",
    "MemorySize": 512,
    "Timeout": 10,
    "Architectures": ["arm64"],
    "CodeSha256": "abc=",
    "Layers": [{"Arn": "arn:aws:lambda:us-east-1:123456789012:layer:sluiceway:7", "CodeSize": 4096}],
    "LoggingConfig": {"LogGroup": "/sluiceway/sluiceway/read_job"},
    "Environment": {"Variables": {"B": "secret", "A": "1"}},
}
TABLE: Final[dict[str, Any]] = {
    "KeySchema": [{"AttributeName": "caller", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "GlobalSecondaryIndexes": [
        {"IndexName": "by_topic", "KeySchema": [{"AttributeName": "topic", "KeyType": "HASH"}]},
    ],
}
ANSWERS: Final[dict[str, Any]] = {
    "get_account_settings": {"AccountLimit": {"ConcurrentExecutions": 1000}},
    "get_account": {"throttleSettings": {"rateLimit": 10_000.0, "burstLimit": 5_000}},
    "get_rest_apis": {"items": [{"name": "sluiceway", "id": "a1"}, {"name": "another", "id": "b2"}]},
    "get_stages": {
        "item": [
            {"stageName": "v1", "methodSettings": {"*/*": {"throttlingRateLimit": 200.0, "throttlingBurstLimit": 400}}}
        ]
    },
    "describe_limits": {"ShardLimit": 500, "OpenShardCount": 3, "OnDemandStreamCountLimit": 50},
    "describe_table": {"Table": TABLE},
    "describe_time_to_live": {"TimeToLiveDescription": {"AttributeName": "expires_s"}},
}
READ: Final = {
    "concurrency most": "1000",
    "function read_job runtime": "python3.13",
    "function read_job memory_mb": "512",
    "function read_job timeout_s": "10",
    "function read_job architecture": "arm64",
    "function read_job code": "abc=",
    "function read_job layers": "sluiceway (4096 bytes)",
    "function read_job variables": "A,B",
    "throttle account_per_s": "10000.0",
    "throttle account_burst": "5000",
    "throttle v1 */* per_s": "200.0",
    "throttle v1 */* burst": "400",
    "streams ShardLimit": "500",
    "streams OnDemandStreamCountLimit": "50",
    "table ConversationsTable billing": "PAY_PER_REQUEST",
    "table ConversationsTable key": "caller HASH,item RANGE",
    "table ConversationsTable index by_topic": "topic HASH",
    "table ConversationsTable stream": "none",
    "table ConversationsTable time_to_live": "expires_s",
}


class Client:
    """One service's: each question is one that botocore's model takes."""

    def __init__(self, service: str, clients: Clients) -> None:
        self._model = boto3.client(service, region_name=EAST)
        self._clients = clients

    def __getattr__(self, name: str) -> Any:
        async def ask(**asked: Any) -> Any:
            operation = self._model.meta.method_to_api_mapping[name]
            shape = self._model.meta.service_model.operation_model(operation).input_shape
            if shape is not None:
                assert ParamValidator().validate(asked, shape).generate_report() == ""
            trouble = self._clients.troubles.get(name, "")
            if isinstance(trouble, Exception):
                raise trouble
            if trouble is None:
                await asyncio.sleep(3600)
            return self._clients.answer(name, asked)

        return ask


class Clients:
    """`troubles` by method: an error to raise, None for no answer."""

    def __init__(self, **troubles: Any) -> None:
        self.troubles = troubles
        self.answers = copy.deepcopy(ANSWERS)
        self.is_there = True

    def answer(self, name: str, asked: Mapping[str, Any]) -> Any:
        """Functions and tables come in two pages, with strangers among them."""
        stranger = {**FUNCTION, "LoggingConfig": {"LogGroup": "/sluiceway/other/read_job"}, "MemorySize": 1}
        if name == "list_functions":
            return (
                {"Functions": [FUNCTION]}
                if asked
                else {"Functions": [stranger, {**FUNCTION, "LoggingConfig": {}}], "NextMarker": "m"}
            )
        if name == "list_tables":
            own = "sluiceway-ConversationsTable-1XYZ"
            return (
                {"TableNames": [own]}
                if asked
                else {"TableNames": ["keys", "other-JobsTable-1"], "LastEvaluatedTableName": "keys"}
            )
        return self.answers[name]

    async def client(self, service: str) -> Any:
        if not self.is_there:
            raise Misconfigured("no aioboto3", what="aws_sdk")
        return Client(service, self)


def read(clients: Clients) -> Facts:
    async def go() -> Facts:
        return await read_facts(clients, "sluiceway")

    return run_virtual(go)


# ---------------------------------------------------------------- reading


def test_a_region_is_read_whole() -> None:
    """Every part, over every page, of this stack alone; names of variables and never their values."""
    found = read(Clients())
    assert (found.values, found.unread) == (READ, {})
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("get_account_settings", "concurrency"),
        ("list_functions", "function"),
        ("get_stages", "throttle"),
        ("describe_limits", "streams"),
        ("describe_time_to_live", "table"),
    ],
)
@pytest.mark.parametrize("trouble", ["refused", "odd", "silent"])
def test_a_part_that_is_not_told_hides_no_other(method: str, part: str, trouble: str) -> None:
    """It has its reason in place of its facts: the service's own code, or what went wrong."""
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "Op")
    answer, why = {
        "refused": (denied, "AccessDenied"),
        "odd": (KeyError("x"), "KeyError"),
        "silent": (None, "TimeoutError"),
    }[trouble]

    async def go() -> tuple[Facts, float]:
        found = await read_facts(Clients(**{method: answer}), "sluiceway")
        return found, asyncio.get_running_loop().time()

    found, took_s = run_virtual(go)
    assert found.unread == {part: why}
    assert found.values == {name: value for name, value in READ.items() if not name.startswith(f"{part} ")}
    assert took_s == (WITHIN_S if trouble == "silent" else 0)


def test_without_an_sdk_nothing_is_said_to_be_alike() -> None:
    """Misconfigured says what to install."""
    clients = Clients()
    clients.is_there = False
    with pytest.raises(Misconfigured):
        read(clients)


# ---------------------------------------------------------------- comparing

VALUES = st.dictionaries(st.sampled_from(["a x", "a y", "b x", "c z"]), st.sampled_from(["1", "2"]))


@given(east=VALUES, west=VALUES, unread=st.sets(st.sampled_from(["a", "b", "c"])))
def test_what_both_were_asked_for_is_alike_or_it_differs(
    east: dict[str, str], west: dict[str, str], unread: set[str]
) -> None:
    """Each fact is in one of three places, whichever Region is named first; what was not told is never a difference."""
    facts = {EAST: Facts(east), WEST: Facts(west, dict.fromkeys(unread, "AccessDenied"))}
    told = compare(facts)
    compared = {name for name in east | west if name[0] not in unread}
    differing = {each.name for each in told.differences}
    assert differing == {name for name in compared if east.get(name) != west.get(name)}
    assert told.alike == len(compared - differing)
    assert set(told.unread) == unread
    back = compare(dict(reversed(facts.items())))
    assert [each.name for each in back.differences] == [each.name for each in told.differences]
    assert told.holds is (bool(compared) and not differing)


def test_a_fact_of_one_region_alone_is_a_difference() -> None:
    """A function that was never deployed in the standby is what a failover would find missing."""
    told = compare({EAST: Facts(READ), WEST: Facts({k: v for k, v in READ.items() if k != "function read_job code"})})
    assert told.differences == (Difference("function read_job code", {EAST: "abc=", WEST: None}),)
    assert told.to_json()["differences"] == [{"name": "function read_job code", EAST: "abc=", WEST: None}]
    assert not told.holds


def test_nothing_compared_is_nothing_alike() -> None:
    """Two Regions that tell nothing do not pass."""
    assert not compare({EAST: Facts({}, {"table": "x"}), WEST: Facts({}, {"table": "x"})}).holds
    assert compare({EAST: Facts(READ), WEST: Facts(READ)}) == Parity(len(READ), (), {})
