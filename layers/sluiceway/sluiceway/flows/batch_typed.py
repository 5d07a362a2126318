"""Typed records: what a record carries, parsed before the handler sees it; what cannot be parsed is poison.

A parser is a pure function of what it is given: an error over data that it raises once, it would raise again. The
poison's reason names field and rule and never the data, of which a parser's own words may be full. Pydantic is never
imported here: whoever gives a model has imported it. Must not know what the types mean.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from json import JSONDecodeError
from typing import Any, Final, Protocol, TypeVar, cast

from sluiceway.errors import Rejected

__all__ = ["typed"]

T = TypeVar("T")
R = TypeVar("R")
C_co = TypeVar("C_co", covariant=True)

# What a parser raises over data. Anything else (a missing module, no memory) is not the record's fault.
_OVER_DATA: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
_REASON: Final = "invalid-content"
_HIDDEN: Final = "*"  # stands for a name that the data chose


class _Carries(Protocol[C_co]):
    """A record, or what was read from one."""

    @property
    def content(self) -> C_co: ...


def typed(
    parse: Callable[[Any], T], one: Callable[[T, R], Awaitable[None]], *, of: Callable[[R], object] | None = None
) -> Callable[[R], Awaitable[None]]:
    """A handler for `process_batch` that gives `one` what a record carries as a T, and the record.

    `parse`: a function, or a model class of pydantic's. `of` picks what it is given; without it that is the record's
    `content`: a message's body (str), a Kinesis record's data (bytes), the item of a DynamoDB change (a dict).
    For notifications in a queue: `of=lambda message: sns.open_envelope(message).message`.

    The handler raises Rejected (`invalid-content`) where the content cannot be parsed: `field` is the first wrong one,
    `lines.0.sku`, with `*` for a name that is not the model's own; None where the parser does not say.
    """
    read = cast("Callable[[R], object]", of or _read_content)
    schema = parse if _is_model(parse) else None

    def parse_text(content: object) -> T:
        if isinstance(content, str | bytes):
            return cast("Any", schema).model_validate_json(content)
        return cast("Any", schema).model_validate(content)

    understand = parse if schema is None else parse_text

    def handle(record: R) -> Awaitable[None]:
        try:
            value = understand(read(record))
        except _OVER_DATA as error:
            raise _describe(error, schema) from error
        return one(value, record)

    return handle


def _read_content(record: _Carries[object]) -> object:
    return record.content


def _is_model(parse: object) -> bool:
    return isinstance(parse, type) and hasattr(parse, "model_validate_json")


def _describe(error: Exception, model: Any) -> Rejected:
    core = sys.modules.get("pydantic_core")
    if core is not None and isinstance(error, core.ValidationError):
        return _describe_validation(cast("Any", error), model)
    if isinstance(error, JSONDecodeError):
        return _refuse(f"JSON, but {error.msg} at {error.pos}")
    if isinstance(error, UnicodeDecodeError):
        return _refuse(f"{error.encoding}, but {error.reason} at {error.start}")
    return _refuse(f"what its parser takes: {type(error).__name__}")


def _describe_validation(error: Any, model: Any) -> Rejected:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    names = _names_of(model)
    place = ".".join(str(part) if isinstance(part, int) or part in names else _HIDDEN for part in first["loc"])
    return _refuse(f"valid at {place or 'its root'}: {first['type']}", field=place or None)


@cache
def _names_of(model: Any) -> frozenset[str]:
    """The names that the model gives to fields, its nested models' too; of a model without a schema none is known."""
    if model is None:
        return frozenset()
    try:
        schemas: list[object] = [model.model_json_schema()]
    except Exception:  # noqa: BLE001 - pydantic cannot describe every type; then every name stays hidden
        return frozenset()
    names: set[str] = set()
    while schemas:
        schema = schemas.pop()
        if isinstance(schema, list):
            schemas.extend(cast("list[object]", schema))
        elif isinstance(schema, Mapping):
            members = cast("Mapping[str, object]", schema)
            schemas.extend(members.values())
            properties = members.get("properties")
            if isinstance(properties, Mapping):
                names.update(cast("Mapping[str, object]", properties))
    return frozenset(names)


def _refuse(expected: str, *, field: str | None = None) -> Rejected:
    return Rejected(f"the content is not {expected}", reason=_REASON, field=field)
