"""RawStore over memory and over S3 by moto behind the AWS port: put, read, listed in order, deleted."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.s3.resources import BucketHandler
from localcloud.services.s3.wire import open_s3
from localcloud.template.handler import Resource, StackContext
from sluiceway.aws.raw_objects import S3RawStore
from sluiceway.aws.wire import Wire
from sluiceway.ports.rollups import RawPage, RawStore
from tests.fakes_rollups import MemoryRawStore
from tests.unit.wire_server import environ

pytestmark = pytest.mark.local
NUMBERS = count()


@pytest.fixture(params=["memory", "moto"])
async def raw(request: pytest.FixtureRequest) -> AsyncIterator[RawStore]:
    if request.param == "memory":
        yield MemoryRawStore()
        return
    delegate = Delegate()
    s3 = open_s3(delegate, may_list=lambda _key, _bucket: True)
    front = Front([s3], authorise=lambda _key, _needs: None, rng=random.Random(1))
    async with front.serve(open_listener()) as url:
        buckets = BucketHandler(s3.prepare)
        context = StackContext("sluiceway", "eu-west-1", "123456789012", "aws", Path())
        name = f"raw-{next(NUMBERS)}"  # moto keeps what was there as long as the process
        await buckets.create(Resource("Raw", buckets.type, {"BucketName": name}, context))
        async with Wire.open(environ(AWS_ENDPOINT_URL=url)) as wire:
            yield S3RawStore(wire, name)
    delegate.close()


async def test_an_object_is_put_read_replaced_and_deleted(raw: RawStore) -> None:
    """Any bytes; what is not there is none, and deleting it no fault."""
    name = "raw/records/2027/01/15/08/shardId-0-0011-0012.jsonl"
    assert await raw.get(name) is None
    await raw.put(name, b"a\n")
    await raw.put(name, bytes(range(256)))
    assert await raw.get(name) == bytes(range(256))
    await raw.delete(name)
    await raw.delete(name)
    assert await raw.get(name) is None


async def test_names_come_in_order_with_their_prefix_and_after_one(raw: RawStore) -> None:
    """Also names that XML and addresses write in another way."""
    names = sorted(["raw/a/1", "raw/a/2 +&<é", "raw/a/3%20", "raw/a/4"], key=str.encode)
    for name in [*reversed(names), "raw/b/1", "raw/a"]:
        await raw.put(name, b"x")
    assert await raw.names("raw/a/") == RawPage(tuple(names), more=False)
    assert await raw.names("raw/a/", after=names[1]) == RawPage(tuple(names[2:]), more=False)
    assert await raw.names("raw/a/", after="raw/a/2") == RawPage(tuple(names[1:]), more=False)
    assert await raw.names("raw/c/") == RawPage((), more=False)


async def test_a_long_list_comes_in_pages(raw: RawStore) -> None:
    """A thousand names, and that there are more."""
    names = [f"raw/a/{number:05d}" for number in range(1002)]
    for name in names:
        await raw.put(name, b"")
    first = await raw.names("raw/a/")
    assert (first.names, first.more) == (tuple(names[:1000]), True)
    assert await raw.names("raw/a/", after=first.names[-1]) == RawPage(tuple(names[1000:]), more=False)
