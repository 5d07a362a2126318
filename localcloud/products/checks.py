"""What must be true of a product beside its descriptor: the template has its stream, and its schema may follow.

Each problem is one line that names the file, the field and what is wanted. Reads files and git; changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from localcloud.products.descriptor import DESCRIPTOR, Product, ProductError, read_products
from localcloud.products.history import Earlier, find_earlier
from sluiceway.errors import Misconfigured
from sluiceway.rules.schemas.avro_schemas import read_avro_document
from sluiceway.rules.schemas.json_keywords import read_document
from sluiceway.rules.schemas.json_schemas import compile_validator
from sluiceway.rules.schemas.modes import compatible

__all__ = ["OWNED_KEY", "check_products", "check_schema", "check_stream"]

STREAM: Final = "AWS::Kinesis::Stream"
DEFAULT_RETENTION_H: Final = 24
OWNED_KEY: Final = "alias/aws/kinesis"  # of AWS: it encrypts, and cannot be withheld from anybody of the account
ENCRYPTED: Final = ("confidential", "restricted")


def check_products(folder: Path, template: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The problems of every product in `folder` (`products/`), and notes on what could not be looked at."""
    problems: list[str] = []
    notes: list[str] = []
    good = [each for each in read_products(folder) if not _is_error(each, problems)]
    products = cast("list[Product]", good)
    for field in ("topic", "stream"):
        counts = Counter(str(getattr(product, field)) for product in products)
        problems += [
            f"{_place(p)}: {field}: is another product's as well" for p in products if counts[getattr(p, field)] > 1
        ]
    for product in products:
        problems += [f"{_place(product)}: {each}" for each in check_stream(product, template)]
        earlier = find_earlier(folder.parent, product.name)
        problems += check_schema(product, folder / product.name / product.schema, earlier)
        if earlier.note:
            notes.append(f"{_place(product)}: {earlier.note}")
    return problems, notes


def _is_error(found: Product | ProductError, problems: list[str]) -> bool:
    if isinstance(found, ProductError):
        problems.append(str(found))
        return True
    return False


def check_stream(product: Product, template: Mapping[str, Any]) -> Iterator[str]:
    """What the template lacks of the product's stream."""
    found: object = template.get("Resources", {}).get(product.stream)
    resource: Mapping[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if resource.get("Type") != STREAM:
        yield f"stream: the template has no {STREAM} {product.stream}"
        return
    properties = cast("Mapping[str, Any]", resource.get("Properties") or {})
    retention = _resolve(properties.get("RetentionPeriodHours", DEFAULT_RETENTION_H), template)
    if retention != product.retention_hours:
        yield f"retention_hours: is {product.retention_hours}, {product.stream} of the template has {retention}"
    tags = _tags(properties, template)
    for field in ("domain", "classification"):
        wanted = str(getattr(product, field))
        if tags.get(field) != wanted:
            yield f"{field}: is {wanted}, {product.stream} of the template has the tag {tags.get(field, '(none)')}"
    yield from _check_encryption(product, properties, template)


def _check_encryption(product: Product, properties: Mapping[str, Any], template: Mapping[str, Any]) -> Iterator[str]:
    if product.classification not in ENCRYPTED:
        return
    key = _resolve(cast("Mapping[str, Any]", properties.get("StreamEncryption") or {}).get("KeyId"), template)
    if not key:
        yield f"classification: {product.classification} needs StreamEncryption on {product.stream}"
    elif product.classification == "restricted" and key == OWNED_KEY:
        yield f"classification: restricted needs a key of your own on {product.stream}, not {OWNED_KEY}"


def _tags(properties: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, object]:
    listed: object = properties.get("Tags")
    entries = cast("list[Mapping[str, Any]]", listed) if isinstance(listed, list) else []
    return {str(each.get("Key")): _resolve(each.get("Value"), template) for each in entries}


def _resolve(value: object, template: Mapping[str, Any]) -> object:
    """A literal, or the default of the parameter that it refers to; text for what a deployment alone knows."""
    if not isinstance(value, dict):
        return value
    reference: object = cast("dict[str, Any]", value).get("Ref")
    parameters = cast("Mapping[str, Mapping[str, Any]]", template.get("Parameters", {}))
    if isinstance(reference, str) and "Default" in parameters.get(reference, {}):
        return parameters[reference]["Default"]
    return "(known when it is deployed)"


def check_schema(product: Product, path: Path, earlier: Earlier) -> list[str]:
    """What is wrong with the schema, or with its following the earlier versions."""
    where = f"products/{product.name}/{product.schema}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return [f"{where}: cannot be read"]
    try:
        _parse(product, text, where)
        return [f"{where}: {reason}" for reason in _follow(product, text, earlier.versions)]
    except Misconfigured as error:
        return [str(error) if str(error).startswith(where) else f"{where}: {error}"]


def _parse(product: Product, text: str, where: str) -> None:
    """Raises Misconfigured for what the topic's check would not take."""
    if product.data_format == "JSON":
        compile_validator(read_document(text, where), where)
    elif read_avro_document(text, where).kind != "record":
        raise Misconfigured(f"{where}: a topic's schema is a record", what=where)


def _follow(product: Product, text: str, versions: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    before = list(versions)
    if before and before[-1] == (product.data_format, text):
        before.pop()
    if any(data_format != product.data_format for data_format, _ in before) and product.compatibility != "NONE":
        return ("has another format than a version before it, which needs compatibility NONE or a new product",)
    if product.compatibility == "NONE":
        return ()
    texts = [schema for _, schema in before]
    return compatible(text, texts, product.compatibility, data_format=product.data_format).reasons


def _place(product: Product) -> str:
    return f"products/{product.name}/{DESCRIPTOR}"
