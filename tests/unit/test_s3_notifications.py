"""Buckets that tell of their objects: what is told, in which words, to whom; over an S3 that a test can read."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.events.envelope import Entry
from localcloud.services.iam.policy import Document, parse_document
from localcloud.services.s3.destinations import Destinations, DestinationServices
from localcloud.services.s3.notification_config import BadConfiguration, Configuration, Rule
from localcloud.services.s3.notifications import NotDelivered, Notifications
from localcloud.services.sqs.message import Content

T = TypeVar("T")
REGION = "eu-west-1"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:q"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:t"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:f"
EVERYTHING = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put")


@dataclass
class Port:
    """What was sent `(arn, message)` and emitted `(detail-type, detail)`. `failures` come first."""

    sent: list[tuple[str, Any]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list[str])
    emitted: list[tuple[str, Any]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict[str, str])

    def find_fault(self, arn: str, bucket: str) -> str:
        assert bucket == "b"
        return self.faults.get(arn, "")

    async def send(self, arn: str, text: str, bucket: str, *, trace: str = "") -> None:
        assert bucket == "b"
        self.traces.append(trace)
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((arn, json.loads(text)))

    def emit(self, region: str, bucket: str, *, detail_type: str, detail: str) -> None:
        assert (region, bucket) == (REGION, "b")
        self.emitted.append((detail_type, json.loads(detail)))

    def records(self) -> list[Any]:
        """Every record that was sent."""
        return [record for _, told in self.sent for record in told.get("Records", [])]


@dataclass
class Objects:
    """A small S3: the bucket `b`, versioned or not. `slow`: seconds that a change takes."""

    objects: dict[str, bytes] = field(default_factory=dict)
    versioned: bool = False
    slow: float = 0.0

    async def ask(self, request: WireRequest) -> WireResponse:
        query = parse_qs(request.query, keep_blank_values=True)
        bucket, _, key = request.path.lstrip("/").partition("/")
        key = unquote(key)
        if bucket != "b":
            return WireResponse(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if "location" in query:
            return WireResponse(200, f"<LocationConstraint>{REGION}</LocationConstraint>".encode())
        version = {"x-amz-version-id": "v2"} if self.versioned else {}
        if request.method == "HEAD":
            body = self.objects.get(key)
            headers = {"content-length": str(len(body or b"")), "ETag": '"e"'}
            return WireResponse(404) if body is None else WireResponse(200, b"", headers)
        await asyncio.sleep(self.slow)
        if request.method == "PUT":
            if request.body == b"refused":
                return WireResponse(403)
            if not query:
                self.objects[key] = request.body
        if request.method == "POST" and "delete" in query:
            keys = [each.split("<")[0] for each in request.body.decode().split("<Key>")[1:]]
            shown = "".join(f"<Deleted><Key>{each}</Key></Deleted>" for each in keys)
            for each in keys:
                self.objects.pop(each, None)
            return WireResponse(200, f"<DeleteResult>{shown}</DeleteResult>".encode())
        if request.method == "POST" and not key:
            self.objects["form"] = b"12345"
        if request.method == "DELETE" and not query:
            if self.versioned:
                return WireResponse(204, b"", {"x-amz-delete-marker": "true", **version})
            self.objects.pop(key, None)
        return WireResponse(204 if request.method == "DELETE" else 200, b"", version)


@dataclass
class World:
    """A bucket that tells, and what it was told to."""

    notifications: Notifications
    port: Port
    s3: Objects

    async def tell(self, *rules: Rule, event_bridge: bool = False) -> None:
        """Configure the bucket, quietly."""
        configuration = Configuration(rules, event_bridge)
        await self.notifications.configure("b", configuration, region=REGION, validates=False)

    async def do(self, method: str, target: str, body: bytes = b"", **headers: str) -> WireResponse:
        """A request, as the S3 service carries it, and whatever follows from it."""
        asked = request(method, target, body, **headers)
        known = self.notifications
        answer = await (known.carry if known.hears(asked) else _plain)(asked, self.s3.ask)
        await asyncio.sleep(0.001)
        return answer


async def _plain(asked: WireRequest, ask: Callable[[WireRequest], Awaitable[WireResponse]]) -> WireResponse:
    return await ask(asked)


def request(method: str, target: str, body: bytes = b"", **headers: str) -> WireRequest:
    """A request to S3."""
    path, _, query = target.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireRequest("s3", REGION, method, path, query, named, body, "AK", "R1")


def run(test: Callable[[World], Awaitable[T]], *, versioned: bool = False) -> T:
    """Run a test on a loop of its own."""

    async def main() -> T:
        port, s3 = Port(), Objects(versioned=versioned)
        async with asyncio.TaskGroup() as group:
            notifications = Notifications(
                port,
                principal_id=lambda key: f"AWS:{key}",
                group=group,
                clock=LoopClock(asyncio.get_running_loop()),
                rng=random.Random(1),
            )
            return await test(World(notifications, port, s3))

    return run_virtual(main)


def test_a_record_is_s3s_own() -> None:
    """Version 2.1, with the key encoded as a form encodes it."""

    async def test(world: World) -> tuple[Any, Any]:
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        await world.do("PUT", "/b/a%20%C3%A9/x+y", b"hello")
        return world.port.sent[0]

    arn, told = run(test)
    sequencer = told["Records"][0]["s3"]["object"].pop("sequencer")
    assert arn == QUEUE
    assert int(sequencer, 16) > 0
    assert told == {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": REGION,
                "eventTime": "2027-01-15T08:00:00.000Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AWS:AK"},
                "requestParameters": {"sourceIPAddress": "127.0.0.1"},
                "responseElements": {
                    "x-amz-request-id": "R1",
                    "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
                },
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "id",
                    "bucket": {
                        "name": "b",
                        "ownerIdentity": {"principalId": "A3NL1KOZZKEXAMPLE"},
                        "arn": "arn:aws:s3:::b",
                    },
                    "object": {"key": "a+%C3%A9/x%2By", "size": 5, "eTag": "e"},
                },
            }
        ]
    }


FORM = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n1\r\n--x--'  # noqa: E501


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "expected"),
    [
        ("PUT", "/b/k", b"hello", {}, ["ObjectCreated:Put k"]),
        ("PUT", "/b/k", b"", {"x_amz_copy_source": "/b/old"}, ["ObjectCreated:Copy k"]),
        ("POST", "/b/old?uploadId=u", b"", {}, ["ObjectCreated:CompleteMultipartUpload old"]),
        ("POST", "/b", FORM, {}, ["ObjectCreated:Post form"]),
        ("PUT", "/b/old?tagging", b"", {}, ["ObjectTagging:Put old"]),
        ("DELETE", "/b/old?tagging", b"", {}, ["ObjectTagging:Delete old"]),
        ("PUT", "/b/old?acl", b"", {}, ["ObjectAcl:Put old"]),
        ("DELETE", "/b/old", b"", {}, ["ObjectRemoved:Delete old"]),
        ("DELETE", "/b/none", b"", {}, []),
        (
            "POST",
            "/b?delete",
            b"<Delete><Object><Key>old</Key></Object><Object><Key>none</Key></Object></Delete>",
            {},
            ["ObjectRemoved:Delete old"],
        ),
        ("PUT", "/b/k", b"refused", {}, []),
        ("PUT", "/b/k?partNumber=1&uploadId=u", b"", {}, []),
        ("POST", "/b/k?uploads", b"", {}, []),
        ("DELETE", "/b/k?uploadId=u", b"", {}, []),
        ("PUT", "/b/k?legal-hold", b"", {}, []),
        ("PUT", "/b?versioning", b"", {}, []),
        ("PUT", "/b/k?x-id=PutObject", b"1", {}, ["ObjectCreated:Put k"]),
        ("GET", "/b/old", b"", {}, []),
        ("PUT", "/other/k", b"", {}, []),
    ],
)  # fmt: skip
def test_each_request_sets_off_its_event(
    method: str, target: str, body: bytes, headers: dict[str, str], expected: list[str]
) -> None:
    """What failed, what is not there and what is no change of an object sets off none."""

    async def test(world: World) -> list[str]:
        world.s3.objects["old"] = b"old"
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        await world.do(method, target, body, **headers)
        return [f"{each['eventName']} {each['s3']['object']['key']}" for each in world.port.records()]

    assert run(test) == expected


def test_versions_are_named_and_removal_makes_a_marker() -> None:
    """A marker has the ETag of nothing and no size; tags and removals have the members that AWS gives them."""

    async def test(world: World) -> list[tuple[str, str, Any]]:
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        await world.do("PUT", "/b/k", b"hello")
        await world.do("PUT", "/b/k?tagging")
        await world.do("DELETE", "/b/k")
        await world.do("DELETE", "/b/k?versionId=v1")
        return [(each["eventVersion"], each["eventName"], each["s3"]["object"]) for each in world.port.records()]

    found = run(test, versioned=True)
    sequencers = [shown.pop("sequencer") for _, _, shown in found if "sequencer" in shown]
    assert len(sequencers) == 3
    assert sequencers == sorted(sequencers)
    assert found == [
        ("2.1", "ObjectCreated:Put", {"key": "k", "size": 5, "eTag": "e", "versionId": "v2"}),
        ("2.3", "ObjectTagging:Put", {"key": "k", "eTag": "e", "versionId": "v2"}),
        (
            "2.1",
            "ObjectRemoved:DeleteMarkerCreated",
            {"key": "k", "eTag": "d41d8cd98f00b204e9800998ecf8427e", "versionId": "v2"},
        ),
        ("2.1", "ObjectRemoved:Delete", {"key": "k", "versionId": "v1"}),
    ]


def test_the_default_bus_is_told_of_everything() -> None:
    """With the plain key, whatever the rules say; EventBridge's own words for reasons and deletions."""

    async def test(world: World) -> list[tuple[str, Any]]:
        await world.tell(event_bridge=True)
        await world.do("PUT", "/b/a%20b", b"hello")
        await world.do("PUT", "/b/a%20b?tagging")
        await world.do("PUT", "/b/a%20b?acl")
        await world.do("DELETE", "/b/a%20b")
        return world.port.emitted

    found = run(test)
    assert all(
        len(told["object"].pop("sequencer")) == 18
        for kind, told in found
        if kind in {"Object Created", "Object Deleted"}
    )
    rest = {
        "version": "0",
        "bucket": {"name": "b"},
        "request-id": "R1",
        "requester": "123456789012",
        "source-ip-address": "127.0.0.1",
    }
    named = {"object": {"key": "a b", "etag": "e"}}
    assert found == [
        ("Object Created", {**rest, "object": {"key": "a b", "size": 5, "etag": "e"}, "reason": "PutObject"}),
        ("Object Tags Added", {**rest, **named}),
        ("Object ACL Updated", {**rest, **named}),
        (
            "Object Deleted",
            {**rest, "object": {"key": "a b"}, "reason": "DeleteObject", "deletion-type": "Permanently Deleted"},
        ),
    ]  # fmt: skip


