"""Generated DynamoDB requests for the differential test: seeded, mostly valid, over few keys so that they meet."""

from __future__ import annotations

from random import Random
from typing import Any

TABLE = "things"
ATTRIBUTES = ("alpha", "beta", "gamma", "delta")
TYPES = ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M")

CREATE: dict[str, Any] = {
    "TableName": TABLE,
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "gk", "AttributeType": "S"},
    ],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_gk",
            "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


class Generator:
    """Makes (operation, request) pairs; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.values: dict[str, Any] = {}
        self.names: dict[str, str] = {}

    def operation(self) -> tuple[str, dict[str, Any]]:
        """One request."""
        self.values, self.names = {}, {}
        kind = self.rng.choices(
            ("PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Scan", "BatchGetItem", "TransactWriteItems"),
            (25, 35, 8, 8, 14, 5, 3, 4),
        )[0]
        request = getattr(self, f"_make_{kind.lower()}")()
        request = {name: value for name, value in request.items() if value is not None}
        if self.values and kind not in {"BatchGetItem", "TransactWriteItems"}:
            request["ExpressionAttributeValues"] = self.values
        if self.names and kind not in {"BatchGetItem", "TransactWriteItems"}:
            request["ExpressionAttributeNames"] = self.names
        return kind, request

    def key(self) -> dict[str, Any]:
        """One of twenty keys."""
        return {"pk": {"S": self.rng.choice("abcd")}, "sk": {"N": str(self.rng.randrange(5))}}

    def value(self, kind: str | None = None, depth: int = 0) -> dict[str, Any]:
        """A value of `kind`, or of any type."""
        rng = self.rng
        kind = kind or rng.choice(TYPES if depth < 2 else TYPES[:8])
        made: Any = {
            "S": lambda: rng.choice(("", "a", "ab", "abc", "b", "é", "\U0001f600x")),
            "N": lambda: rng.choice(("0", "1", "2", "-3", "10", "0.5", "1.25", "12345678901234567890")),
            "B": lambda: rng.choice(("", "YQ==", "YWI=", "/w==")),
            "BOOL": lambda: rng.random() < 0.5,
            "NULL": lambda: True,
            "SS": lambda: rng.sample(["a", "b", "c", "ab"], rng.randint(1, 3)),
            "NS": lambda: rng.sample(["1", "2", "3", "0.5"], rng.randint(1, 3)),
            "BS": lambda: rng.sample(["YQ==", "YWI=", "/w=="], rng.randint(1, 2)),
            "L": lambda: [self.value(None, depth + 1) for _ in range(rng.randrange(4))],
            "M": lambda: {name: self.value(None, depth + 1) for name in rng.sample(ATTRIBUTES, rng.randrange(3))},
        }[kind]()
        return {kind: made}

    def placeholder(self, kind: str | None = None) -> str:
        """A new `:v` with a value."""
        name = f":v{len(self.values)}"
        self.values[name] = self.value(kind)
        return name

    def attribute(self) -> str:
        """An attribute, bare or behind a `#n`."""
        name = self.rng.choice(ATTRIBUTES)
        if self.rng.random() < 0.7:
            return name
        alias = f"#n{len(self.names)}"
        self.names[alias] = name
        return alias

    def path(self) -> str:
        """A path, mostly of one element."""
        text = self.attribute()
        while self.rng.random() < 0.25:
            text += f"[{self.rng.randrange(3)}]" if self.rng.random() < 0.5 else f".{self.attribute()}"
        return text

    def condition(self, depth: int = 0) -> str:
        """A condition of at most three levels."""
        rng = self.rng
        roll = rng.random()
        if depth < 2 and roll < 0.25:
            word = rng.choice(("AND", "OR"))
            return f"({self.condition(depth + 1)}) {word} {self.condition(depth + 1)}"
        if depth < 2 and roll < 0.32:
            return f"NOT {self.condition(depth + 1)}"
        form = rng.randrange(8)
        if form == 0:
            return f"attribute_exists({self.path()})"
        if form == 1:
            return f"attribute_not_exists({self.path()})"
        if form == 2:
            name = f":v{len(self.values)}"
            self.values[name] = {"S": rng.choice(TYPES)}
            return f"attribute_type({self.path()}, {name})"
        if form == 3:
            return f"begins_with({self.path()}, {self.placeholder(rng.choice('SB'))})"
        if form == 4:
            return f"contains({self.path()}, {self.placeholder(rng.choice('SNB'))})"
        if form == 5:
            low, high = sorted((rng.randrange(12), rng.randrange(12)))
            names = f":v{len(self.values)}", f":v{len(self.values) + 1}"
            self.values |= {names[0]: {"N": str(low)}, names[1]: {"N": str(high)}}
            operand = f"size({self.attribute()})" if rng.random() < 0.3 else self.path()
            return f"{operand} BETWEEN {names[0]} AND {names[1]}"
        if form == 6:
            return f"{self.path()} IN ({self.placeholder()}, {self.placeholder()})"
        comparator = rng.choice(("=", "<>", "<", "<=", ">", ">="))
        kind = None if comparator in {"=", "<>"} else rng.choice("SNB")
        return f"{self.path()} {comparator} {self.placeholder(kind)}"

    def update(self) -> str:
        """An update of up to three clauses, each on an attribute of its own."""
        rng = self.rng
        sections: dict[str, list[str]] = {}
        for name in rng.sample(ATTRIBUTES, rng.randint(1, 3)):
            place = name
            while rng.random() < 0.2:
                place += f"[{rng.randrange(3)}]" if rng.random() < 0.5 else f".{rng.choice(ATTRIBUTES)}"
            section = rng.choices(("SET", "REMOVE", "ADD", "DELETE"), (6, 2, 2, 1))[0]
            clause = {
                "SET": lambda place=place: f"{place} = {self.source()}",
                "REMOVE": lambda place=place: place,
                "ADD": lambda place=place: f"{place} {self.placeholder(rng.choice(('N', 'NS', 'SS', 'BS')))}",
                "DELETE": lambda place=place: f"{place} {self.placeholder(rng.choice(('NS', 'SS', 'BS')))}",
            }[section]()
            sections.setdefault(section, []).append(clause)
        return " ".join(f"{section} {', '.join(clauses)}" for section, clauses in sections.items())

    def source(self) -> str:
        """What a SET takes."""
        form = self.rng.randrange(6)
        if form == 0:
            return f"if_not_exists({self.path()}, {self.placeholder()})"
        if form == 1:
            return f"list_append({self.attribute()}, {self.placeholder('L')})"
        if form == 2:
            return f"{self.attribute()} {self.rng.choice('+-')} {self.placeholder('N')}"
        if form == 3:
            return self.path()
        return self.placeholder()

    def item(self) -> dict[str, Any]:
        """A whole item, in the index half of the time."""
        item = {**self.key(), **{n: self.value() for n in self.rng.sample(ATTRIBUTES, self.rng.randrange(4))}}
        if self.rng.random() < 0.5:
            item["gk"] = {"S": self.rng.choice("xy")}
        return item

    def _guard(self) -> str | None:
        return self.condition() if self.rng.random() < 0.5 else None

    def _on_failure(self) -> str | None:
        return "ALL_OLD" if self.rng.random() < 0.2 else None

    def _make_putitem(self) -> dict[str, Any]:
        return {
            "TableName": TABLE,
            "Item": self.item(),
            "ConditionExpression": self._guard(),
            "ReturnValues": self.rng.choice((None, "ALL_OLD", "NONE")),
            "ReturnValuesOnConditionCheckFailure": self._on_failure(),
        }

    def _make_updateitem(self) -> dict[str, Any]:
        return {
            "TableName": TABLE,
            "Key": self.key(),
            "UpdateExpression": self.update(),
            "ConditionExpression": self._guard(),
            "ReturnValues": self.rng.choice((None, "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")),
            "ReturnValuesOnConditionCheckFailure": self._on_failure(),
        }

    def _make_deleteitem(self) -> dict[str, Any]:
        return {
            "TableName": TABLE,
            "Key": self.key(),
            "ConditionExpression": self._guard(),
            "ReturnValues": self.rng.choice((None, "ALL_OLD")),
        }

    def _make_getitem(self) -> dict[str, Any]:
        return {
            "TableName": TABLE,
            "Key": self.key(),
            "ProjectionExpression": f"pk, {self.path()}" if self.rng.random() < 0.6 else None,
        }

    def _make_query(self) -> dict[str, Any]:
        index = "by_gk" if self.rng.random() < 0.3 else None
        self.values[":h"] = {"S": self.rng.choice("xy" if index else "abcd")}
        condition = f"{'gk' if index else 'pk'} = :h"
        form = self.rng.randrange(4)
        if form == 0:
            self.values[":l"] = {"N": str(self.rng.randrange(5))}
            condition += f" AND sk {self.rng.choice(('=', '<', '<=', '>', '>='))} :l"
        elif form == 1:
            low, high = sorted((self.rng.randrange(5), self.rng.randrange(5)))
            self.values |= {":l": {"N": str(low)}, ":u": {"N": str(high)}}
            condition += " AND sk BETWEEN :l AND :u"
        return {
            "TableName": TABLE,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "FilterExpression": self.condition() if self.rng.random() < 0.4 else None,
            "ScanIndexForward": self.rng.choice((None, True, False)) if index is None else None,
            "Limit": self.rng.choice((None, None, 1, 2)) if index is None else None,
            "ProjectionExpression": f"pk, sk, {self.path()}" if self.rng.random() < 0.3 else None,
        }

    def _make_scan(self) -> dict[str, Any]:
        return {
            "TableName": TABLE,
            "FilterExpression": self.condition() if self.rng.random() < 0.7 else None,
            "Select": "COUNT" if self.rng.random() < 0.2 else None,
        }

    def _make_batchgetitem(self) -> dict[str, Any]:
        keys = {str(key): key for key in (self.key() for _ in range(self.rng.randint(1, 6)))}
        return {"RequestItems": {TABLE: {"Keys": list(keys.values())}}}

    def _make_transactwriteitems(self) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        keys = {str(key): key for key in (self.key() for _ in range(3))}
        for key in keys.values():
            self.values, self.names = {}, {}
            kind = self.rng.choice(("Put", "Update", "Delete", "ConditionCheck"))
            inner: dict[str, Any] = {"TableName": TABLE}
            inner |= {"Item": {**self.item(), **key}} if kind == "Put" else {"Key": key}
            if kind == "Update":
                inner["UpdateExpression"] = f"SET alpha = {self.placeholder()}"
            if kind == "ConditionCheck" or self.rng.random() < 0.4:
                inner["ConditionExpression"] = self.condition()
            if self.values:
                inner["ExpressionAttributeValues"] = self.values
            if self.names:
                inner["ExpressionAttributeNames"] = self.names
            entries.append({kind: inner})
        return {"TransactItems": entries}
