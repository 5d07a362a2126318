"""A new product as a change that people review: its descriptor, a first schema, and its resources in the template.

The template is changed as text, in one place, and read again before anything is written: all that was in it must mean
what it meant. Writes files; runs no git.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from localcloud.products.checks import OWNED_KEY, check_stream
from localcloud.products.descriptor import DESCRIPTOR, Product, ProductError, parse_product
from localcloud.products.fragment import ALARM_TOPIC, name_resources, write_fragment
from localcloud.template.errors import TemplateError
from localcloud.template.source import parse_template

__all__ = ["Change", "plan_product", "write_descriptor", "write_schema"]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64}")
_SECTION: Final = re.compile(r"^[A-Za-z]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """What files become, by their path; `added`: the text that is new in the template, `line`: where it begins."""

    files: Mapping[Path, str]
    added: str
    line: int


def plan_product(product: Product, template: Path, *, key: str) -> Change:
    """The change that adds `product` beside `template`. Nothing is written.

    Raises ProductError (it is there already), TemplateError (a template that cannot be added to).
    """
    folder = template.parent / "products" / product.name
    if folder.exists():
        raise ProductError("is there already", where=f"products/{product.name}")
    if product.classification == "restricted" and key == OWNED_KEY:
        raise ProductError(
            f"restricted needs a key of your own, not {OWNED_KEY}", where=f"products/{product.name}: key"
        )
    if key != OWNED_KEY and not KEY_ARN.fullmatch(key):
        raise ProductError(f"must be {OWNED_KEY} or the ARN of a key", where=f"products/{product.name}: key")
    before = _read_text(template)
    old = _parse(before, template)
    taken = set(name_resources(product)) & set(old["Resources"])
    if taken:
        raise ProductError(f"the template has a resource {min(taken)} already", where=f"products/{product.name}")
    declares = ALARM_TOPIC in old.get("Parameters", {}) and "HasAlarmTopic" in old.get("Conditions", {})
    added = write_fragment(product, key=key, has_alarm_topic=declares)
    after, line = _insert(before, added, template)
    _hold(old, _parse(after, template), product, template=template)
    descriptor = write_descriptor(product)
    parse_product(descriptor, name=product.name)
    files = {folder / DESCRIPTOR: descriptor, folder / product.schema: write_schema(product), template: after}
    return Change(files, added, line)


def _insert(text: str, added: str, template: Path) -> tuple[str, int]:
    """Behind the last resource: before the section that follows, or at the end."""
    start = re.search(r"^Resources:[ \t]*(#.*)?$", text, re.MULTILINE)
    if start is None:
        raise TemplateError("needs `Resources:` on a line of its own, its members below it", where=template.name)
    following = _SECTION.search(text, start.end())
    end = following.start() if following else len(text)
    head, tail = text[:end], text[end:]
    head = f"{head.rstrip()}\n\n" if head.rstrip() != text[: start.end()].rstrip() else f"{head.rstrip()}\n"
    return head + added + (f"\n{tail}" if tail else ""), head.count("\n") + 1


def _hold(old: Mapping[str, Any], new: Mapping[str, Any], product: Product, *, template: Path) -> None:
    """Raises TemplateError unless the new template is the old one and the product's resources."""
    resources = dict(new["Resources"])
    for name in name_resources(product):
        resources.pop(name, None)
    others = [{section: value for section, value in each.items() if section != "Resources"} for each in (old, new)]
    if resources != old["Resources"] or others[0] != others[1] or set(check_stream(product, new)):
        raise TemplateError("cannot be added to as text: put the resources in by hand", where=template.name)


def _parse(text: str, template: Path) -> dict[str, Any]:
    body: object = parse_template(text, name=template.name)
    resources = cast("dict[str, Any]", body).get("Resources") if isinstance(body, dict) else None
    if not isinstance(resources, dict):
        raise TemplateError("is no template: a map with a Resources section is needed", where=template.name)
    return cast("dict[str, Any]", body)


def _read_text(template: Path) -> str:
    try:
        return template.read_bytes().decode()  # as it is: line ends are the author's
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError("cannot be read", where=str(template)) from error


def write_descriptor(product: Product) -> str:
    """The descriptor's text."""
    return (
        f"name: {json.dumps(product.name)}\n"
        f"owner: {json.dumps(product.owner)}\n"
        f"description: {json.dumps(product.description)}\n"
        f"domain: {json.dumps(product.domain)}\n"
        f"classification: {product.classification}\n"
        f"topic: {json.dumps(product.topic)}\n"
        f"stream: {json.dumps(product.stream)}\n"
        f"schema: {product.schema}\n"
        f"format: {product.data_format}\n"
        f"compatibility: {product.compatibility}\n"
        f"retention_hours: {product.retention_hours}\n"
        "service_level:\n"
        f"  freshness_s: {product.freshness_s}\n"
        f"  availability_percent: {product.availability_percent:g}\n"
    )


def write_schema(product: Product) -> str:
    """A first schema, closed, so that fields can be added later; its owner puts fields in before it is committed."""
    document: dict[str, object] = (
        {
            "type": "record",
            "name": product.stream.removesuffix("Stream") or "Record",
            "fields": [{"name": "id", "type": "string"}],
        }
        if product.data_format == "AVRO"
        else {
            "$schema": DRAFT,
            "title": product.name,
            "type": "object",
            "additionalProperties": False,
            "required": ["id"],
            "properties": {"id": {"type": "string", "maxLength": 256}},
        }
    )
    return json.dumps(document, indent=2) + "\n"
