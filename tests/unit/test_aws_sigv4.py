"""Signatures, held against botocore's for thousands of generated requests."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import re

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluiceway.aws.bedrock import BEDROCK_RUNTIME
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.endpoints import parse_url
from sluiceway.aws.request import prepare_request
from sluiceway.aws.s3 import S3
from sluiceway.aws.sigv4 import Credentials, Signable, Signer, encode_label, encode_query

NOW = dt.datetime(2026, 11, 23, 10, 0, 0)  # noqa: DTZ001 - botocore wants it naive
AMZ_DATE = "20261123T100000Z"

name_chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
names = st.text(name_chars, min_size=1, max_size=12).map(lambda name: f"x-amz-meta-{name}")
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=30)
blank_values = st.lists(st.sampled_from(["", " ", "  ", "\t", "a", "b c", "  d   e ", "é", "☃"]), max_size=6).map(
    "".join
)
headers = st.lists(st.tuples(names, st.one_of(values, blank_values)), max_size=6)
segments = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(encode_label),
    st.sampled_from(
        ["", ".", "..", "~", "a%2Fb", "%20", "a+b", "a:b", "a@b", "a=b", "a,b;c", "$x", "!", "'", "(a)", "*"]
    ),
)
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
queries = st.lists(st.tuples(plain, plain), max_size=5)
bodies = st.binary(max_size=200)
tokens = st.sampled_from(["", "IQoJb3JpZ2luX2VjE/+=="])
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"])


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch):
    """botocore signs at a fixed time."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: NOW, raising=True)


def sign_both(kind, *, method, path, query, extra, body, token, s3):
    """Our authorization and botocore's, for one request."""
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    service = "s3" if s3 else "dynamodb"
    query_string = encode_query(query)
    aws = AWSRequest(
        method=method, url=f"http://service.example{path}" + (f"?{query_string}" if query_string else ""), data=body
    )
    for name, value in extra:
        aws.headers[name] = value
    kind(BotoCredentials(credentials.access_key, credentials.secret_key, token or None), service, "eu-west-1").add_auth(
        aws
    )
    payload = hashlib.sha256(body).hexdigest()
    ours = [("host", "service.example"), *((name.lower(), value) for name, value in extra), ("x-amz-date", AMZ_DATE)]
    if token:
        ours.append(("x-amz-security-token", token))
    if s3:
        ours.append(("x-amz-content-sha256", payload))
    signable = Signable(method, path, query_string, ours, payload)
    signer = Signer(service=service, region="eu-west-1", s3_paths=s3)
    return signer.authorize(signable, credentials, AMZ_DATE), aws.headers["Authorization"]


thorough = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@thorough
@given(method=methods, path=paths, query=queries, extra=headers, body=bodies, token=tokens)
def test_signature_of_a_service_equals_botocore(method, path, query, extra, body, token):
    """Paths, queries, headers, bodies and tokens of every kind get botocore's SigV4 signature."""
    ours, theirs = sign_both(
        botocore.auth.SigV4Auth, method=method, path=path, query=query, extra=extra, body=body, token=token, s3=False
    )
    assert ours == theirs


@thorough
@given(method=methods, path=paths, query=queries, extra=headers, body=bodies, token=tokens)
def test_signature_of_s3_equals_botocore(method, path, query, extra, body, token):
    """S3 signs the path as sent and the body's hash as a header."""
    ours, theirs = sign_both(
        botocore.auth.S3SigV4Auth, method=method, path=path, query=query, extra=extra, body=body, token=token, s3=True
    )
    assert ours == theirs


def draw_text(chance):
    """Up to eight characters, from many alphabets and the awkward ones of HTTP."""
    pool = "aZ09-_.~ /%+&=?#:;,@!$'()*\"<>[]{}|\\^`\t\u00e9\u00a0\u2603\u4e16\U0001f30d\u0301"
    return "".join(chance.choices(pool, k=chance.randrange(9)))


@pytest.mark.parametrize("s3", [False, True])
def test_a_thousand_drawn_requests_are_signed_as_botocore_signs_them(s3):
    """Broad and cheap beside the searching tests above: seeded requests with everything in them at once."""
    chance = random.Random(20261123)
    kind = botocore.auth.S3SigV4Auth if s3 else botocore.auth.SigV4Auth
    specials = ["", ".", "..", "a%2Fb", "%20", "x"]
    for _ in range(1000):
        parts = [chance.choice([*specials, encode_label(draw_text(chance))]) for _ in range(chance.randrange(6))]
        ours, theirs = sign_both(
            kind,
            method=chance.choice(["GET", "POST", "PUT", "DELETE", "HEAD"]),
            path="/" + "/".join(parts),
            query=[(draw_text(chance), draw_text(chance)) for _ in range(chance.randrange(4))],
            extra=[(f"x-amz-meta-{chance.choice('abcd')}", draw_text(chance)) for _ in range(chance.randrange(4))],
            body=chance.randbytes(chance.randrange(64)),
            token=chance.choice(["", "IQoJb3JpZ2luX2VjE/+=="]),
            s3=s3,
        )
        assert ours == theirs