def test_rules_choose_by_event_and_key() -> None:
    """Each destination is told of its own."""

    async def test(world: World) -> list[tuple[str, str]]:
        created = ("s3:ObjectCreated:*",)
        await world.tell(
            Rule("1", QUEUE, created, "in/", ".csv"),
            Rule("2", TOPIC, created, "in/", ".txt"),
            Rule("3", FUNCTION, created, "out/"),
        )
        for key in ("in/a.csv", "in/a.txt", "out/a.csv", "in/a.png"):
            await world.do("PUT", f"/b/{key}", b"1")
        return [(arn, told["Records"][0]["s3"]["object"]["key"]) for arn, told in world.port.sent]

    assert run(test) == [(QUEUE, "in/a.csv"), (TOPIC, "in/a.txt"), (FUNCTION, "out/a.csv")]


def test_what_was_done_is_told_although_its_caller_has_gone() -> None:
    """A client that hangs up does not undo its PUT."""

    async def test(world: World) -> list[str]:
        world.s3.slow = 1.0
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await world.do("PUT", "/b/k", b"hello")
        await asyncio.sleep(1)
        return [each["eventName"] for each in world.port.records()]

    assert run(test) == ["ObjectCreated:Put"]


def test_an_object_is_removed_once() -> None:
    """Of two requests at the same time one removes it; both wait for their turn."""

    async def test(world: World) -> int:
        world.s3.objects["k"], world.s3.slow = b"1", 1.0
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(world.do("DELETE", "/b/k"))
        return len(world.port.records())

    assert run(test) == 1


