"""S3 over a durable store: what was answered is in moto again after moto itself has forgotten everything."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.s3.keeping import S3Keeper
from localcloud.services.s3.resources import BucketHandler, BucketPolicyHandler
from localcloud.services.s3.store import Store
from localcloud.services.s3.wire import open_s3
from localcloud.template.handler import Physical, Resource, StackContext

pytestmark = pytest.mark.local
REGION = "eu-west-1"
CONTEXT = StackContext("sluiceway", REGION, "123456789012", "aws", Path())
BUCKET = "sluiceway-results"


class World:
    """One folder, and local clouds with S3 alone that run over it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.properties: Mapping[str, Any] = {}
        self.declared = True

    async def life(self, *works: Callable[[Any], Any]) -> list[Any]:
        """A run in which moto begins empty: each of `works` with a client of its own, at the same time."""
        async with self._run() as url:
            async with asyncio.TaskGroup() as tasks:
                told = [tasks.create_task(asyncio.to_thread(work, self._client(url))) for work in works]
            return [task.result() for task in told]

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[str]:
        s3_backends["123456789012"]["aws"].reset()
        store = Store(self.folder)
        delegate = Delegate({"s3": S3Keeper(store)})
        s3 = open_s3(delegate)
        front = Front([s3], authorise=lambda _key, _needs: None, rng=random.Random(1))
        async with front.serve(open_listener()) as url:
            if self.declared:
                handler = BucketHandler(s3.prepare, keeps=True)
                await handler.create(Resource("Results", handler.type, self.properties, CONTEXT))
            yield url
        delegate.close()
        store.close()

    def _client(self, url: str) -> Any:
        config = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "AK", "aws_secret_access_key": "secret"}
        return boto3.client("s3", endpoint_url=url, region_name=REGION, config=config, **keys)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """moto's memory is the test process's: what these tests leave in it is not another's."""
    yield World(tmp_path / "keep")
    s3_backends["123456789012"]["aws"].reset()


def show(s3: Any, key: str, bucket: str = BUCKET) -> dict[str, Any]:
    """All that a client learns of an object."""
    told = s3.get_object(Bucket=bucket, Key=key)
    tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    told.pop("ResponseMetadata")
    return told | {"Body": told["Body"].read(), "Tags": tags}


def keys_of(s3: Any, bucket: str = BUCKET) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


async def test_an_object_comes_back_as_a_client_knew_it(world: World) -> None:
    """Body, types, metadata, tags, ETag, date: GetObject and GetObjectTagging answer the same after a restart."""
    keys = ["plain", "a b/ü+%20&=?#", "results/😀.json", "x" * 900, "empty"]

    def put(s3: Any) -> list[dict[str, Any]]:
        for number, key in enumerate(keys):
            s3.put_object(
                Bucket=BUCKET, Key=key, Body=b"" if key == "empty" else bytes(range(256)) * (number + 1),
                ContentType="text/x; charset=utf-8", ContentEncoding="gzip", CacheControl="no-store",
                ContentDisposition='attachment; filename="a b"', ContentLanguage="de", Metadata={"n": f"{number} &="},
                Tagging="a%20b=1%2B2&c=", ServerSideEncryption="AES256",
            )  # fmt: skip
        return [show(s3, key) for key in keys]

    (before,) = await world.life(put)
    (after,) = await world.life(lambda s3: [show(s3, key) for key in keys])
    assert after == before
    (again,) = await world.life(lambda s3: [show(s3, key) for key in keys])
    assert again == before


async def test_the_last_write_of_each_kind_counts(world: World) -> None:
    """Overwritten, copied, tagged, untagged, deleted singly and in bulk: what a listing showed is what is there."""

    def work(s3: Any) -> None:
        for key in ("kept", "gone", "bulk/1 &", "bulk/2", "tagged", "untagged"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"old", Tagging="t=1")
        s3.put_object(Bucket=BUCKET, Key="kept", Body=b"new")
        s3.copy_object(Bucket=BUCKET, Key="copied", CopySource={"Bucket": BUCKET, "Key": "tagged"})
        s3.delete_object(Bucket=BUCKET, Key="gone")
        s3.delete_object(Bucket=BUCKET, Key="never there")
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "bulk/1 &"}, {"Key": "bulk/2"}], "Quiet": True})
        s3.put_object_tagging(Bucket=BUCKET, Key="tagged", Tagging={"TagSet": [{"Key": "a b", "Value": "x=@"}]})
        s3.delete_object_tagging(Bucket=BUCKET, Key="untagged")

    def look(s3: Any) -> list[tuple[str, bytes, Any]]:
        return [(key, (shown := show(s3, key))["Body"], shown["Tags"]) for key in keys_of(s3)]

    await world.life(work)
    (found,) = await world.life(look)
    assert found == [
        ("copied", b"old", [{"Key": "t", "Value": "1"}]),
        ("kept", b"new", []),
        ("tagged", b"old", [{"Key": "a b", "Value": "x=@"}]),
        ("untagged", b"old", []),
    ]
    assert len(list((world.folder / "s3-objects").iterdir())) == 4


