"""S3 by moto behind the AWS port: objects arrive whole, from every client, and moto loads at the first call."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import random
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import Permission, WireRequest
from localcloud.services.s3.resources import BucketHandler, BucketPolicyHandler
from localcloud.services.s3.wire import open_s3, permissions
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext
from sluiceway.aws.s3 import Bucket
from sluiceway.aws.wire import Wire

pytestmark = pytest.mark.local
CONTEXT = StackContext("sluiceway", "eu-west-1", "123456789012", "aws", Path())
SIGNED = "AWS4-HMAC-SHA256 Credential=AK/20261123/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@dataclass
class Cloud:
    """A front with S3 alone. Who calls with POOR may not list."""

    url: str
    buckets: BucketHandler
    policies: BucketPolicyHandler

    def client(self, key: str = "AK", **config: Any) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}, **config),
        )


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A running front, with the bucket `sluiceway-results` declared and moto not loaded yet."""
    delegate = Delegate()
    s3 = open_s3(delegate, may_list=lambda key, _bucket: key != "POOR")
    front = Front([s3], authorise=lambda _key, _needs: None, rng=random.Random(1))
    async with front.serve(open_listener()) as url:
        made = Cloud(url, BucketHandler(s3.prepare), BucketPolicyHandler(s3.prepare))
        await made.buckets.create(Resource("Results", made.buckets.type, {}, CONTEXT))
        yield made
    delegate.close()


async def test_boto3_puts_gets_lists_and_deletes(cloud: Cloud) -> None:
    """Any bytes under any key come back as they went, with their type and metadata; listings are complete."""

    def work() -> None:
        s3 = cloud.client()
        keys = ["plain", "a b/ü+%20&=?#", "results/😀.json", "x" * 900]
        for number, key in enumerate(keys):
            body = bytes(range(256)) * number
            s3.put_object(
                Bucket="sluiceway-results", Key=key, Body=body, ContentType="text/x", Metadata={"n": str(number)}
            )
            told = s3.get_object(Bucket="sluiceway-results", Key=key)
            assert (told["Body"].read(), told["ContentType"], told["Metadata"]) == (body, "text/x", {"n": str(number)})
            assert told["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
            assert s3.head_object(Bucket="sluiceway-results", Key=key)["ContentLength"] == len(body)
        assert {entry["Key"] for entry in s3.list_objects_v2(Bucket="sluiceway-results")["Contents"]} == set(keys)
        part = s3.get_object(Bucket="sluiceway-results", Key=keys[1], Range="bytes=2-4")
        assert (part["Body"].read(), part["ResponseMetadata"]["HTTPStatusCode"]) == (b"\x02\x03\x04", 206)
        s3.delete_objects(Bucket="sluiceway-results", Delete={"Objects": [{"Key": key} for key in keys]})
        assert "Contents" not in s3.list_objects_v2(Bucket="sluiceway-results")
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket="sluiceway-results", Key="plain")
        with pytest.raises(s3.exceptions.NoSuchBucket):
            s3.get_object(Bucket="nobody", Key="plain")

    await asyncio.to_thread(work)


