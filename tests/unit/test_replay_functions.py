"""Functions as a target: which they are, what their events hold, what their answers decide."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from localcloud.caller import Invoked
from localcloud.clock import run_virtual
from localcloud.replay.items import Item, item_of_line, write_line
from localcloud.replay.mappings import MappedRoutes, NamedRoute, Route
from localcloud.replay.targets.functions import FunctionTarget
from localcloud.replay.targets.invokers import ApiInvoker, SamInvoker
from sluiceway.aws.reply import Reply
from sluiceway.errors import Misconfigured, ServiceMisconfigured, ServiceRefused, ServiceUnavailable
from tests.unit.replay_setup import FixedChance, make_item

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:f"
OK = Invoked(b"null", "", "")
BROKEN = Invoked(b'{"errorType": "ValueError", "errorMessage": "secret"}', "Unhandled", "")


def failing(*marks: str) -> Invoked:
    return Invoked(json.dumps({"batchItemFailures": [{"itemIdentifier": mark} for mark in marks]}).encode(), "", "")


def marks_of(event: Mapping[str, Any]) -> list[str]:
    return [record["kinesis"]["sequenceNumber"] for record in event["Records"]]


class Functions:
    """Answers each event by `answer`; `events` are those that came, by function."""

    def __init__(self, answer: Callable[[Mapping[str, Any]], Invoked]) -> None:
        self.answer = answer
        self.events: list[tuple[str, Any]] = []

    async def invoke(self, function: str, payload: bytes) -> Invoked:
        event = json.loads(payload)
        self.events.append((function, event))
        await asyncio.sleep(0)
        return self.answer(event)

    @property
    def batches(self) -> list[list[str]]:
        return [marks_of(event) for _, event in self.events]


class Fixed:
    def __init__(self, *routes: Route) -> None:
        self.routes = routes

    async def find(self, kind: str, origin: str) -> Sequence[Route]:
        return self.routes


def send(answer: Callable[[Mapping[str, Any]], Invoked], items: Sequence[Item], *routes: Route, tries: int = 2) -> Any:
    """The reasons, the functions that were invoked, and the virtual seconds that it took."""
    functions = Functions(answer)

    async def main() -> tuple[list[str], float]:
        chosen = routes or (Route("f"),)
        target = FunctionTarget(functions, Fixed(*chosen), chance=FixedChance(), tries=tries)
        reasons = await target.send(items)
        return reasons, asyncio.get_running_loop().time()

    reasons, seconds = run_virtual(main)
    return reasons, functions, seconds


def numbers(*wanted: int, **members: Any) -> list[Item]:
    return [make_item(n, **members) for n in wanted]


def test_an_event_is_as_the_event_source_has_it() -> None:
    """Every member of a Kinesis record; the ARN is that of the mapping where that is a consumer's."""
    _, functions, _ = send(lambda _: OK, numbers(5), Route("f", f"{STREAM}/consumer/c:1"))
    assert functions.events == [
        (
            "f",
            {
                "Records": [
                    {
                        "kinesis": {
                            "kinesisSchemaVersion": "1.0",
                            "partitionKey": "k",
                            "sequenceNumber": "5",
                            "data": base64.b64encode(b'{"n":5}').decode(),
                            "approximateArrivalTimestamp": 1_800_000_000.005,
                        },
                        "eventSource": "aws:kinesis",
                        "eventVersion": "1.0",
                        "eventID": "shard-0:5",
                        "eventName": "aws:kinesis:record",
                        "awsRegion": "eu-west-1",
                        "eventSourceARN": f"{STREAM}/consumer/c:1",
                    }
                ]
            },
        )
    ]


def test_an_event_holds_one_shard_and_as_many_as_the_mapping_takes() -> None:
    """In order; a payload has 6 MB at most."""
    items = [*numbers(0, 1, 2), *numbers(3, 4, lane="shard-1")]
    reasons, functions, _ = send(lambda _: OK, items, Route("f", batch=2))
    assert sorted(functions.batches) == [["0", "1"], ["2"], ["3", "4"]]
    assert reasons == [""] * 5
    _, functions, _ = send(lambda _: OK, numbers(0, 1, 2, content=b"x" * 2_000_000))
    assert functions.batches == [["0", "1"], ["2"]]


