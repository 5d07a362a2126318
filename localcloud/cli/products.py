"""`sluiceway product`: list, show, check and add data products. Owns words and lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from localcloud.products.adding import Change, plan_product, write_descriptor
from localcloud.products.checks import check_products
from localcloud.products.descriptor import Product, ProductError, parse_product, read_products
from localcloud.template.source import read_template
from sluiceway.errors import Misconfigured
from sluiceway.rules.schemas.modes import Mode

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """0 done; 1 a problem was found; 2 called wrongly, or a template that cannot be read."""
    folder = options.template.parent / "products"
    try:
        if options.action == "check":
            return _check(options, folder)
        if options.action == "add":
            return _add(options)
        return _tell(options, folder)
    except Misconfigured as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        return 2


def _tell(options: argparse.Namespace, folder: Path) -> int:
    found = read_products(folder)
    products = [each for each in found if isinstance(each, Product)]
    for error in found:
        if isinstance(error, ProductError):
            sys.stderr.write(f"sluiceway: {error}\n")
    if options.action == "show":
        products = [product for product in products if product.name == options.name]
        if not products:
            raise ProductError("there is no such product", where=f"products/{options.name}")
    if options.as_json:
        told = [asdict(product) for product in products]
        sys.stdout.write(json.dumps(told[0] if options.action == "show" else told) + "\n")
    else:
        sys.stdout.writelines(_describe(products[0]) if options.action == "show" else _table(products))
    return 1 if len(products) < len(found) and options.action == "list" else 0


def _table(products: Sequence[Product]) -> Iterator[str]:
    for product in products:
        yield f"{product.name:<24} {product.topic:<20} {product.classification:<13} {product.owner}\n"


def _describe(product: Product) -> Iterator[str]:
    yield write_descriptor(product)


def _check(options: argparse.Namespace, folder: Path) -> int:
    problems, notes = check_products(folder, read_template(options.template).body)
    for note in notes:
        sys.stderr.write(f"sluiceway: {note}\n")
    if options.as_json:
        sys.stdout.write(json.dumps({"problems": problems, "notes": notes}) + "\n")
    else:
        sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def _add(options: argparse.Namespace) -> int:
    product = _product_of(options)
    change = plan_product(product, options.template, key=options.key)
    sys.stdout.writelines(_summarise(change, options))
    if not options.dry_run:
        _write(change)
    return 0


def _product_of(options: argparse.Namespace) -> Product:
    """The product that the words describe, held to the descriptor's own limits. Raises ProductError."""
    mode: Mode = options.compatibility
    prefix = "".join(part.capitalize() for part in options.name.split("-"))
    product = Product(
        name=options.name,
        owner=options.owner,
        description=options.description,
        domain=options.domain,
        classification=options.classification,
        topic=options.topic or options.name,
        stream=f"{prefix}Stream",
        schema="schema.avsc" if options.data_format == "AVRO" else "schema.json",
        data_format=options.data_format,
        compatibility=mode,
        retention_hours=options.retention_hours,
        freshness_s=options.freshness_s,
        availability_percent=options.availability_percent,
    )
    return parse_product(write_descriptor(product), name=options.name)


def _summarise(change: Change, options: argparse.Namespace) -> Iterator[str]:
    verb = "would add" if options.dry_run else "adds"
    for path, text in change.files.items():
        if path == options.template:
            count = change.added.count("\n")
            yield f"{verb} {count} lines to {path}, at line {change.line}:\n"
            yield from (f"+{line}\n" for line in change.added.splitlines())
        else:
            yield f"{verb} {path}:\n"
            yield from (f"+{line}\n" for line in text.splitlines())
    yield "put the schema's fields in before it is committed: later versions must follow the first\n"
    yield "no function serves the topic yet: settings name it, roles and mappings its stream (docs/products.md)\n"


def _write(change: Change) -> None:
    for path, text in change.files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
