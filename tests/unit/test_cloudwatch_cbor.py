"""CBOR as CloudWatch's clients send and read it: the RFC's own examples, botocore on the other side, hostile bytes."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any, cast

import botocore.session
import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.cloudwatch.cbor import MAX_DEPTH, MAX_VALUES, MalformedCbor, Stamp, read_cbor, write_cbor

# RFC 8949, Appendix A: what the data model of AWS's services has.
EXAMPLES: list[tuple[str, Any]] = [
    ("00", 0),
    ("01", 1),
    ("0a", 10),
    ("17", 23),
    ("1818", 24),
    ("1819", 25),
    ("1864", 100),
    ("1903e8", 1000),
    ("1a000f4240", 1000000),
    ("1b000000e8d4a51000", 1000000000000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("3bffffffffffffffff", -18446744073709551616),
    ("20", -1),
    ("29", -10),
    ("3863", -100),
    ("3903e7", -1000),
    ("f90000", 0.0),
    ("f93c00", 1.0),
    ("fb3ff199999999999a", 1.1),
    ("f93e00", 1.5),
    ("f97bff", 65504.0),
    ("fa47c35000", 100000.0),
    ("fa7f7fffff", 3.4028234663852886e38),
    ("fb7e37e43c8800759c", 1.0e300),
    ("f90001", 5.960464477539063e-8),
    ("f9c400", -4.0),
    ("fbc010666666666666", -4.1),
    ("f97c00", math.inf),
    ("f9fc00", -math.inf),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("f7", None),
    ("c11a514b67b0", 1363896240.0),
    ("c1fb41d452d9ec200000", 1363896240.5),
    ("40", b""),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("60", ""),
    ("6161", "a"),
    ("6449455446", "IETF"),
    ("62225c", '"\\'),
    ("62c3bc", "\u00fc"),
    ("63e6b0b4", "\u6c34"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("83010203", [1, 2, 3]),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))),
    ("a0", {}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("826161a161626163", ["a", {"b": "c"}]),
    ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9fff", []),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("83018202039f0405ff", [1, [2, 3], [4, 5]]),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ("bf6346756ef563416d7421ff", {"Fun": True, "Amt": -2}),
]
MALFORMED: list[tuple[str, str]] = [
    ("", "ends too early"),
    ("18", "ends too early"),
    ("1c", "form that is none"),
    ("1f", "form that is none"),
    ("6261", "ends too early"),
    ("61ff", "not UTF-8"),
    ("63eda080", "not UTF-8"),
    ("9f01", "ends too early"),
    ("8201", "ends too early"),
    ("9bffffffffffffffff", "ends too early"),
    ("bbffffffffffffffff", "ends too early"),
    ("5bffffffffffffffff", "ends too early"),
    ("ff", "simple value"),
    ("f0", "simple value"),
    ("f820", "simple value"),
    ("0000", "bytes follow"),
    ("a10102", "key is no text"),
    ("a1f601", "key is no text"),
    ("c074323031332d30332d32315432303a30343a30305a", "tag"),
    ("c249010000000000000000", "tag"),
    ("c1f5", "tag"),
    ("c01a514b67b0", "tag"),
    ("c16161", "tag"),
    ("7f4101ff", "another kind"),
    ("7f7f6161ffff", "form that is none"),
    ("bf6161ff", "simple value"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=70)
    | st.floats(0, 2**40).map(Stamp)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=40), inner, max_size=5),
    max_leaves=60,
)


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES)
def test_the_rfcs_examples_are_read(raw: str, expected: Any) -> None:
    """Every example of the RFC that AWS's data model has is read as the RFC says, with its own type."""
    found = read_cbor(bytes.fromhex(raw))
    assert (found, type(found)) == (expected, Stamp if raw.startswith("c1") else type(expected))


def test_not_a_number_is_read() -> None:
    """NaN in its three widths is a float; that metrics refuse it is not the codec's business."""
    for raw in ("f97e00", "fa7fc00000", "fb7ff8000000000000"):
        found = read_cbor(bytes.fromhex(raw))
        assert isinstance(found, float)
        assert math.isnan(found)


@pytest.mark.parametrize(("raw", "expected"), MALFORMED)
def test_malformed_bytes_are_refused(raw: str, expected: str) -> None:
    """Whatever is cut, too long, of a foreign kind or followed by more is refused with a reason."""
    with pytest.raises(MalformedCbor, match=expected):
        read_cbor(bytes.fromhex(raw))


