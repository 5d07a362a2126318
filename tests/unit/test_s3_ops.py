"""S3 objects: botocore's paths and headers, and what a missing object is."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.reply import Reply
from sluiceway.aws.s3 import Bucket, StoredObject
from sluiceway.errors import Rejected, ServiceRefused
from tests.fakes import RecordingCaller

MODEL = botocore.session.get_session().get_service_model("s3")
SERIALIZER = create_serializer("rest-xml", include_validation=True)


@given(st.text(min_size=1, max_size=60).filter(lambda key: len(key.encode("utf-8", "ignore")) > 0), st.binary())
async def test_put_goes_where_botocore_puts_it(key: str, body: bytes) -> None:
    """Any key is percent-encoded as botocore does it; the body goes as it is with its type."""
    caller = RecordingCaller([Reply(200, {"etag": '"e"'}, b"")])
    assert await Bucket(caller, "results").put(key, body, content_type="text/plain") == '"e"'
    sent = SERIALIZER.serialize_to_request(
        {"Bucket": "results", "Key": key, "Body": body, "ContentType": "text/plain"}, MODEL.operation_model("PutObject")
    )
    (call,) = caller.calls
    # The bucket moves into the path (botocore moves it into the host, or into the path for a local endpoint).
    assert call.path == f"/results{sent['url_path'].removeprefix('/results')}"
    assert (call.method, call.body) == (sent["method"], body)
    assert call.headers == {"content-type": sent["headers"]["Content-Type"]}


async def test_get_reads_body_type_and_etag() -> None:
    """An object comes back whole."""
    caller = RecordingCaller([Reply(200, {"content-type": "text/plain", "etag": '"e"'}, b"abc")])
    assert await Bucket(caller, "b").get("a/b c") == StoredObject(b"abc", "text/plain", '"e"')
    assert (caller.calls[0].method, caller.calls[0].path) == ("GET", "/b/a/b%20c")


async def test_a_missing_object_is_none_and_a_forbidden_one_is_not() -> None:
    """NoSuchKey is an answer; AccessDenied (what a role without ListBucket gets) is raised, never hidden."""

    def refused(code: str, status: int) -> ServiceRefused:
        return ServiceRefused("no", service="s3", operation="GetObject", code=code, status=status)

    caller = RecordingCaller([refused("NoSuchKey", 404), refused("AccessDenied", 403)])
    bucket = Bucket(caller, "b")
    assert await bucket.get("a") is None
    with pytest.raises(ServiceRefused):
        await bucket.get("a")


@pytest.mark.parametrize("key", ["", "é" * 513])
async def test_keys_outside_s3s_limit_are_refused_before_sending(key: str) -> None:
    """An object key has 1 to 1024 bytes."""
    caller = RecordingCaller()
    with pytest.raises(Rejected, match="1 to 1024 bytes"):
        await Bucket(caller, "b").put(key, b"")
    assert caller.calls == []