async def test_a_bucket_policy_that_wants_tls_denies_nothing_here(cloud: Cloud) -> None:
    """It is told as it was written and not evaluated, whatever its conditions say: the template's and the API's."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::sluiceway-results/*"}
    document = {
        "Version": "2012-10-17",
        "Statement": [deny | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}],
    }
    properties = {"Bucket": "sluiceway-results", "PolicyDocument": document}
    await cloud.policies.create(Resource("Policy", cloud.policies.type, properties, CONTEXT))

    def work() -> None:
        s3 = cloud.client()
        named = {"Bucket": "sluiceway-results", "Key": "incoming/a.csv"}
        s3.put_object(**named, Body=b"a,b")
        assert s3.get_object(**named)["Body"].read() == b"a,b"
        assert json.loads(s3.get_bucket_policy(Bucket="sluiceway-results")["Policy"]) == document
        s3.put_bucket_policy(Bucket="sluiceway-results", Policy=json.dumps(document))
        assert "Errors" not in s3.delete_objects(
            Bucket="sluiceway-results", Delete={"Objects": [{"Key": named["Key"]}]}
        )

    await asyncio.to_thread(work)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
async def test_presigned_urls_work_in_both_signatures(cloud: Cloud, version: str) -> None:
    """PUT and GET by URL alone, as a browser would."""

    def work() -> bytes:
        s3 = cloud.client(signature_version=version)
        for method, operation, data in (("PUT", "put_object", b"hello"), ("GET", "get_object", None)):
            url = s3.generate_presigned_url(operation, Params={"Bucket": "sluiceway-results", "Key": "a b"})
            with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=10) as answer:
                told = answer.read()
        return told

    assert await asyncio.to_thread(work) == b"hello"


async def test_aws_chunked_uploads_are_stored_without_their_chunks(cloud: Cloud) -> None:
    """What SDKs send over TLS with a trailing checksum: the object is the body proper, its other encoding is kept."""
    packed = gzip.compress(b"hello")
    body = b"%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n" % (len(packed), packed)

    def work() -> tuple[bytes, str]:
        headers = {
            "authorization": SIGNED,
            "content-encoding": "aws-chunked,gzip",
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": str(len(packed)),
            "x-amz-trailer": "x-amz-checksum-crc32",
        }
        request = urllib.request.Request(f"{cloud.url}/sluiceway-results/z", data=body, method="PUT", headers=headers)
        with urllib.request.urlopen(request, timeout=10):
            pass
        told = cloud.client().get_object(Bucket="sluiceway-results", Key="z")
        return told["Body"].read(), told["ContentEncoding"]

    assert await asyncio.to_thread(work) == (packed, "gzip")


async def test_the_layers_client_stores_and_reads(cloud: Cloud) -> None:
    """The wire client that functions use: 300 KB there and back, None for what is not there."""
    environ = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": cloud.url,
    }
    body = random.Random(1).randbytes(300_000)
    async with Wire.open(environ) as wire:
        bucket = Bucket(wire, "sluiceway-results")
        await bucket.put("results/k.alice.a+b=", body, content_type="application/json")
        stored = await bucket.get("results/k.alice.a+b=")
        assert stored is not None
        assert (stored.body, stored.content_type) == (body, "application/json")
        assert await bucket.get("results/none") is None


async def test_a_missing_object_is_hidden_from_who_may_not_list(cloud: Cloud) -> None:
    """AccessDenied, not NoSuchKey, without s3:ListBucket; an object that is there is shown."""

    def work() -> None:
        s3 = cloud.client("POOR")
        s3.put_object(Bucket="sluiceway-results", Key="there", Body=b"x")
        assert s3.get_object(Bucket="sluiceway-results", Key="there")["Body"].read() == b"x"
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.get_object(Bucket="sluiceway-results", Key="gone")

    await asyncio.to_thread(work)


async def test_calls_at_the_same_time_take_turns(cloud: Cloud) -> None:
    """Fifty writers and readers at once: every object is there and whole."""

    def write(number: int) -> bytes:
        s3 = cloud.client()
        s3.put_object(Bucket="sluiceway-results", Key=str(number), Body=b"%d" % number)
        return s3.get_object(Bucket="sluiceway-results", Key=str(number))["Body"].read()

    async with asyncio.TaskGroup() as tasks:
        told = [tasks.create_task(asyncio.to_thread(write, number)) for number in range(50)]
    assert [task.result() for task in told] == [b"%d" % number for number in range(50)]


async def test_buckets_are_made_as_the_template_says(cloud: Cloud) -> None:
    """Versioning and tags; a second bucket of the same name and a name that breaks the rules are errors."""
    properties = {
        "BucketName": "my.bucket",
        "Tags": [{"Key": "a", "Value": "<&>"}],
        "VersioningConfiguration": {"Status": "Enabled"},
    }
    made = await cloud.buckets.create(Resource("Mine", cloud.buckets.type, properties, CONTEXT))
    assert (made.ref, made.attributes["Arn"]) == ("my.bucket", "arn:aws:s3:::my.bucket")

    def look() -> tuple[str, Any]:
        s3 = cloud.client()
        tags = s3.get_bucket_tagging(Bucket="my.bucket")["TagSet"]
        return s3.get_bucket_versioning(Bucket="my.bucket")["Status"], tags

    assert await asyncio.to_thread(look) == ("Enabled", [{"Key": "a", "Value": "<&>"}])
    with pytest.raises(TemplateError, match=r"Again\.Properties"):
        await cloud.buckets.create(Resource("Again", cloud.buckets.type, {"BucketName": "my.bucket"}, CONTEXT))
    with pytest.raises(TemplateError, match=r"BucketName"):
        await cloud.buckets.create(Resource("Wrong", cloud.buckets.type, {"BucketName": "A_b"}, CONTEXT))
    policy = {"Bucket": "nobody", "PolicyDocument": {}}
    with pytest.raises(TemplateError, match="does not exist"):
        await cloud.policies.create(Resource("P", cloud.policies.type, policy, CONTEXT))


def test_declaring_buckets_does_not_load_moto() -> None:
    """A start with buckets in its template stays quick: moto is loaded by the first call."""
    code = (
        f"import asyncio, sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from localcloud.delegate import Delegate\n"
        "from localcloud.services.s3.resources import BucketHandler\n"
        "from localcloud.services.s3.wire import open_s3\n"
        "from localcloud.template.handler import Resource, StackContext\n"
        "handler = BucketHandler(open_s3(Delegate()).prepare)\n"
        "context = StackContext('s', 'eu-west-1', '123456789012', 'aws', Path())\n"
        "with asyncio.Runner() as runner:\n"
        "    runner.run(handler.create(Resource('B', handler.type, {}, context)))\n"
        "print(sorted({'moto', 'boto3', 'botocore'} & sys.modules.keys()))\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def request(method: str, path: str, query: str = "", **headers: str) -> WireRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireRequest("s3", "eu-west-1", method, path, query, named, b"", "AK", "r")


@pytest.mark.parametrize(
    ("asked", "action", "resource"),
    [
        (request("GET", "/"), "s3:ListAllMyBuckets", "*"),
        (request("PUT", "/b"), "s3:CreateBucket", "arn:aws:s3:::b"),
        (request("GET", "/b", "list-type=2&prefix=x"), "s3:ListBucket", "arn:aws:s3:::b"),
        (request("HEAD", "/b"), "s3:ListBucket", "arn:aws:s3:::b"),
        (request("DELETE", "/b"), "s3:DeleteBucket", "arn:aws:s3:::b"),
        (request("GET", "/b", "location"), "s3:GetBucketLocation", "arn:aws:s3:::b"),
        (request("PUT", "/b", "policy"), "s3:PutBucketPolicy", "arn:aws:s3:::b"),
        (request("POST", "/b", "delete"), "s3:DeleteObject", "arn:aws:s3:::b/*"),
        (request("GET", "/b/a%20b/c"), "s3:GetObject", "arn:aws:s3:::b/a b/c"),
        (request("HEAD", "/b/k"), "s3:GetObject", "arn:aws:s3:::b/k"),
        (request("GET", "/b/k", "versionId=1"), "s3:GetObjectVersion", "arn:aws:s3:::b/k"),
        (request("PUT", "/b/k"), "s3:PutObject", "arn:aws:s3:::b/k"),
        (request("PUT", "/b/k", "partNumber=1&uploadId=2"), "s3:PutObject", "arn:aws:s3:::b/k"),
        (request("DELETE", "/b/k", "uploadId=2"), "s3:AbortMultipartUpload", "arn:aws:s3:::b/k"),
        (request("DELETE", "/b/k"), "s3:DeleteObject", "arn:aws:s3:::b/k"),
        (request("PUT", "/b/k", "tagging"), "s3:PutObjectTagging", "arn:aws:s3:::b/k"),
    ],
)
def test_each_request_needs_its_permission(asked: WireRequest, action: str, resource: str) -> None:
    """The action by method and sub-resource, on the bucket's or the object's ARN."""
    assert permissions(asked) == (Permission(action, resource),)


def test_a_copy_needs_to_read_its_source() -> None:
    """s3:PutObject on the target and s3:GetObject on the source."""
    copied = request("PUT", "/b/k", x_amz_copy_source="/other/a%20b?versionId=1")
    assert permissions(copied)[1] == Permission("s3:GetObject", "arn:aws:s3:::other/a b")


@given(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"]), st.text(max_size=8), st.text(max_size=8))
def test_every_request_needs_some_permission(method: str, path: str, query: str) -> None:
    """Nothing gets by without a question to IAM."""
    assert all(needed.action.startswith("s3:") for needed in permissions(request(method, f"/{path}", query)))
