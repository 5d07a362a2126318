"""moto as a function: what it is asked to forget, it forgets."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from moto.s3.models import FakeKey
from moto.ssm.models import Parameter

from localcloud.moto_call import ask_moto, forget_all
from localcloud.services.contract import WireRequest

HOST = "s3.us-east-1.amazonaws.com"
SCOPE = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
LARGE = b"x" * 20_000_000  # above it moto puts a body into a file


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """What was there before is none of these tests' business: the collector looks through what they make alone."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    forget_all()


def ask(method: str, path: str, body: bytes = b"", query: str = "", **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    headers_of = {"host": HOST, "authorization": SCOPE, **named}
    request = WireRequest(
        "s3", "us-east-1", method, path, query, headers_of, body, access_key="AKIDEXAMPLE", request_id="r"
    )
    answer = ask_moto(request, HOST)
    assert answer is not None
    assert answer.status < 300, answer.body
    assert isinstance(answer.body, bytes)
    return answer.body


def live_objects() -> int:
    gc.collect()
    return sum(isinstance(each, FakeKey) for each in gc.get_objects())


def test_what_is_overwritten_or_deleted_is_gone() -> None:
    """As many objects are in memory as there are keys, however often each was put."""
    ask("PUT", "/things")
    before = live_objects()
    for number in range(30):
        ask("PUT", f"/things/k{number % 3}", str(number).encode())
    assert live_objects() - before == 3
    assert [ask("GET", f"/things/k{number}") for number in range(3)] == [b"27", b"28", b"29"]
    for number in range(3):
        ask("DELETE", f"/things/k{number}")
    assert live_objects() - before == 0


def test_the_file_of_a_large_object_is_closed_with_it() -> None:
    """A body above moto's buffer is a file: none is left open of an object that was overwritten."""
    ask("PUT", "/things")
    ask("PUT", "/things/large", LARGE)
    [key] = [each for each in gc.get_objects() if isinstance(each, FakeKey) and each.name == "large"]
    body, gone = key._value_buffer, weakref.ref(key)
    assert (body._rolled, body.closed) == (True, False)
    del key
    ask("PUT", "/things/large", b"small")
    gc.collect()
    assert (gone(), body.closed) == (None, True)


def test_a_copy_outlives_the_object_that_it_was_made_of() -> None:
    """A copy and its versions read as before when the source is deleted."""
    ask("PUT", "/things")
    ask("PUT", "/things/one", b"1")
    ask("PUT", "/things/two", x_amz_copy_source="/things/one")
    ask("DELETE", "/things/one")
    gc.collect()
    assert ask("GET", "/things/two") == b"1"


def test_no_model_is_listed_for_ever() -> None:
    """moto's own list of instances stays empty: it would hold whatever was ever made."""
    ask("PUT", "/things")
    ask("PUT", "/things/one", b"1")
    assert (FakeKey.instances_tracked, Parameter.instances_tracked) == ([], [])
