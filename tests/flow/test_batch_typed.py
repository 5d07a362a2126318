"""Typed records: parsed before the handler, and poison with field and rule where they cannot be."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from localcloud.clock import run_virtual
from sluiceway.codec import sns
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.dynamodb import DynamoDbRecord
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from sluiceway.flows.batch_typed import typed
from tests.fakes import MemoryDeadLetters
from tests.unit.test_codec_kinesis import make
from tests.unit.test_codec_sns import envelope

SECRET = "SECRET-4711"


class Line(BaseModel):
    sku: Annotated[str, Field(max_length=4)]
    count: int = 1


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    lines: list[Line] = []
    total: Decimal = Decimal(0)
    notes: dict[str, int] = {}


@dataclass(frozen=True)
class Point:
    x: int


def read_point(body: str) -> Point:
    return Point(**json.loads(body))


def message(body: str) -> SqsMessage:
    return SqsMessage("m0", "r0", body, {}, 1, 0, "arn:aws:sqs:eu-west-1:123456789012:orders")


def refuse(parse: Any, record: Any, **options: Any) -> Rejected:
    """What the handler raises; the handler proper is never reached."""

    async def one(_value: Any, _record: Any) -> None:
        raise AssertionError("nobody is handed what cannot be parsed")

    with pytest.raises(Rejected) as caught:
        typed(parse, one, **options)(record)
    return caught.value


async def take(parse: Any, record: Any, **options: Any) -> Any:
    found: list[Any] = []

    async def one(value: Any, given: Any) -> None:
        assert given is record
        found.append(value)

    await typed(parse, one, **options)(record)
    return found[0]


async def test_a_function_or_a_model_makes_a_body_a_type() -> None:
    """Of a message, of data, of an image, of a notification in a message."""
    body = json.dumps({"id": "o1", "lines": [{"sku": "abc"}]})
    order = Order(id="o1", lines=[Line(sku="abc")])
    assert await take(read_point, message('{"x": 1}')) == Point(1)
    assert await take(Order, message(body)) == order
    assert await take(Order, make(body.encode())) == order
    image = {"id": "o1", "total": Decimal("9.99")}
    changed = DynamoDbRecord("1", "e", "INSERT", {"id": "o1"}, "o1", "arn", image)
    assert await take(Order, changed) == Order(id="o1", total=Decimal("9.99"))
    carried = message(json.dumps(envelope(body)))
    assert await take(Order, carried, of=lambda each: sns.open_envelope(each).message) == order
    assert await take(TypeAdapter(list[int]).validate_json, message("[1]")) == [1]


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({"id": 5}, "id", "string_type"),
        ({}, "id", "missing"),
        ({"id": "o", "lines": [{"sku": "a"}, {"sku": SECRET}]}, "lines.1.sku", "string_too_long"),
        ({"id": "o", SECRET: 1}, "*", "extra_forbidden"),
        ({"id": "o", "notes": {SECRET: SECRET}}, "notes.*", "int_parsing"),
        ([SECRET], None, "model_type"),
    ],
)
def test_a_models_poison_names_field_and_rule(body: Any, field: str | None, rule: str) -> None:
    """Never the value, and no name that the payload chose."""
    error = refuse(Order, message(json.dumps(body)))
    assert (error.reason, error.field) == ("invalid-content", field)
    assert str(error).endswith(f": {rule}")
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("parse", "body", "told"),
    [
        (read_point, SECRET, "JSON, but Expecting value at 0"),
        (read_point, json.dumps({SECRET: 1}), "TypeError"),
        (read_point, "[" * 100_000, "RecursionError"),
        (lambda body: json.loads(body)["x"], json.dumps({SECRET: 1}), "KeyError"),
        (lambda body: json.loads(body).x, "[]", "AttributeError"),
        (Decimal, SECRET, "InvalidOperation"),
        (Order, SECRET, "json_invalid"),
        (TypeAdapter(dict[str, int]).validate_json, json.dumps({SECRET: SECRET}), "int_parsing"),
    ],
)
def test_a_parsers_poison_names_the_rule(parse: Any, body: str, told: str) -> None:
    """The parser's own words stay out: they are full of the payload."""
    error = refuse(parse, message(body))
    assert error.reason == "invalid-content"
    assert told in str(error)
    assert SECRET not in str(error)


def test_bytes_that_are_no_text_are_poison() -> None:
    """With the place, not the bytes."""
    assert str(refuse(lambda data: data.decode(), make(b"ab\xff"))) == (
        "the content is not utf-8, but invalid start byte at 2"
    )


@settings(max_examples=30)
@given(body=st.text() | st.just('{"id": "o1"}'))
def test_no_body_breaks_out(body: str) -> None:
    """Whatever a body is, it is parsed or poison."""

    parsed: list[Order] = []

    async def one(value: Order, _record: SqsMessage) -> None:
        parsed.append(value)

    letters = MemoryDeadLetters()

    async def run() -> BatchReport:
        desk = BatchDesk(letters)
        return await process_batch(SqsBatch((message(body),)), typed(Order, one), desk=desk, deadline=float("inf"))

    assert run_virtual(run) == BatchReport()
    assert len(parsed) + len([letter for letter in letters.letters if letter.reason == "invalid-content"]) == 1


@pytest.mark.parametrize(
    "error", [Rejected("mine", reason="mine"), Retryable("later"), Misconfigured("no", what="X"), ImportError("no x")]
)
def test_what_is_not_over_data_is_what_it_is(error: Exception) -> None:
    """A parser that says so itself, and a deployment that lacks a module: the record is not to blame."""

    def parse(_body: str) -> None:
        raise error

    async def one(_value: Any, _record: Any) -> None: ...

    with pytest.raises(type(error)) as caught:
        typed(parse, one)(message("x"))
    assert caught.value is error


def test_an_error_of_the_handler_is_no_poison() -> None:
    """A ValueError of the work itself may pass; only one of the parser would come again for ever."""

    async def one(_point: Point, _message: SqsMessage) -> None:
        await asyncio.sleep(0)
        raise ValueError

    letters = MemoryDeadLetters()

    async def run() -> BatchReport:
        batch = SqsBatch((message('{"x": 1}'), message("x")._replace(message_id="m1")))
        return await process_batch(batch, typed(read_point, one), desk=BatchDesk(letters), deadline=float("inf"))

    assert run_virtual(run) == BatchReport(("m0",))
    assert [letter.reason for letter in letters.letters] == ["invalid-content"]


def test_a_model_that_has_no_schema_hides_every_name() -> None:
    """Names are shown only where the model is known to have chosen them."""

    class Opaque(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        lock: asyncio.Lock
        count: int

    assert refuse(Opaque, message('{"count": "x"}')).field == "*"


def test_who_gives_no_model_imports_no_pydantic() -> None:
    """Neither the flow nor its types do: the hot path of a function that parses by hand stays as it was."""
    code = (
        "import sys\n"
        "from sluiceway.flows.batch import process_batch\n"
        "from sluiceway.flows.batch_typed import typed\n"
        "from sluiceway.codec import dynamodb, kinesis, sns, sqs\n"
        "from sluiceway.events.sqs import SqsMessage\n"
        "import json\n"
        "try:\n"
        "    typed(json.loads, print)(SqsMessage('m', 'r', 'x', {}, 1, 0, 'arn'))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, *sorted({'pydantic', 'pydantic_core'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Rejected\n", "")