@pytest.mark.parametrize("opening", [b"\x81", b"\x9f", b"\xa1\x60", b"\xc1", b"\xbf\x60"])
def test_depth_is_bounded(opening: bytes) -> None:
    """Values inside each other are read down to the bound and refused below it, however they are nested."""
    with pytest.raises(MalformedCbor, match="too deeply"):
        read_cbor(opening * 100_000)
    deep: Any = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert read_cbor(write_cbor(deep)) == deep
    with pytest.raises(MalformedCbor, match="too deeply"):
        read_cbor(write_cbor([deep]))


@given(values)
def test_what_is_written_is_read_again(value: Any) -> None:
    """Reading gives back what was written: values, and which floats are dates."""
    assert repr(read_cbor(write_cbor(value))) == repr(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No bytes bring anything but a value or MalformedCbor."""
    try:
        value = read_cbor(body)
    except MalformedCbor:
        return
    assert repr(read_cbor(write_cbor(value))) == repr(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**64, [-(2**64) - 1]])
def test_what_the_model_has_not_is_not_written(value: Any) -> None:
    """Foreign types and longer integers are programming errors, told at once."""
    with pytest.raises(TypeError):
        write_cbor(value)


def cbor_model() -> Any:
    """botocore's model of CloudWatch as its newer versions have it, where CBOR comes first."""
    session = botocore.session.get_session()
    loader: Any = session.get_component("data_loader")
    raw = loader.load_service_model("cloudwatch", "service-2")
    metadata = {**raw["metadata"], "protocol": "smithy-rpc-v2-cbor", "targetPrefix": "GraniteServiceVersion20100801"}
    return ServiceModel({**raw, "metadata": metadata}, "cloudwatch")


def operation(name: str) -> Any:
    return cbor_model().operation_model(name)


def test_botocores_requests_are_read() -> None:
    """What botocore serialises is what was given, dates as dates."""
    at = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    datum = {"MetricName": "m", "Value": 1.25, "Timestamp": at, "Values": [1.0, -2.5e300], "StorageResolution": 1}
    serializer: Any = create_serializer("smithy-rpc-v2-cbor")
    sent = serializer.serialize_to_request({"Namespace": "n\u00fc", "MetricData": [datum]}, operation("PutMetricData"))
    found: Any = read_cbor(bytes(sent["body"]))
    assert found == {"Namespace": "n\u00fc", "MetricData": [{**datum, "Timestamp": at.timestamp()}]}
    assert isinstance(found["MetricData"][0]["Timestamp"], Stamp)
    assert sent["url_path"] == "/service/GraniteServiceVersion20100801/operation/PutMetricData"


def test_botocore_reads_our_answers() -> None:
    """botocore's parser makes of our bytes what we meant: doubles, dates, lists, texts."""
    answer = {
        "Label": "l",
        "Datapoints": [{"Timestamp": Stamp(1_800_000_000.0), "Sum": 2.0, "Unit": "Count"}],
    }
    response: dict[str, Any] = {"status_code": 200, "headers": {}, "body": write_cbor(answer)}
    shape = operation("GetMetricStatistics").output_shape
    parser: Any = create_parser("smithy-rpc-v2-cbor")
    parsed = parser.parse(response, shape)
    point = {"Timestamp": datetime.fromtimestamp(1_800_000_000, UTC), "Sum": 2.0, "Unit": "Count"}
    assert (parsed["Label"], parsed["Datapoints"]) == ("l", [point])


def test_floats_keep_every_bit() -> None:
    """A double is written in eight bytes, whatever its value."""
    assert write_cbor(0.1) == b"\xfb" + struct.pack(">d", 0.1)
    assert write_cbor(1.0) == b"\xfb" + struct.pack(">d", 1.0)


@pytest.mark.parametrize("small", [b"\xa0", b"\xf6", b"\x60"])
def test_a_body_holds_so_many_values_and_no_more(small: bytes) -> None:
    """A value may be a byte long, and takes a hundred times that once it is read: their number has a bound."""
    head = b"\x9a" + struct.pack(">I", MAX_VALUES)
    with pytest.raises(MalformedCbor, match="too many values"):
        read_cbor(head + small * MAX_VALUES)
    fewer = read_cbor(b"\x9a" + struct.pack(">I", MAX_VALUES - 1) + small * (MAX_VALUES - 1))
    assert len(cast("list[object]", fewer)) == MAX_VALUES - 1


def test_the_parts_of_a_string_are_counted_too() -> None:
    """A text in parts without anything in them is bounded as lists are."""
    with pytest.raises(MalformedCbor, match="too many values"):
        read_cbor(b"\x7f" + b"\x60" * MAX_VALUES + b"\xff")
