"""The orders of the mesh's story, and what each of its readers may know of one. All from one seed."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

CUSTOMERS = 200
OVER_HTTP = 180  # customers from this number on put their orders over HTTP
REGIONS = ("north", "south", "east", "west")
WATCHED = ("north", "east")
LIMIT = 900
ENOUGH = 500
SECRET = "SECRET"  # in whatever nobody but the source may have
TOO_LARGE = 140_000  # characters: more than a message over the socket holds

FRAUD = {"total": [{"numeric": [">", LIMIT]}], "region": list(WATCHED)}
LARGE = {"total": [{"numeric": [">=", ENOUGH]}]}
ANALYTICS = ("order", "turn", "region", "total", "lines.sku", "customer.id")
SHOWN = ("order", "turn", "region", "total", "customer", "note")
ACCESS = [
    {"allow": "*", "columns": list(SHOWN), "masks": {"customer.id": "tokenise", "customer.email": "hash"}},
    {"deny": "*", "columns": ["customer.name"]},
]


class Stored(NamedTuple):
    """A record as it stands in the source stream."""

    shard: str
    number: str
    key: str
    order: dict[str, Any]

    @property
    def place(self) -> tuple[str, int]:
        return self.shard, int(self.number)

    def id_for(self, rule: str) -> str:
        """As docs/filtering.md says of a record that is in no aggregate."""
        return f"{self.shard}:{self.number}::{rule}"


def write_order(number: int, customer: int, turn: int, *, region: str, total: int) -> dict[str, Any]:
    """One order; `turn` is its place among those of its customer."""
    return {
        "order": number,
        "turn": turn,
        "region": region,
        "total": total,
        "customer": {
            "id": f"customer-{customer}",
            "name": f"{SECRET}-name-{customer}",
            "email": f"{SECRET}-{customer}@example.org",
        },
        "card": f"{SECRET}-card-{customer}",
        "lines": [{"sku": f"sku-{number % 9}", "price": f"{SECRET}-price"}],
    }


def make_orders(count: int, seed: int) -> list[dict[str, Any]]:
    """So many orders; one in the middle, not over HTTP, has a note that no message over the socket holds."""
    draw = random.Random(seed)
    turns: Counter[int] = Counter()
    orders: list[dict[str, Any]] = []
    for number in range(count):
        customer = draw.randrange(CUSTOMERS)
        turns[customer] += 1
        orders.append(
            write_order(number, customer, turns[customer], region=draw.choice(REGIONS), total=draw.randrange(0, 1000))
        )
    large = next(order for order in orders[count // 2 :] if not is_over_http(order))
    large["note"] = "n" * TOO_LARGE
    return orders


def key_of(order: dict[str, Any]) -> str:
    return order["customer"]["id"]


def is_over_http(order: dict[str, Any]) -> bool:
    return int(key_of(order).rpartition("-")[2]) >= OVER_HTTP


def is_suspect(order: dict[str, Any]) -> bool:
    return order["total"] > LIMIT and order["region"] in WATCHED


def for_fraud(order: dict[str, Any]) -> dict[str, Any]:
    """What the rule `fraud` leaves of an order, its hash aside."""
    customer = {"id": key_of(order), "name": "***"}
    return {**{name: order[name] for name in ("order", "region", "total")}, "customer": customer, "card": "hash"}


def for_analytics(order: dict[str, Any], token: str) -> dict[str, Any]:
    """What the rule `analytics` leaves of an order, with its customer's token."""
    shown = {name: order[name] for name in ("order", "turn", "region", "total")}
    return {**shown, "lines": [{"sku": order["lines"][0]["sku"]}], "customer": {"id": token}}


def for_ticker(order: dict[str, Any], token: str, email: str) -> dict[str, Any]:
    """What statements show of an order to everyone, with its customer's token and hash; the note aside."""
    shown = {name: order[name] for name in ("order", "turn", "region", "total")}
    return {**shown, "customer": {"id": token, "email": email}}


def order_by_key(records: Iterable[Stored]) -> dict[str, list[Stored]]:
    """Each key's records in the order of the stream: parents before children, as sequence numbers go."""
    found: dict[str, list[Stored]] = {}
    for record in sorted(records, key=lambda record: int(record.number)):
        found.setdefault(record.key, []).append(record)
    return found


def read_order(data: bytes) -> dict[str, Any]:
    return json.loads(data)