def test_what_lies_before_the_lowest_failure_is_taken_and_the_rest_comes_again() -> None:
    """Until nothing fails any more: then all is taken, and what succeeded is not sent twice."""
    left = {"1": 1, "3": 1}

    def answer(event: Mapping[str, Any]) -> Invoked:
        failed = [mark for mark in marks_of(event) if left.get(mark, 0) > 0]
        for mark in failed:
            left[mark] -= 1
        return failing(*failed)

    reasons, functions, _ = send(answer, numbers(0, 1, 2, 3, 4))
    assert reasons == [""] * 5
    assert functions.batches == [["0", "1", "2", "3", "4"], ["1", "2", "3", "4"]]


def test_a_record_that_fails_for_good_is_refused_and_those_behind_it_go_on() -> None:
    """After its tries, with a wait between them; where the mapping may not split."""
    route = Route("f", bisects=False)
    reasons, functions, seconds = send(
        lambda event: failing(*[mark for mark in marks_of(event) if mark == "1"]), numbers(0, 1, 2), route, tries=3
    )
    assert reasons == ["", "reported: the function names it as failed", ""]
    assert functions.batches == [["0", "1", "2"], ["1", "2"], ["1", "2"], ["1", "2"], ["2"]]
    assert seconds == pytest.approx(0.75 + 1.5)


def test_an_error_fails_the_batch_which_is_split_where_that_is_allowed() -> None:
    """Down to the record: it alone is refused. Without splitting, all of them are."""

    def answer(event: Mapping[str, Any]) -> Invoked:
        return BROKEN if "2" in marks_of(event) else OK

    reasons, functions, _ = send(answer, numbers(0, 1, 2, 3))
    assert reasons == ["", "", "function-error: ValueError", ""]
    assert functions.batches == [["0", "1", "2", "3"], ["0", "1"], ["2", "3"], ["2"], ["2"], ["3"]]
    reasons, functions, _ = send(answer, numbers(0, 1, 2, 3), Route("f", bisects=False))
    assert reasons == ["function-error: ValueError"] * 4
    assert len(functions.events) == 2


def test_a_function_that_does_not_report_is_taken_at_its_success() -> None:
    """As its mapping does: what the answer says is not read."""
    reasons, functions, _ = send(lambda _: failing("0"), numbers(0, 1), Route("f", reports=False))
    assert (reasons, len(functions.events)) == (["", ""], 1)


@pytest.mark.parametrize("payload", [b'{"batchItemFailures": [{"itemIdentifier": "9"}]}', b"no JSON", b"[]"])
def test_an_answer_that_names_what_was_not_there_fails_the_batch(payload: bytes) -> None:
    """Or that cannot be read."""
    reasons, _, _ = send(lambda _: Invoked(payload, "", ""), numbers(0), Route("f", bisects=False))
    assert reasons == ["reported: the function names it as failed"]


def test_of_a_queue_only_what_is_named_comes_again() -> None:
    """In no order."""
    record = {"messageId": "0", "attributes": {}, "messageAttributes": {}}
    items = [make_item(n, kind="sqs", lane="", origin=QUEUE, record={**record, "messageId": str(n)}) for n in range(3)]
    events: list[list[str]] = []

    def answer(event: Mapping[str, Any]) -> Invoked:
        events.append([each["messageId"] for each in event["Records"]])
        return failing("1") if len(events) == 1 else failing()

    reasons, functions, _ = send(answer, items)
    assert (reasons, events) == ([""] * 3, [["0", "1", "2"], ["1"]])
    first = functions.events[0][1]["Records"][0]
    assert (first["body"], first["eventSource"], first["eventSourceARN"]) == ('{"n":0}', "aws:sqs", QUEUE)
    assert first["md5OfBody"] == "4bb9e0de5005747b62cadb7fc69c584a"