def test_what_s3_raises_is_its_askers_alone() -> None:
    """Others go on."""

    async def test(world: World) -> int:
        await world.tell(Rule("id", QUEUE, EVERYTHING))

        async def broken(_request: WireRequest) -> WireResponse:
            raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            await world.notifications.carry(request("PUT", "/b/k"), broken)
        await world.do("PUT", "/b/k", b"hello")
        return len(world.port.records())

    assert run(test) == 1


def test_a_failure_that_may_pass_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """With back-off; one that will not is dropped aloud."""

    async def test(world: World) -> tuple[int, int]:
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        world.port.failures += [NotDelivered("later", retry=True)] * 3
        await world.do("PUT", "/b/k", b"hello")
        assert not world.port.sent
        await asyncio.sleep(10)
        retried = len(world.port.sent)
        world.port.failures.append(NotDelivered("never", retry=False))
        await world.do("PUT", "/b/k", b"hello")
        await asyncio.sleep(10_000)
        return retried, len(world.port.sent)

    assert run(test) == (1, 1)
    assert [record.msg for record in caplog.records] == ["s3.notification_dropped"]


def test_a_failure_does_not_come_back_for_ever() -> None:
    """After an hour it is dropped."""

    async def test(world: World) -> int:
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        world.port.failures += [NotDelivered("later", retry=True)] * 1000
        await world.do("PUT", "/b/k", b"hello")
        await asyncio.sleep(10 * 3600)
        return 1000 - len(world.port.failures)

    assert 15 < run(test) < 60