async def test_an_upload_in_parts_is_kept_when_it_is_complete(world: World) -> None:
    """Its body and its ETag with the number of parts; the parts of one that is not complete end with the process."""
    part = random.Random(1).randbytes(5 * 1024 * 1024)

    def work(s3: Any) -> tuple[str, str]:
        begun = s3.create_multipart_upload(Bucket=BUCKET, Key="half")["UploadId"]
        s3.upload_part(Bucket=BUCKET, Key="half", UploadId=begun, PartNumber=1, Body=part)
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="whole", ContentType="text/x")["UploadId"]
        told = [
            s3.upload_part(Bucket=BUCKET, Key="whole", UploadId=upload, PartNumber=number, Body=body)["ETag"]
            for number, body in ((1, part), (2, b"end"))
        ]
        parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(told, 1)]}
        done = s3.complete_multipart_upload(Bucket=BUCKET, Key="whole", UploadId=upload, MultipartUpload=parts)
        return done["ETag"], begun

    ((etag, begun),) = await world.life(work)
    assert etag.endswith('-2"')

    def look(s3: Any) -> None:
        assert keys_of(s3) == ["whole"]
        shown = show(s3, "whole")
        assert (shown["Body"], shown["ETag"], shown["ContentType"]) == (part + b"end", etag, "text/x")
        with pytest.raises(ClientError, match="NoSuchUpload"):
            s3.list_parts(Bucket=BUCKET, Key="half", UploadId=begun)

    await world.life(look)


async def test_of_a_versioned_bucket_the_newest_version_is_kept(world: World) -> None:
    """Under its version id; what a delete marker hides, and older versions, are gone."""
    world.properties = {"VersioningConfiguration": {"Status": "Enabled"}}

    def work(s3: Any) -> str:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
        newest = s3.put_object(Bucket=BUCKET, Key="k", Body=b"2")["VersionId"]
        s3.put_object(Bucket=BUCKET, Key="hidden", Body=b"3")
        s3.delete_object(Bucket=BUCKET, Key="hidden")
        s3.put_object(Bucket=BUCKET, Key="back", Body=b"4", Tagging="t=1")
        undone = s3.put_object(Bucket=BUCKET, Key="back", Body=b"5")["VersionId"]
        s3.delete_object(Bucket=BUCKET, Key="back", VersionId=undone)
        return newest

    (newest,) = await world.life(work)

    def look(s3: Any) -> None:
        told = s3.list_object_versions(Bucket=BUCKET)
        assert [entry["Key"] for entry in told["Versions"]] == ["back", "k"]
        assert "DeleteMarkers" not in told
        assert s3.get_object(Bucket=BUCKET, Key="k", VersionId=newest)["Body"].read() == b"2"
        assert (show(s3, "back")["Body"], show(s3, "back")["Tags"]) == (b"4", [{"Key": "t", "Value": "1"}])

    await world.life(look)
    await world.life(look)


async def test_buckets_made_by_calls_are_kept_with_their_settings(world: World) -> None:
    """Versioning, tags and CORS as set last; a deleted bucket is gone, and so is a deleted setting."""
    world.declared = False
    place = {"LocationConstraint": REGION}

    def work(s3: Any) -> None:
        for name in ("mine", "gone"):
            s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)
        s3.put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Suspended"})
        s3.put_bucket_tagging(Bucket="mine", Tagging={"TagSet": [{"Key": "a", "Value": "<&>"}]})
        rules = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
        s3.put_bucket_cors(Bucket="mine", CORSConfiguration=rules)
        s3.delete_bucket_cors(Bucket="mine")
        s3.put_object(Bucket="mine", Key="k", Body=b"1")
        s3.put_object(Bucket="gone", Key="k", Body=b"1")
        s3.delete_object(Bucket="gone", Key="k")
        s3.delete_bucket(Bucket="gone")

    def look(s3: Any) -> None:
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["mine"]
        assert s3.get_bucket_location(Bucket="mine")["LocationConstraint"] == REGION
        assert s3.get_bucket_versioning(Bucket="mine")["Status"] == "Suspended"
        assert s3.get_bucket_tagging(Bucket="mine")["TagSet"] == [{"Key": "a", "Value": "<&>"}]
        with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
            s3.get_bucket_cors(Bucket="mine")
        assert show(s3, "k", "mine")["Body"] == b"1"

    await world.life(work)
    await world.life(look)
    await world.life(look)


