"""Arguments of `sluiceway product`. Apart from what runs it, since every other command reads them too."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["add_product"]

_MODES: Final = "NONE DISABLED BACKWARD BACKWARD_ALL FORWARD FORWARD_ALL FULL FULL_ALL"
_CLASSIFICATIONS: Final = "public internal confidential restricted"


def add_product(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Declare the subcommand's arguments."""
    product = add("product", help="data products of the mesh: list, show, check and add them")
    product.set_defaults(module="products")
    actions = product.add_subparsers(dest="action", required=True, metavar="action")
    for name, said in (
        ("list", "every product: name, topic, classification, owner"),
        ("show", "one product, with who may read it and how fresh it is"),
        ("check", "hold descriptors against the template, and schemas against their earlier versions in git"),
        ("add", "a new product: descriptor, first schema, resources in the template"),
    ):
        action = actions.add_parser(name, help=said, allow_abbrev=False)
        action.add_argument("--state", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        action.add_argument(
            "--template", "-t", type=Path, default=Path("template.yaml"), metavar="FILE",
            help="products are in the folder products/ beside it; default: template.yaml",
        )  # fmt: skip
        if name in {"show", "add"}:
            action.add_argument("name", metavar="NAME")
        if name in {"list", "show", "check"}:
            action.add_argument("--json", action="store_true", dest="as_json", help="for scripts")
        if name == "add":
            _add_fields(action)


def _add_fields(action: argparse.ArgumentParser) -> None:
    for flag, said in (("--owner", "who answers for it"), ("--domain", "the domain whose it is")):
        action.add_argument(flag, required=True, metavar="NAME", help=said)
    action.add_argument("--description", required=True, metavar="TEXT", help="what its records are")
    action.add_argument(
        "--classification", choices=_CLASSIFICATIONS.split(), default="internal", help="default: internal"
    )
    action.add_argument("--topic", metavar="NAME", help="default: the product's name")
    action.add_argument("--format", choices=["JSON", "AVRO"], default="JSON", dest="data_format", help="default: JSON")
    action.add_argument(
        "--compatibility",
        choices=_MODES.split(),
        default="BACKWARD",
        metavar="MODE",
        help=f"{_MODES}; default: BACKWARD",
    )
    action.add_argument("--retention-hours", type=int, default=24, metavar="N", help="24 to 8760; default: 24")
    action.add_argument(
        "--freshness-s", type=int, default=60, metavar="N", help="records are read so soon; default: 60"
    )
    action.add_argument("--availability-percent", type=float, default=99.9, metavar="N", help="default: 99.9")
    action.add_argument(
        "--key", default="alias/aws/kinesis", metavar="KEY", help="a KMS key's ARN; default: alias/aws/kinesis"
    )
    action.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
