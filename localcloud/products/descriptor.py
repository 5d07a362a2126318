"""`products/<name>/product.yaml`: what a stream is to its readers: whose, of which schema, how fresh, how secret.

Owns the fields and their limits; an error names file, field and limit. Knows nothing of templates or git.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from localcloud.template.source import parse_template
from sluiceway.errors import Misconfigured
from sluiceway.rules.schemas.modes import FORMATS, MODES, DataFormat, Mode

__all__ = ["CLASSIFICATIONS", "DESCRIPTOR", "Product", "ProductError", "parse_product", "read_products"]

DESCRIPTOR: Final = "product.yaml"
CLASSIFICATIONS: Final = (
    "public",
    "internal",
    "confidential",
    "restricted",
)  # each may be read by whoever may the next
MAX_BYTES: Final = 16 * 1024
MAX_TEXT: Final = 1_000
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
TOPIC: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
LOGICAL_ID: Final = re.compile(r"[A-Za-z0-9]{1,255}")
MIN_RETENTION_H: Final = (
    24  # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html
)
MAX_RETENTION_H: Final = 8_760
MAX_FRESHNESS_S: Final = 86_400


class ProductError(Misconfigured):
    """A descriptor that makes no sense: `where` is the file, with the field where it is one's."""

    def __init__(self, detail: str, *, where: str) -> None:
        super().__init__(f"{where}: {detail}", what=where)


@dataclass(frozen=True, slots=True)
class Product:
    """One data product. `stream` is the template's logical id; `freshness_s`: how old a record is when it can be read.

    `schema`: the file's name beside the descriptor.
    """

    name: str
    owner: str
    description: str
    domain: str
    classification: str
    topic: str
    stream: str
    schema: str
    data_format: DataFormat
    compatibility: Mode
    retention_hours: int
    freshness_s: int
    availability_percent: float


def read_products(folder: Path) -> list[Product | ProductError]:
    """Every product of `folder`, by name, each with what is wrong where it is none; no folder, no products."""
    found: list[Product | ProductError] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir():
            try:
                found.append(_read_product(path / DESCRIPTOR))
            except ProductError as error:
                found.append(error)
    return found


def _read_product(path: Path) -> Product:
    where = f"products/{path.parent.name}/{DESCRIPTOR}"
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as error:
        raise ProductError(f"cannot be read: {error.strerror or error}", where=where) from error
    except UnicodeDecodeError as error:
        raise ProductError("is not UTF-8", where=where) from error
    if len(raw) > MAX_BYTES:
        raise ProductError(f"has {len(raw)} bytes, {MAX_BYTES} are allowed", where=where)
    return parse_product(text, name=path.parent.name)


def parse_product(text: str, *, name: str) -> Product:
    """The product that the descriptor of folder `name` describes. Raises ProductError."""
    where = f"products/{name}/{DESCRIPTOR}"
    try:
        body: object = parse_template(text, name=where)
    except Misconfigured as error:
        raise ProductError(str(error).removeprefix(f"{where}: "), where=where) from error
    if not isinstance(body, dict):
        raise ProductError("must be a map", where=where)
    fields = _Fields(cast("dict[str, Any]", body), where)
    level = fields.section("service_level")
    product = Product(
        name=fields.match("name", NAME, "1 to 63 of a-z, 0-9 and -, a letter first"),
        owner=fields.text("owner"),
        description=fields.text("description"),
        domain=fields.match("domain", NAME, "1 to 63 of a-z, 0-9 and -, a letter first"),
        classification=fields.choice("classification", CLASSIFICATIONS),
        topic=fields.match("topic", TOPIC, "1 to 64 of a-z, A-Z, 0-9, _ . and -"),
        stream=fields.match("stream", LOGICAL_ID, "a logical id: letters and digits"),
        schema=fields.match(
            "schema", re.compile(r"[A-Za-z0-9_-]+\.(json|avsc)"), "a .json or .avsc file beside this one"
        ),
        data_format=cast("DataFormat", fields.choice("format", FORMATS)),
        compatibility=cast("Mode", fields.choice("compatibility", MODES)),
        retention_hours=int(fields.number("retention_hours", MIN_RETENTION_H, MAX_RETENTION_H, whole=True)),
        freshness_s=int(level.number("freshness_s", 1, MAX_FRESHNESS_S, whole=True)),
        availability_percent=level.number("availability_percent", 1, 100, whole=False),
    )
    level.finish()
    fields.finish()
    if product.name != name:
        raise ProductError(f"must be {name!r}, as its folder is", where=f"{where}: name")
    if (product.data_format == "AVRO") is not product.schema.endswith(".avsc"):
        raise ProductError("a schema of format JSON is a .json file, one of AVRO an .avsc", where=f"{where}: schema")
    return product


class _Fields:
    """The members of a map, each taken once; `finish` refuses what is left."""

    def __init__(self, members: Mapping[str, Any], where: str) -> None:
        self._left = dict(members)
        self._where = where

    def section(self, name: str) -> _Fields:
        value = self._take(name)
        if not isinstance(value, dict):
            raise self._refuse(name, "must be a map")
        return _Fields(cast("dict[str, Any]", value), f"{self._where}: {name}")

    def text(self, name: str) -> str:
        return self._check(name, lambda text: len(text) <= MAX_TEXT, f"text of 1 to {MAX_TEXT} characters")

    def match(self, name: str, pattern: re.Pattern[str], rule: str) -> str:
        return self._check(name, lambda text: pattern.fullmatch(text) is not None, rule)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        return self._check(name, lambda text: text in allowed, f"one of {', '.join(allowed)}")

    def number(self, name: str, low: int, high: int, *, whole: bool) -> float:
        value = self._take(name)
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not is_number or not low <= cast("float", value) <= high:
            kind = "a whole number" if whole else "a number"
            raise self._refuse(name, f"must be {kind} from {low} to {high:,}")
        return cast("float", value)

    def finish(self) -> None:
        for name in self._left:
            raise self._refuse(str(name)[:64], "there is no such field")

    def _check(self, name: str, is_good: Callable[[str], bool], rule: str) -> str:
        value = self._take(name)
        if not isinstance(value, str) or not value.strip() or not is_good(value):
            raise self._refuse(name, f"must be {rule}")
        return value.strip()

    def _take(self, name: str) -> object:
        if name not in self._left:
            raise self._refuse(name, "is missing")
        return self._left.pop(name)

    def _refuse(self, name: str, rule: str) -> ProductError:
        return ProductError(rule, where=f"{self._where}: {name}")
