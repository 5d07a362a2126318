"""The console's mesh over real sockets: who is answered, what is refused, what is told of a stream that lives."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.wire import Wire
from tests.local.conftest import RunningCloud
from tests.local.console_api import ask, reader_of

pytestmark = pytest.mark.local

LOCAL_KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


async def put_record(environ: Mapping[str, str], stream: str, key: str, data: bytes) -> None:
    """Straight into the stream, past the API and its checks."""
    async with Wire.open(environ) as wire:
        record = {"StreamName": stream, "PartitionKey": key, "Data": base64.b64encode(data).decode()}
        await wire.call(KINESIS, "PutRecord", record)


def read_tail(cloud: RunningCloud, stream: str, wanted: int) -> list[dict[str, Any]]:
    """So many records of a stream's tail, as they come."""
    place = urlsplit(cloud.status["endpoints"]["console"])
    found: list[dict[str, Any]] = []
    with closing(HTTPConnection(place.netloc, timeout=60)) as connection:
        connection.request("GET", f"/api/tail?stream={quote(stream)}")
        reply = connection.getresponse()
        name = ""
        while len(found) < wanted:
            line = reply.readline().decode().rstrip()
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name == "record":
                found.append(json.loads(line.removeprefix("data: ")))
    return found


def test_demo_records_pass_through_the_tail_and_the_functions(cloud: RunningCloud) -> None:
    """As many as were asked for; the readers have had them, and a reader of the tail costs them nothing."""
    stream = reader_of(cloud, "FilterRecords")["stream"]
    status, demo = ask(cloud, "POST", "api/demo", {"topic": "records", "rate": 20, "seconds": 1})
    assert (status, demo["total"], demo["running"]) == (200, 20, True)
    assert ask(cloud, "POST", "api/demo", {"topic": "records"})[0] == 409
    records = read_tail(cloud, stream, 20)
    assert {"order", "customer", "region", "total", "status"} in [set(each["data"]) for each in records]
    assert len({(each["shard"], each["sequence_number"]) for each in records}) == 20
    ends = time.monotonic() + 60
    while ask(cloud, "GET", "api/streams")[1]["filtered"]["unmatched"] < 20:
        assert time.monotonic() < ends
        time.sleep(0.1)
    last = reader_of(cloud, "FilterRecords")
    assert (last["last"]["ok"], last["last_result"], last["letters"]) == (True, "OK", "sluiceway-FilterDeadLetters")


def test_the_consumer_of_the_tail_leaves_with_the_page(cloud: RunningCloud) -> None:
    """A stream that nobody looks at has no reader of the console's."""
    ends = time.monotonic() + 60
    while ask(cloud, "GET", "api/streams")[1]["streams"][0]["consumers"]:
        assert time.monotonic() < ends
        time.sleep(0.2)


def test_what_is_not_there_is_a_404_and_what_is_wrong_a_400(cloud: RunningCloud) -> None:
    """A sentence each time; nothing is a 5xx."""
    window, stream = reader_of(cloud, "RollUpRecords"), reader_of(cloud, "FilterRecords")["stream"]
    asked: list[tuple[str, str, object, int]] = [
        ("GET", "api/tail?stream=none", None, 404),
        ("GET", f"api/tail?stream={stream}&pattern=%7B", None, 400),
        ("GET", f"api/records?stream={stream}&pattern=5", None, 400),
        ("POST", "api/letters/sluiceway-JobsQueue", b"", 404),
        ("POST", "api/replays", b"{", 400),
        ("POST", "api/replays", {"reader": "none"}, 404),
        ("POST", "api/replays", {"reader": window["id"]}, 409),
        ("POST", "api/replays", {"reader": window["id"], "rate": 0}, 400),
        ("DELETE", "api/replays/none", None, 404),
        ("POST", "api/demo", {"topic": "none"}, 404),
        ("POST", "api/demo", {"topic": "records", "rate": 1e9}, 400),
        ("PUT", "api/demo", b"", 405),
        ("GET", "api/letters/sluiceway-FilterDeadLetters", None, 405),
    ]
    for method, path, body, status in asked:
        found, told = ask(cloud, method, path, body)
        assert (method, path, found) == (method, path, status)
        assert told["error"].endswith(".")


@pytest.mark.parametrize("path", ["api/streams", "api/tail?stream=x", "api/records", "api/replays", "api/demo"])
def test_no_other_site_sees_or_does_anything(cloud: RunningCloud, path: str) -> None:
    """Another origin, and a browser's word for it, whatever the method."""
    for method in ("GET", "POST", "DELETE"):
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert ask(cloud, method, path, None if method == "GET" else b"{}", **headers)[0] == 403


def test_no_secret_is_told(cloud: RunningCloud) -> None:
    """Of functions' settings only where things are: neither mask keys nor any other value."""
    told = json.dumps(ask(cloud, "GET", "api/streams")[1])
    for word in ("MASK_KEY", "SECRET", "DEAD_LETTERS_URL", "TOKEN"):
        assert word not in told


def test_a_dead_letter_says_why_and_stays(cloud: RunningCloud) -> None:
    """A record that no filter can read goes to the dead letters with its reason; looking twice finds it twice."""
    reader = reader_of(cloud, "FilterRecords")
    environ = {"AWS_ENDPOINT_URL": cloud.status["endpoints"]["aws"], "AWS_REGION": cloud.status["region"]}
    asyncio.run(put_record(environ | LOCAL_KEYS, reader["stream"], "poison", b"no JSON"))
    ends = time.monotonic() + 60
    while True:
        told = ask(cloud, "GET", "api/streams")[1]["letters"]
        if next(each for each in told if each["queue"] == reader["letters"])["count"]:
            break
        assert time.monotonic() < ends
        time.sleep(0.1)
    for _ in range(2):
        status, found = ask(cloud, "POST", f"api/letters/{reader['letters']}", b"")
        assert (status, found["seen"]) == (200, 1)
        (letter,) = found["letters"]
        assert (letter["reason"], letter["records"]) == ("malformed-event", 1)
        assert letter["shard"].startswith("shardId-")
        assert "no JSON" not in json.dumps(found)