def test_an_item_is_taken_once_every_function_has_it() -> None:
    """Two read the stream: one refuses a record."""
    functions = [Route("good"), Route("bad")]

    class Two(Functions):
        async def invoke(self, function: str, payload: bytes) -> Invoked:
            await super().invoke(function, payload)
            return BROKEN if function == "bad" and b'"1"' in payload else OK

    two = Two(lambda _: OK)

    async def main() -> list[str]:
        return await FunctionTarget(two, Fixed(*functions), chance=FixedChance(), tries=1).send(numbers(0, 1))

    assert run_virtual(main) == ["", "function-error: ValueError"]


def test_an_event_that_is_none_of_a_source_goes_alone_as_it_is() -> None:
    """Lines of JSON, and what Lambda gave up of an asynchronous invocation."""
    items = [item_of_line(b'{"a": 1}', key="x:1"), item_of_line(b'{"a": 2}', key="x:2")]
    reasons, functions, _ = send(lambda event: OK if event["a"] == 1 else BROKEN, items, tries=1)
    assert reasons == ["", "function-error: ValueError"]
    assert sorted(event["a"] for _, event in functions.events) == [1, 2]


def test_what_lambda_does_not_take_is_refused_by_its_code() -> None:
    """One event that is too large; not one that nobody may invoke, which ends the run."""

    class Refusing:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def invoke(self, function: str, payload: bytes) -> Invoked:
            raise self.error

    facts: dict[str, Any] = {"service": "lambda", "operation": "Invoke"}

    async def main(error: Exception) -> list[str]:
        return await FunctionTarget(Refusing(error), NamedRoute("f"), chance=FixedChance(), tries=1).send(numbers(0))

    refused = ServiceRefused("no", code="RequestTooLargeException", status=413, **facts)
    assert run_virtual(lambda: main(refused)) == ["function-error: RequestTooLargeException"]
    denied = ServiceMisconfigured("no", code="AccessDeniedException", **facts)
    with pytest.raises(ServiceMisconfigured):
        run_virtual(lambda: main(denied))


def test_a_line_of_a_file_is_the_item_again() -> None:
    """What is replayed to a file can be replayed from an archive of such lines."""
    item = make_item(7)
    assert item_of_line(write_line(item), key="7") == item


# ---------------------------------------------------------------- which functions


def mapping(**members: Any) -> dict[str, Any]:
    found = {"FunctionArn": FUNCTION, "EventSourceArn": STREAM, "State": "Enabled", "BatchSize": 10}
    return found | members


class Lambda:
    """ListEventSourceMappings in pages of one; Invoke that is throttled at first."""

    def __init__(self, *mappings: Mapping[str, Any]) -> None:
        self.mappings = mappings
        self.asked: list[tuple[str, Any]] = []
        self.throttles = 2

    async def call(self, service: Any, operation: str, body: Any = b"", **more: Any) -> Reply:
        self.asked.append((operation, more))
        if operation == "Invoke":
            if self.throttles:
                self.throttles -= 1
                raise ServiceUnavailable("later", service="lambda", operation="Invoke", code="TooManyRequestsException")
            return Reply(200, {"x-amz-function-error": "Unhandled"}, b"{}")
        at = int((more.get("query") or {}).get("Marker", 0))
        told: dict[str, Any] = {"EventSourceMappings": list(self.mappings[at : at + 1])}
        if at + 1 < len(self.mappings):
            told["NextMarker"] = str(at + 1)
        return Reply(200, {}, json.dumps(told).encode())


def find(*mappings: Mapping[str, Any], origin: str = STREAM, kind: Any = "kinesis") -> list[Route]:
    async def main() -> list[Route]:
        return list(await MappedRoutes(Lambda(*mappings)).find(kind, origin))

    return run_virtual(main)


