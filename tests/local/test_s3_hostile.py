"""S3 against requests that moto reads on trust: each is refused with S3's own code, and the bucket is as it was."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.s3.wire import S3Service, open_s3, permissions

pytestmark = pytest.mark.local
SIGNED = "AWS4-HMAC-SHA256 Credential=AK/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
ENTITY = b"<!DOCTYPE x [<!ENTITY a 'b'>]><Tagging>&a;</Tagging>"
DOCUMENTS = [b"", b"<a", b"not xml", b"<a/>", b"\xff\xfe", b"{}", ENTITY]
DEEP = b"<Tagging>" * 100_000
CODES = {"MalformedXML", "MissingRequestBodyError", "MissingSecurityHeader"}


def request(method: str, target: str, body: bytes = b"", **headers: str) -> WireRequest:
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1:4600", "authorization": SIGNED, "content-length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return WireRequest("s3", "us-east-1", method, path, query, sent, body, "AK", "request-1")


@dataclass
class Bucket:
    """The bucket `results` with the object `k`, and an upload in parts of `k` that is not complete."""

    service: S3Service
    upload: str = ""

    async def ask(self, method: str, target: str, body: bytes = b"", /, **headers: str) -> WireResponse:
        return await self.service.handle(request(method, target.replace("UPLOAD", self.upload), body, **headers))

    async def code(self, method: str, target: str, body: bytes = b"", /, **headers: str) -> tuple[int, str]:
        answer = await self.ask(method, target, body, **headers)
        assert isinstance(answer.body, bytes)
        found = re.search(rb"<Code>(\w+)</Code><Message>(.+?)</Message>", answer.body)
        return answer.status, found[1].decode() if found else ""

    async def holds(self) -> bytes:
        answer = await self.ask("GET", "/results/k")
        assert isinstance(answer.body, bytes)
        return answer.body


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    delegate = Delegate()
    made = Bucket(open_s3(delegate))
    await made.ask("PUT", "/results")
    await made.ask("PUT", "/results/k", b"hello")
    began = await made.ask("POST", "/results/k?uploads")
    assert isinstance(began.body, bytes)
    made.upload = re.findall(r"<UploadId>(.+?)<", began.body.decode())[0]
    yield made
    for target in ("/results/k?uploadId=UPLOAD", "/results/k", "/results"):
        await made.ask("DELETE", target)
    delegate.close()


@pytest.mark.parametrize(
    "subresource",
    [
        "accelerate",
        "acl",
        "cors",
        "encryption",
        "lifecycle",
        "logging",
        "notification",
        "object-lock",
        "ownershipControls",
        "publicAccessBlock",
        "replication",
        "tagging",
        "versioning",
        "website",
    ],
)
async def test_a_document_that_is_none_is_malformed(bucket: Bucket, subresource: str) -> None:
    """No XML, another root, entities, a tower of elements: 400, and nothing is kept of it."""
    for body in (*DOCUMENTS, DEEP):
        status, code = await bucket.code("PUT", f"/results?{subresource}", body)
        assert (status, code in CODES) == (400, True), (body[:20], code)
    assert await bucket.holds() == b"hello"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/results?delete"),
        ("POST", "/results/k?select&select-type=2"),
        ("POST", "/results/k?restore"),
        ("POST", "/results/k?uploadId=UPLOAD"),
        ("PUT", "/results/k?tagging"),
        ("PUT", "/results/k?retention"),
        ("PUT", "/results/k?legal-hold"),
        ("PUT", "/results/k?acl"),
    ],
)
async def test_a_document_about_an_object_is_read_as_strictly(bucket: Bucket, method: str, target: str) -> None:
    """400 for each, and the object is still what it was."""
    for body in (*DOCUMENTS, DEEP):
        status, code = await bucket.code(method, target, body)
        assert (status, code in CODES) == (400, True), (body[:20], code)
    assert await bucket.holds() == b"hello"


@pytest.mark.parametrize(
    ("method", "target", "document"),
    [
        ("POST", "/results?delete", b"<Delete/>"),
        ("PUT", "/results?tagging", b"<Tagging/>"),
        ("PUT", "/results/k?tagging", b"<Tagging/>"),
        ("PUT", "/results/k?tagging", b"<Tagging><TagSet><Tag/></TagSet></Tagging>"),
        ("PUT", "/new", b"<CreateBucketConfiguration"),
    ],
)
async def test_a_document_that_moto_cannot_read_is_malformed(
    bucket: Bucket, method: str, target: str, document: bytes
) -> None:
    """The right root with members missing."""
    assert await bucket.code(method, target, document) == (400, "MalformedXML")


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/results?max-keys=zz", 400, "InvalidArgument"),
        ("GET", "/results?max-keys=-1", 400, "InvalidArgument"),
        ("GET", "/results?max-keys=", 400, "InvalidArgument"),
        ("GET", "/results?list-type=2&max-keys=99999999999999999999", 400, "InvalidArgument"),
        ("GET", "/results?list-type=2&continuation-token=zz", 400, "InvalidArgument"),
        ("GET", "/results?list-type=2&encoding-type=zz", 400, "InvalidArgument"),
        ("GET", "/results?versions&max-keys=zz", 400, "InvalidArgument"),
        ("GET", "/results?uploads&max-uploads=zz", 400, "InvalidArgument"),
        ("GET", "/?max-buckets=zz", 400, "InvalidArgument"),
        ("GET", "/results/k?partNumber=zz", 400, "InvalidArgument"),
        ("GET", "/results/k?partNumber=0", 400, "InvalidArgument"),
        ("GET", "/results/k?partNumber=9999", 416, "InvalidPartNumber"),
        ("GET", "/results/k?uploadId=UPLOAD&max-parts=zz", 400, "InvalidArgument"),
        ("GET", "/results/k?uploadId=UPLOAD&part-number-marker=zz", 400, "InvalidArgument"),
        ("GET", "/results/k?uploadId=nope", 404, "NoSuchUpload"),
        ("PUT", "/results/k?partNumber=1&uploadId=nope", 404, "NoSuchUpload"),
        ("PUT", "/results/k?partNumber=zz&uploadId=UPLOAD", 400, "InvalidArgument"),
        ("PUT", "/results/k?partNumber=10001&uploadId=UPLOAD", 400, "InvalidArgument"),
        ("DELETE", "/results/k?uploadId=nope", 404, "NoSuchUpload"),
        ("PATCH", "/results/k", 405, "MethodNotAllowed"),
        ("POST", "/results/k", 405, "MethodNotAllowed"),
        ("PUT", "/", 405, "MethodNotAllowed"),
        ("DELETE", "/results/k?acl", 405, "MethodNotAllowed"),
        ("PUT", "/results/k?restore", 405, "MethodNotAllowed"),
        ("POST", "/results", 412, "PreconditionFailed"),
        ("DELETE", "/results?metrics&id=x", 501, "NotImplemented"),
        ("DELETE", "/results?inventory&id=x", 501, "NotImplemented"),
        ("PUT", "/results?requestPayment", 501, "NotImplemented"),
        ("GET", "/results/k?torrent", 501, "NotImplemented"),
        ("GET", "//k", 400, "InvalidBucketName"),
        ("PUT", "/results%2Fk", 400, "InvalidBucketName"),
        ("PUT", "/results/" + "k" * 1025, 400, "KeyTooLongError"),
    ],
)  # fmt: skip
async def test_a_query_that_s3_refuses_is_refused_by_name(
    bucket: Bucket, method: str, target: str, status: int, code: str
) -> None:
    """Numbers, tokens, uploads and subresources; a write that is not served never becomes a plain one."""
    body = b"x" if method == "PUT" and "uploadId" in target else b""
    assert await bucket.code(method, target, body) == (status, code)
    assert await bucket.holds() == b"hello"


async def test_completing_an_unknown_upload_is_told_as_that(bucket: Bucket) -> None:
    """The document is read first, then the upload looked for."""
    part = b"<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    document = b"<CompleteMultipartUpload>" + part + b"</CompleteMultipartUpload>"
    assert await bucket.code("POST", "/results/k?uploadId=nope", document) == (404, "NoSuchUpload")


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_acl": "zz"},
        {"x_amz_grant_read": "zz"},
        {"x_amz_grant_read": 'id="'},
        {"x_amz_copy_source": "zz"},
        {"x_amz_copy_source": "/results/"},
        {"x_amz_copy_source": "/results/k", "x_amz_copy_source_range": "zz"},
    ],
    ids=str,
)
async def test_a_header_that_s3_refuses_is_an_invalid_argument(bucket: Bucket, headers: dict[str, str]) -> None:
    """400, and no object is made."""
    assert await bucket.code("PUT", "/results/other", b"x", **headers) == (400, "InvalidArgument")
    assert (await bucket.ask("GET", "/results/other")).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "zz"},
        {"range": "bytes=zz"},
        {"range": "bytes=0-1,3-4"},
        {"if_modified_since": "zz"},
        {"if_unmodified_since": "zz"},
        {"if_modified_since": "Mon, 99 Nov 99999 10:00:00 GMT"},
        {"if_modified_since": "Sat, 23 Nov 2002 10:00:00 +0100"},
    ],
    ids=str,
)
async def test_a_header_that_s3_passes_over_changes_nothing(bucket: Bucket, headers: dict[str, str]) -> None:
    """A range or a date that is none is as good as absent (RFC 9110)."""
    answer = await bucket.ask("GET", "/results/k", **headers)
    assert (answer.status, answer.body) == (200, b"hello")


@pytest.mark.parametrize("policy", [b"", b"<a/>", b"\xff", b"[]", b"{}", b'{"Statement":5}', b"[" * 100_000])
async def test_a_policy_that_is_none_is_not_kept(bucket: Bucket, policy: bytes) -> None:
    """moto would keep it and fail at every object from then on."""
    assert await bucket.code("PUT", "/results?policy", policy) == (400, "MalformedPolicy")
    assert await bucket.holds() == b"hello"


async def test_a_form_without_a_key_is_refused(bucket: Bucket) -> None:
    """An upload from a browser's form names its key."""
    form = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
    kind = "multipart/form-data; boundary=x"
    assert await bucket.code("POST", "/results", form, content_type=kind) == (400, "InvalidArgument")


def test_the_permissions_of_a_path_are_those_of_what_moto_will_touch() -> None:
    """An encoded slash does not part bucket and key, so no permission for an object opens a bucket."""
    assert [each.resource for each in permissions(request("PUT", "/a%2Fb"))] == ["arn:aws:s3:::a/b"]
    assert [each.resource for each in permissions(request("PUT", "/a/b%2Fc"))] == ["arn:aws:s3:::a/b/c"]


async def test_what_nobody_foresaw_is_a_refusal_and_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where moto raises, the caller gets a 400 and the log the error's type and place, nothing of the request."""

    def fail(_request: WireRequest, _host: str) -> WireResponse:
        raise KeyError("secret")

    monkeypatch.setattr("localcloud.moto_call.ask_moto", fail)
    delegate = Delegate()
    front = Front([open_s3(delegate)], authorise=lambda _key, _needs: None, rng=random.Random(1))
    answer = await front.dispatch(request("GET", "/results/secret"))
    delegate.close()
    assert answer.status == 400
    assert "s3.delegate_failed method=GET code=InvalidRequest error=KeyError at test_s3_hostile.py:" in caplog.text
    assert "secret" not in caplog.text + str(answer.body)
