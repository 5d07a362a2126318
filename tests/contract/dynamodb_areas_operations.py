"""Generated DynamoDB requests beside single items: indexes of every projection, pages, segments, batches, transactions.

Seeded, over twelve keys so that they meet; a request may go on where the last page of the same one ended, which each
implementation says for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

TABLE = "areas"
HASHES, RANGES, TEXTS = "ab", tuple(range(6)), ("x", "xy", "y", "z")
CREATE: dict[str, Any] = {
    "TableName": TABLE,
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "text", "AttributeType": "S"},
        {"AttributeName": "size", "AttributeType": "N"},
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by_text",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "text", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["more"]},
        }
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_size",
            "KeySchema": [{"AttributeName": "text", "KeyType": "HASH"}, {"AttributeName": "size", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


@dataclass(frozen=True)
class Paged:
    """A request that is asked again and again, from each page's end on; what all pages hold is compared."""

    operation: str
    request: dict[str, Any]


Asked = tuple[str, dict[str, Any]] | Paged


class Generator:
    """Makes requests; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.tokens = 0

    def ask(self) -> Asked:
        """One request."""
        makers = (
            (self.batch_write, 16), (self.batch_get, 6), (self.transact_write, 12), (self.transact_get, 8),
            (self.query, 22), (self.query_index, 20), (self.scan, 12), (self.put, 10), (self.time_to_live, 3),
            (self.statement, 1),
        )  # fmt: skip
        return self.rng.choices([maker for maker, _ in makers], [weight for _, weight in makers])[0]()

    def key(self) -> dict[str, Any]:
        """One of twelve."""
        return {"pk": {"S": self.rng.choice(HASHES)}, "sk": {"N": str(self.rng.choice(RANGES))}}

    def item(self) -> dict[str, Any]:
        """Mostly in both indexes; of another type in neither, and refused."""
        made = self.key()
        if self.rng.random() < 0.8:
            made["text"] = {"S": self.rng.choice(TEXTS)} if self.rng.random() < 0.97 else {"N": "1"}
        if self.rng.random() < 0.8:
            made["size"] = {"N": self.rng.choice(("0", "1", "-2", "10", "1.5"))}
        for name in ("more", "rest"):
            if self.rng.random() < 0.5:
                made[name] = self.rng.choice(({"S": "m"}, {"L": [{"N": "1"}]}, {"M": {"a": {"BOOL": True}}}))
        return made

    def put(self) -> Asked:
        """An item."""
        return "PutItem", {"TableName": TABLE, "Item": self.item()}

    def batch_write(self) -> Asked:
        """Puts and deletes; a key twice, or 26 puts, at times."""
        if self.rng.random() < 0.02:
            many = [{"PutRequest": {"Item": {"pk": {"S": "a"}, "sk": {"N": str(number)}}}} for number in range(26)]
            return "BatchWriteItem", {"RequestItems": {TABLE: many}}
        entries: dict[str, dict[str, Any]] = {}
        for number in range(self.rng.randint(1, 4)):
            put = self.rng.random() < 0.7
            made = {"PutRequest": {"Item": self.item()}} if put else {"DeleteRequest": {"Key": self.key()}}
            inner = made["PutRequest"]["Item"] if put else made["DeleteRequest"]["Key"]
            twice = self.rng.random() < 0.05
            entries[str(number) if twice else f"{inner['pk']}{inner['sk']}"] = made
        return "BatchWriteItem", {"RequestItems": {TABLE: list(entries.values())}}

    def batch_get(self) -> Asked:
        """Items by key, with a projection at times; one twice at times."""
        keys = {str(key): key for key in (self.key() for _ in range(self.rng.randint(1, 6)))}
        asked: dict[str, Any] = {"Keys": list(keys.values())}
        if self.rng.random() < 0.1:
            asked["Keys"].append(asked["Keys"][0])
        if self.rng.random() < 0.4:
            asked |= {"ProjectionExpression": "pk, sk, #t.a", "ExpressionAttributeNames": {"#t": "more"}}
        return "BatchGetItem", {"RequestItems": {TABLE: asked}}

    def _write(self, key: dict[str, Any]) -> dict[str, Any]:
        named: dict[str, Any] = {"TableName": TABLE}
        kind = self.rng.choice(("Put", "Put", "Update", "Delete", "ConditionCheck"))
        if kind == "Put":
            named["Item"] = {**self.item(), **key}
        else:
            named["Key"] = key
        if kind == "Update":
            named |= {
                "UpdateExpression": "SET #s = :s",
                "ExpressionAttributeNames": {"#s": "size"},
                "ExpressionAttributeValues": {":s": {"N": "3"}},
            }
        if kind == "ConditionCheck" or self.rng.random() < 0.2:
            named["ConditionExpression"] = self.rng.choice(("attribute_exists(pk)", "attribute_not_exists(rest)"))
        return {kind: named}

    def transact_write(self) -> Asked:
        """Up to four writes, all or none; one key twice at times; with a token at times, an old one among them."""
        keys = {str(key): key for key in (self.key() for _ in range(self.rng.randint(1, 4)))}
        entries = [self._write(key) for key in keys.values()]
        if self.rng.random() < 0.05:
            entries.append(self._write(next(iter(keys.values()))))
        asked: dict[str, Any] = {"TransactItems": entries}
        if self.rng.random() < 0.3:
            self.tokens += self.rng.random() < 0.8
            asked["ClientRequestToken"] = f"token-{self.tokens}"
        return "TransactWriteItems", asked

    def transact_get(self) -> Asked:
        """Up to four items, in their order."""
        keys = {str(key): key for key in (self.key() for _ in range(self.rng.randint(1, 4)))}
        entries: list[dict[str, Any]] = [{"Get": {"TableName": TABLE, "Key": key}} for key in keys.values()]
        if self.rng.random() < 0.3:
            entries[0]["Get"]["ProjectionExpression"] = "sk, rest[0]"
        return "TransactGetItems", {"TransactItems": entries}

    def _limited(self, asked: dict[str, Any]) -> dict[str, Any]:
        limit, forward = self.rng.choice((None, 1, 2, 3)), self.rng.choice((None, True, False))
        if limit is not None:
            asked["Limit"] = limit
        if forward is not None:
            asked["ScanIndexForward"] = forward
        return asked

    def query(self) -> Asked:
        """The table, page by page."""
        asked: dict[str, Any] = {
            "TableName": TABLE,
            "KeyConditionExpression": "pk = :h",
            "ExpressionAttributeValues": {":h": {"S": self.rng.choice(HASHES)}},
        }
        if self.rng.random() < 0.4:
            asked["KeyConditionExpression"] += self.rng.choice((" AND sk >= :l", " AND sk < :l", " AND sk = :l"))
            asked["ExpressionAttributeValues"][":l"] = {"N": str(self.rng.choice(RANGES))}
        if self.rng.random() < 0.3:
            asked["FilterExpression"] = "attribute_exists(more)"
        if self.rng.random() < 0.2:
            asked["Select"] = self.rng.choice(("COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"))
        return Paged("Query", self._limited(asked))

    def query_index(self) -> Asked:
        """An index of either kind, page by page; asked for what it does not hold at times."""
        asked: dict[str, Any] = {"TableName": TABLE}
        if self.rng.random() < 0.5:
            asked |= {
                "IndexName": "by_text",
                "KeyConditionExpression": self.rng.choice(("pk = :h", "pk = :h AND begins_with(#t, :t)")),
                "ExpressionAttributeValues": {":h": {"S": self.rng.choice(HASHES)}},
            }
            if "#t" in asked["KeyConditionExpression"]:
                asked["ExpressionAttributeNames"] = {"#t": "text"}
                asked["ExpressionAttributeValues"][":t"] = {"S": self.rng.choice(("x", "y"))}
        else:
            asked |= {
                "IndexName": "by_size",
                "KeyConditionExpression": self.rng.choice(("#t = :h", "#t = :h AND #s BETWEEN :l AND :u")),
                "ExpressionAttributeNames": {"#t": "text"},
                "ExpressionAttributeValues": {":h": {"S": self.rng.choice(TEXTS)}},
            }
            if "#s" in asked["KeyConditionExpression"]:
                asked["ExpressionAttributeNames"]["#s"] = "size"
                asked["ExpressionAttributeValues"] |= {":l": {"N": "0"}, ":u": {"N": "5"}}
        if self.rng.random() < 0.25:
            asked["Select"] = self.rng.choice(("COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"))
        elif self.rng.random() < 0.2:
            asked["ProjectionExpression"] = "sk, more"
        if self.rng.random() < 0.1:
            asked["ConsistentRead"] = True
        return Paged("Query", self._limited(asked))

    def scan(self) -> Asked:
        """Page by page, a segment at times, an index at times."""
        asked: dict[str, Any] = {"TableName": TABLE}
        if self.rng.random() < 0.3:
            asked["IndexName"] = self.rng.choice(("by_text", "by_size"))
        if self.rng.random() < 0.3:
            asked["Limit"] = self.rng.choice((1, 2, 5))
        if self.rng.random() < 0.2:
            asked |= self.rng.choice(
                ({"TotalSegments": 1, "Segment": 0}, {"TotalSegments": 2, "Segment": 2}, {"Segment": 0})
            )
        if self.rng.random() < 0.3:
            asked |= {"FilterExpression": "#s > :z", "ExpressionAttributeNames": {"#s": "size"}}
            asked["ExpressionAttributeValues"] = {":z": {"N": "0"}}
        return Paged("Scan", asked)

    def time_to_live(self) -> Asked:
        """What the time to live is, and to set it as it is."""
        if self.rng.random() < 0.7:
            return "DescribeTimeToLive", {"TableName": TABLE}
        setting = {"Enabled": False, "AttributeName": "expires"}
        return "UpdateTimeToLive", {"TableName": TABLE, "TimeToLiveSpecification": setting}

    def statement(self) -> Asked:
        """PartiQL."""
        return "ExecuteStatement", {"Statement": f'SELECT * FROM "{TABLE}"'}