async def test_the_template_decides_what_its_buckets_are(world: World) -> None:
    """Settings that a call made on a template's bucket give way to the template's; objects stay, also without it."""

    def work(s3: Any) -> None:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")

    def look(s3: Any) -> tuple[Any, bytes]:
        return s3.get_bucket_versioning(Bucket=BUCKET).get("Status"), show(s3, "k")["Body"]

    await world.life(work)
    assert await world.life(look) == [(None, b"1")]
    world.declared = False
    assert [body for _, body in await world.life(look)] == [b"1"]


async def test_writers_at_the_same_time_leave_one_state(world: World) -> None:
    """Twenty writers on one key: after a restart the object is the one that was there last."""

    def write(number: int) -> Callable[[Any], Any]:
        return lambda s3: s3.put_object(Bucket=BUCKET, Key="k", Body=b"%d" % number)

    await world.life(*[write(number) for number in range(20)])
    (first,) = await world.life(lambda s3: show(s3, "k"))
    (second,) = await world.life(lambda s3: show(s3, "k"))
    assert second == first
    assert len(list((world.folder / "s3-objects").iterdir())) == 1


async def test_files_that_nothing_names_are_removed(world: World) -> None:
    """A body that a killed process wrote and never named does not stay for ever."""
    await world.life(lambda s3: s3.put_object(Bucket=BUCKET, Key="k", Body=b"1"))
    (world.folder / "s3-objects" / "stray").write_bytes(b"x")
    await world.life(lambda s3: show(s3, "k"))
    assert len(list((world.folder / "s3-objects").iterdir())) == 1


async def test_what_cannot_be_kept_is_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An access control list and an object that nobody may read before it is restored are warned about by name."""

    def work(s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")
        s3.put_object_acl(Bucket=BUCKET, Key="k", ACL="public-read")
        s3.put_object(Bucket=BUCKET, Key="cold", Body=b"1", StorageClass="GLACIER")

    await world.life(work)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("s3.keeping")] == [
        f"s3.not_kept what=acl bucket={BUCKET} key=k",
        f"s3.not_kept what=object bucket={BUCKET} key=cold",
    ]
    assert await world.life(keys_of) == [["k"]]


async def test_a_kept_bucket_is_taken_over_though_moto_has_it(world: World) -> None:
    """A call may come before the template's bucket is made: then it is there already, and is taken over."""
    await world.life(lambda s3: s3.put_object(Bucket=BUCKET, Key="k", Body=b"1"))
    s3_backends["123456789012"]["aws"].reset()
    store = Store(world.folder)
    delegate = Delegate({"s3": S3Keeper(store)})
    s3 = open_s3(delegate)
    front = Front([s3], authorise=lambda _key, _needs: None, rng=random.Random(1))
    async with front.serve(open_listener()) as url:
        assert await asyncio.to_thread(keys_of, world._client(url)) == ["k"]
        handler = BucketHandler(s3.prepare, keeps=True)
        resource = Resource("Results", handler.type, {}, CONTEXT)
        made = await handler.create(resource)
        assert made == Physical(BUCKET, made.attributes)
        policies = BucketPolicyHandler(s3.prepare)
        policy = {"Version": "2012-10-17", "Statement": []}
        await policies.create(Resource("P", policies.type, {"Bucket": BUCKET, "PolicyDocument": policy}, CONTEXT))
        await handler.delete(resource, made)
        assert await asyncio.to_thread(keys_of, world._client(url)) == ["k"]
    delegate.close()
    store.close()


def test_a_kept_bucket_does_not_load_moto(tmp_path: Path) -> None:
    """Opening the store and declaring the bucket stays quick: objects are restored by the first call."""
    store = Store(tmp_path)
    store.close()
    code = (
        f"import asyncio, sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from localcloud.delegate import Delegate\n"
        "from localcloud.services.s3.keeping import S3Keeper\n"
        "from localcloud.services.s3.resources import BucketHandler\n"
        "from localcloud.services.s3.store import Store\n"
        "from localcloud.services.s3.wire import open_s3\n"
        f"delegate = Delegate({{'s3': S3Keeper(Store(Path({str(tmp_path)!r})))}})\n"
        "handler = BucketHandler(open_s3(delegate).prepare, keeps=True)\n"
        "from localcloud.template.handler import Resource, StackContext\n"
        "context = StackContext('s', 'eu-west-1', '123456789012', 'aws', Path())\n"
        "with asyncio.Runner() as runner:\n"
        "    runner.run(handler.create(Resource('B', handler.type, {}, context)))\n"
        "print(sorted({'moto', 'boto3', 'botocore'} & sys.modules.keys()))\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
