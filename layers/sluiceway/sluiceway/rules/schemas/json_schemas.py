"""JSON Schema on the way in: which records a schema takes, and where one breaks it.

A schema is compiled to Python code, which is what makes it quick: so only schemas of the deployment itself may come
here, never one that somebody sent or that a registry gave. Must not know frames or registries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from fastjsonschema import JsonSchemaException, JsonSchemaValueException
from fastjsonschema import compile as compile_schema

from sluiceway.errors import Misconfigured, Rejected
from sluiceway.rules.publishing import Data, encode_data
from sluiceway.rules.schemas.json_keywords import read_document

__all__ = ["JsonSchema", "compile_validator"]

MAX_PATH: Final = 256  # characters of a place in an error
MAX_RULE: Final = 100
_RULES: Final[Mapping[str, str]] = {
    "additionalProperties": "has a member that the schema does not name",
    "const": "must be the one value that the schema names",
    "dependencies": "lacks a member that another one needs",
    "enum": "must be one of the values that the schema names",
    "not": "is what the schema excludes",
    "pattern": "must match the schema's pattern",
    "uniqueItems": "must not have an item twice",
}
_TELLING: Final = frozenset(
    {"exclusiveMaximum", "exclusiveMinimum", "format", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
     "minLength", "minProperties", "minimum", "multipleOf", "required", "type"}
)  # fmt: skip
_compile: Final = cast("Callable[..., Callable[[object], object]]", compile_schema)


def compile_validator(schema: Mapping[str, Any], what: str) -> Callable[[object], object]:
    """A function that raises JsonSchemaValueException. Raises Misconfigured where no code comes of the schema."""
    try:
        return _compile(dict(schema), use_default=False)  # a default is for readers: what was sent is what is stored
    except (JsonSchemaException, SyntaxError, RecursionError, re.error) as error:  # re.error: `[$]`, write `[\\$]`
        raise Misconfigured(f"{what}: is no schema that can be compiled: {error}", what=what) from error


class JsonSchema:
    """One version of a schema, compiled: 2 ms for a usual one. `text` is JSON with `$schema` of draft 4, 6 or 7.

    `what` names it in errors. Raises Misconfigured that names the place in the schema.
    """

    def __init__(self, text: str, *, what: str) -> None:
        self.document = read_document(text, what)
        self._validate = compile_validator(self.document, what)

    def encode(self, topic: str, data: Data) -> bytes:
        """The data as compact JSON: a `Check`. Raises Rejected (`schema-mismatch`, `invalid-data`)."""
        self.check(data)
        return encode_data(topic, data)

    def check(self, data: Data) -> None:
        """Raises Rejected, whose `field` is the path within the data; nothing of a value is in it."""
        try:
            self._validate(data if isinstance(data, dict) else dict(data))
        except JsonSchemaValueException as error:
            raise _refuse(error) from None
        except RecursionError:
            raise Rejected("is nested too deeply", reason="schema-mismatch") from None
        except ArithmeticError:  # a number beyond what can be divided: multipleOf cannot hold
            raise Rejected("has a number that is too large to be checked", reason="schema-mismatch") from None


def _refuse(error: JsonSchemaValueException) -> Rejected:
    path = (error.name or "data").removeprefix("data").removeprefix(".")
    rule = error.rule or ""
    told = _RULES.get(rule)
    if told is None:
        limit = str(cast("object", error.rule_definition))[:MAX_RULE] if rule in _TELLING else ""
        told = f"breaks {rule or 'the schema'} {limit}".rstrip()
    return Rejected(told, reason="schema-mismatch", field=path[:MAX_PATH] or None)