def test_the_functions_are_those_whose_mappings_read_the_stream() -> None:
    """Over all pages; a consumer's mapping too; another stream's and one that is being deleted not."""
    consumer = f"{STREAM}/consumer/c:1"
    found = find(
        mapping(EventSourceArn=f"{STREAM}2"),
        mapping(FunctionResponseTypes=["ReportBatchItemFailures"], BisectBatchOnFunctionError=True),
        mapping(State="Deleting"),
        mapping(EventSourceArn=consumer, State="Disabled", BatchSize=3),
    )
    assert found == [
        Route(FUNCTION, STREAM, batch=10, reports=True, bisects=True),
        Route(FUNCTION, consumer, batch=3, reports=False, bisects=False),
    ]


def test_a_mapping_filters_what_is_replayed() -> None:
    """What its function would not have had is taken, and not sent."""
    filters = {"Filters": [{"Pattern": '{"data": {"n": [1]}}'}]}
    (route,) = find(mapping(FilterCriteria=filters))
    reasons, functions, _ = send(lambda _: OK, numbers(0, 1, 2), route)
    assert (reasons, functions.batches) == ([""] * 3, [["1"]])


@pytest.mark.parametrize(
    ("mappings", "origin", "said"),
    [
        ([], STREAM, "no event source mapping reads arn:aws:kinesis"),
        ([mapping()], "", "no event source mapping reads what has no ARN"),
        ([mapping(TumblingWindowInSeconds=5)], STREAM, "counts in windows.*as lambda:NAME"),
        ([mapping(FilterCriteria={"Filters": [{"Pattern": "{"}]})], STREAM, "cannot be read"),
    ],
)
def test_a_stream_that_cannot_be_replayed_to_its_functions_is_named(
    mappings: list[Any], origin: str, said: str
) -> None:
    """Rather than replayed to some of them."""
    with pytest.raises(Misconfigured, match=said):
        find(*mappings, origin=origin)


def test_an_invocation_is_tried_again_while_lambda_is_busy() -> None:
    """It waits for the answer, with the header that says so; an error of the function's is told by the header."""
    api = Lambda()

    async def main() -> tuple[Invoked, float]:
        invoked = await ApiInvoker(api, chance=FixedChance()).invoke("f:live", b"{}")
        return invoked, asyncio.get_running_loop().time()

    invoked, seconds = run_virtual(main)
    assert invoked == Invoked(b"{}", "Unhandled", "")
    assert seconds == pytest.approx(0.75 + 1.5)
    assert len(api.asked) == 3
    assert api.asked[0][1]["path"] == "/2015-03-31/functions/f%3Alive/invocations"
    assert api.asked[0][1]["headers"]["x-amz-invocation-type"] == "RequestResponse"


@pytest.mark.parametrize(
    ("script", "invoked"),
    [
        ("cat; echo; echo '{\"batchItemFailures\": []}'", Invoked(b'{"batchItemFailures": []}', "", "")),
        (
            'echo \'{"errorType": "E", "errorMessage": "m"}\'',
            Invoked(b'{"errorType": "E", "errorMessage": "m"}', "Unhandled", ""),
        ),
        ("echo no JSON", Invoked(b"no JSON", "Unhandled", "")),
        ("true", Invoked(b"", "", "")),
    ],
)
def test_sam_is_given_the_event_and_asked_for_its_last_line(script: str, invoked: Invoked, tmp_path: Path) -> None:
    """`sam local invoke ID --event -`; an answer that is an error's counts as one."""
    program = tmp_path / "sam"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\n{script}\n')
    program.chmod(0o755)
    sam = SamInvoker(Path("t.yaml"), ["--docker-network", "host"], program=str(program))
    with asyncio.Runner() as runner:
        assert runner.run(sam.invoke("HandleOrders", b'{"Records": []}')) == invoked
    words = "local invoke HandleOrders --template t.yaml --event - --docker-network host\n"
    assert (tmp_path / "words").read_text() == words


@pytest.mark.parametrize("script", ["echo broken >&2; exit 3", None])
def test_sam_that_fails_or_is_not_there_ends_the_run(script: str | None, tmp_path: Path) -> None:
    """With what it said."""
    program = tmp_path / "sam"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    with asyncio.Runner() as runner, pytest.raises(Misconfigured, match=r"broken|cannot be run"):
        runner.run(SamInvoker(Path("t.yaml"), program=str(program)).invoke("F", b"{}"))