def test_the_end_gives_up_what_is_tried_again() -> None:
    """A cloud that ends does not wait for retries of an hour, nor does it begin others."""

    async def test(world: World) -> int:
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        world.port.failures += [NotDelivered("later", retry=True)] * 2
        await world.do("PUT", "/b/k", b"hello")
        world.notifications.close()
        await world.do("PUT", "/b/k", b"hello")
        await asyncio.sleep(3600)
        return len(world.port.sent)

    assert run(test) == 0


# ---------------------------------------------------------------- configurations


def configuration(arn: str = QUEUE, event: str = "s3:ObjectCreated:*") -> bytes:
    """A document with one queue."""
    inner = f"<QueueConfiguration><Id>i</Id><Queue>{arn}</Queue><Event>{event}</Event></QueueConfiguration>"
    return f"<NotificationConfiguration>{inner}</NotificationConfiguration>".encode()


async def put(world: World, body: bytes, **headers: str) -> tuple[int, str]:
    """Status and body of PutBucketNotificationConfiguration."""
    answer = await world.notifications.answer(request("PUT", "/b?notification", body, **headers), world.s3.ask)
    assert isinstance(answer.body, bytes)
    return answer.status, answer.body.decode()


def test_a_destination_is_sent_a_test_event() -> None:
    """When it is accepted, and GET shows it from then on; an empty document ends it."""

    async def test(world: World) -> tuple[Any, str, str, bool]:
        assert await put(world, configuration()) == (200, "")
        shown = await world.notifications.answer(request("GET", "/b?notification"), world.s3.ask)
        await put(world, b"<NotificationConfiguration/>")
        empty = await world.notifications.answer(request("GET", "/b?notification"), world.s3.ask)
        await world.do("PUT", "/b/k", b"hello")
        assert isinstance(shown.body, bytes)
        assert isinstance(empty.body, bytes)
        return (
            world.port.sent,
            shown.body.decode(),
            empty.body.decode(),
            world.notifications.hears(request("PUT", "/b/k")),
        )

    sent, shown, empty, hears = run(test)
    ((arn, told),) = sent
    assert arn == QUEUE
    assert len(told.pop("RequestId")) == 16
    assert told.pop("HostId")
    assert told == {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2027-01-15T08:00:00.000Z", "Bucket": "b"}
    assert f"<Id>i</Id><Queue>{QUEUE}</Queue><Event>s3:ObjectCreated:*</Event>" in shown
    assert "QueueConfiguration" not in empty
    assert not hears


@pytest.mark.parametrize(
    ("body", "status", "code", "value"),
    [
        (configuration(), 400, "InvalidArgument", "The destination queue does not exist"),
        (configuration(QUEUE.replace(REGION, "us-east-1")), 400, "InvalidArgument", "us-east-1"),
        (configuration(event="s3:Other"), 400, "InvalidArgument", "s3:Other"),
        (configuration(event="s3:ObjectRestore:*"), 501, "NotImplemented", "nothing sets this event off"),
        (b"<NotificationConfiguration><X/></NotificationConfiguration>", 400, "MalformedXML", "X is no member"),
    ],
)
def test_what_cannot_be_told_is_refused(body: bytes, status: int, code: str, value: str) -> None:
    """As S3 refuses it, and the old configuration stays."""

    async def test(world: World) -> tuple[int, str]:
        await world.tell(Rule("old", TOPIC, EVERYTHING))
        world.port.faults[QUEUE] = "The destination queue does not exist"
        answered = await put(world, body)
        await world.do("PUT", "/b/k", b"hello")
        assert [arn for arn, _ in world.port.sent] == [TOPIC]
        return answered

    got, text = run(test)
    assert got == status
    assert f"<Code>{code}</Code>" in text
    assert value in text


def test_validation_may_be_skipped() -> None:
    """Then nobody is sent a test event, and what cannot be reached is found out later."""

    async def test(world: World) -> tuple[int, list[Any]]:
        world.port.faults[QUEUE] = "The destination queue does not exist"
        status, _ = await put(world, configuration(), x_amz_skip_destination_validation="true")
        return status, world.port.sent

    assert run(test) == (200, [])


def test_a_test_event_that_fails_fails_the_request() -> None:
    """Nothing is configured then."""

    async def test(world: World) -> tuple[int, bool]:
        world.port.failures.append(NotDelivered("OverLimit", retry=True))
        status, _ = await put(world, configuration())
        return status, world.notifications.hears(request("PUT", "/b/k"))

    assert run(test) == (400, False)


def test_a_bucket_that_is_not_there_has_no_configuration() -> None:
    """S3's own answer."""

    async def test(world: World) -> int:
        return (await world.notifications.answer(request("GET", "/none?notification"), world.s3.ask)).status

    assert run(test) == 404


def test_a_bucket_that_is_deleted_tells_nothing_any_more() -> None:
    """Nor does one that is made anew under its name."""

    async def test(world: World) -> bool:
        await world.tell(Rule("id", QUEUE, EVERYTHING))
        await world.do("DELETE", "/b")
        return world.notifications.hears(request("PUT", "/b/k"))

    assert run(test) is False


# ---------------------------------------------------------------- destinations


class Queue:
    """A queue that remembers."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    async def send(self, content: Content) -> str:
        self.bodies.append(content.body)
        return "id"


class Throttled(Exception):
    """A refusal of a service."""

    code = "TooManyRequestsException"
    message = "no"
    status = 429


def allow(action: str, condition: dict[str, Any] | None = None) -> Document:
    """A policy that lets S3 in."""
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": action, "Resource": "*"}
    made = statement | ({"Condition": condition} if condition else {})
    return parse_document({"Version": "2012-10-17", "Statement": [made]}, name="p", resource_policy=True)


def destinations(policy: Document | None, log: list[Any], *, there: bool = True, fails: bool = False) -> Destinations:
    """Destinations whose policies all are `policy`."""
    queue = Queue()
    queue.bodies = log

    async def publish(arn: str, message: str, subject: str, trace: str) -> None:
        log.append((arn, message, subject, trace))

    async def invoke(arn: str, payload: bytes, trace: str) -> None:
        if fails:
            raise Throttled
        log.append((arn, payload, trace))

    def emit(region: str, entry: Entry) -> None:
        log.append((region, entry))

    return Destinations(
        DestinationServices(
            find_queue=lambda _arn: queue if there else None,
            has_topic=lambda _arn: there,
            has_function=lambda _arn: there,
            publish=publish,
            invoke=invoke,
            emit=emit,
            policy_of=lambda _arn: policy,
        )
    )


ALL = allow("*")
SAME_ACCOUNT = {"StringEquals": {"aws:SourceAccount": "123456789012"}, "ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:b"}}


@pytest.mark.parametrize(
    ("arn", "policy", "there", "expected"),
    [
        (QUEUE, ALL, True, ""),
        (QUEUE, allow("sqs:SendMessage", SAME_ACCOUNT), True, ""),
        (FUNCTION, allow("lambda:InvokeFunction", SAME_ACCOUNT), True, ""),
        (QUEUE, ALL, False, "The destination queue does not exist"),
        (TOPIC, ALL, False, "The destination topic does not exist"),
        (FUNCTION, ALL, False, "The destination Lambda does not exist"),
        (
            QUEUE,
            None,
            True,
            "Permissions on the destination queue do not allow S3 to publish notifications from this bucket",
        ),
        (
            TOPIC,
            allow("sns:Publish", {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}),
            True,
            "Permissions on the destination topic do not allow S3 to publish notifications from this bucket",
        ),
        (FUNCTION, allow("lambda:GetFunction"), True, f"Not authorized to invoke function [{FUNCTION}]"),
        (f"{QUEUE}.fifo", ALL, True, "FIFO queues are not supported"),
    ],
)
def test_a_destination_must_be_there_and_let_s3_in(arn: str, policy: Any, there: bool, expected: str) -> None:
    """On behalf of the bucket and its account, as its own policy says."""
    assert destinations(policy, [], there=there).find_fault(arn, "b") == expected


def test_the_trace_of_a_request_goes_on_in_what_is_told_of_it() -> None:
    """With it goes how often each function was in the chain, so that loops over a bucket have an end."""

    async def story(world: World) -> list[str]:
        await world.tell(Rule("r", FUNCTION, ("s3:ObjectCreated:*",)))
        await world.do("PUT", "/b/k", b"1", **{"x-amzn-trace-id": "Root=1-a-b;Lineage=0000000a:3"})
        await world.do("PUT", "/b/k", b"2")
        return world.port.traces

    assert run(story) == ["Root=1-a-b;Lineage=0000000a:3", ""]


def test_each_destination_is_told_its_own_way() -> None:
    """Topics with S3's subject; the bus in the name of S3."""

    async def main() -> list[Any]:
        log: list[Any] = []
        port = destinations(ALL, log)
        for arn in (QUEUE, TOPIC, FUNCTION):
            await port.send(arn, "{}", "b", trace="Root=1-a-b")
        port.emit(REGION, "b", detail_type="Object Created", detail="{}")
        return log

    entry = Entry(source="aws.s3", detail_type="Object Created", detail="{}", resources=("arn:aws:s3:::b",))
    assert run_virtual(main) == [
        "{}",
        (TOPIC, "{}", "Amazon S3 Notification", "Root=1-a-b"),
        (FUNCTION, b"{}", "Root=1-a-b"),
        (REGION, entry),
    ]


@pytest.mark.parametrize(("policy", "retry"), [(ALL, True), (None, False)])
def test_throttling_may_pass_and_a_missing_permission_does_not(policy: Any, retry: bool) -> None:
    """Permissions are held at each delivery."""

    async def main() -> bool:
        with pytest.raises(NotDelivered) as failed:
            await destinations(policy, [], fails=True).send(FUNCTION, "{}", "b")
        return failed.value.retry

    assert run_virtual(main) is retry


def test_what_is_wrong_is_named() -> None:
    """For whoever reads a deployment's error."""
    error = BadConfiguration("Unable", name=QUEUE, value="The destination queue does not exist")
    assert str(error) == "Unable (The destination queue does not exist)"