@pytest.mark.parametrize(
    "extra",
    [
        [("x-amz-meta-a", "1"), ("x-amz-meta-a", " 2  3 "), ("x-amz-meta-a", "")],
        [("user-agent", "x"), ("expect", "100-continue"), ("x-amzn-trace-id", "Root=1"), ("transfer-encoding", "x")],
        [("range", "bytes=0-9"), ("if-match", '"e"'), ("content-type", "a/b;  charset=x")],
    ],
)
def test_repeated_and_unsigned_headers(extra):
    """Repeated names join with commas in order; what proxies change is not signed."""
    ours, theirs = sign_both(
        botocore.auth.SigV4Auth, method="PUT", path="/k", query=[], extra=extra, body=b"", token="", s3=False
    )
    assert ours == theirs


def test_published_example():
    """The GetObject example of the S3 API reference has the published signature.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    empty = hashlib.sha256(b"").hexdigest()
    signed = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", empty),
        ("x-amz-date", "20130524T000000Z"),
    ]
    signer = Signer(service="s3", region="us-east-1", s3_paths=True)
    header = signer.authorize(Signable("GET", "/test.txt", "", signed, empty), credentials, "20130524T000000Z")
    assert header.endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_signing_key_follows_date_and_secret():
    """The kept key serves one date and secret only."""
    signer = Signer(service="sqs", region="eu-west-1")
    request = Signable("POST", "/", "", [("host", "h")], "0" * 64)
    first = signer.authorize(request, Credentials("a", "s1"), "20261123T000000Z")
    other_day = signer.authorize(request, Credentials("a", "s1"), "20261124T000000Z")
    other_key = signer.authorize(request, Credentials("a", "s2"), "20261123T000000Z")
    again = signer.authorize(request, Credentials("a", "s1"), "20261123T000000Z")
    assert first == again
    assert len({first, other_day, other_key}) == 3


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.sampled_from([(DYNAMODB, "POST"), (BEDROCK_RUNTIME, "POST"), (S3, "PUT"), (S3, "GET")]),
    segment=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
    query=st.dictionaries(plain.filter(bool), plain, max_size=3),
    extra=st.dictionaries(names, st.text("abc  \t,é", max_size=8), max_size=3),
    text=plain,
    token=tokens,
)
def test_a_request_as_sent_verifies_with_botocore(case, segment, query, extra, text, token):
    """What goes over the wire, read back as a server reads it, has the signature that botocore finds for it."""
    service, method = case
    extra = {name.lower(): value for name, value in extra.items()}
    body = b"" if method == "GET" else text.encode() if service is S3 else {"Prompt": text}
    request = prepare_request(
        service,
        "Do",
        body,
        endpoint=parse_url("http://service.example", what="x"),
        method=method,
        path=f"/a/{encode_label(segment)}",
        query=query,
        headers=extra,
    )
    credentials = Credentials("AKIDEXAMPLE", "secret", token)
    signer = Signer(service=service.signing_name, region="eu-west-1", s3_paths=service is S3)
    head, _, content = request.sign(signer, credentials, AMZ_DATE, trace="Root=1-2-3").partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    sent_method, target, version = first.split(" ")
    kind = botocore.auth.S3SigV4Auth if service is S3 else botocore.auth.SigV4Auth
    aws = AWSRequest(method=sent_method, url=f"http://service.example{target}", data=content)
    parsed = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    sent = dict(parsed)
    signed = re.search(r"SignedHeaders=([^,]*)", sent["authorization"])
    assert signed is not None
    for name, value in parsed:
        if name in signed[1].split(";") and name not in {"host", "x-amz-date", "x-amz-security-token"}:
            aws.headers[name] = value
    kind(BotoCredentials("AKIDEXAMPLE", "secret", token or None), service.signing_name, "eu-west-1").add_auth(aws)
    assert version == "HTTP/1.1"
    assert sent["authorization"] == aws.headers["Authorization"]
    assert set(signed[1].split(";")) >= {"host", "x-amz-date"}


def test_secrets_stay_out_of_repr():
    """A traceback that shows credentials shows no secret."""
    assert repr(Credentials("AKID", "secret", "token")) == "Credentials('AKID')"
