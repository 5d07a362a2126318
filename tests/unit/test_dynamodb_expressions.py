"""The expression languages: what parses, what holds, and which fault AWS tells of."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.dynamodb.errors import DynamoError
from localcloud.services.dynamodb.expressions import (
    Bindings,
    apply_update,
    holds,
    parse_condition,
    parse_key_condition,
    parse_projection,
    parse_update,
    project_item,
)
from localcloud.services.dynamodb.expressions.reserved import RESERVED_WORDS
from localcloud.services.dynamodb.values import encode_item, parse_item

ITEM = parse_item(
    {
        "pk": {"S": "k"},
        "word": {"S": "hello"},
        "num": {"N": "5"},
        "bin": {"B": "YWJj"},
        "yes": {"BOOL": True},
        "nil": {"NULL": True},
        "tags": {"SS": ["red", "green"]},
        "nums": {"NS": ["1", "2.50"]},
        "cells": {"L": [{"S": "a"}, {"N": "7"}, {"M": {"deep": {"S": "x"}}}]},
        "doc": {"M": {"core": {"N": "3"}, "dotted.name": {"S": "d"}}},
    }
)
VALUES: dict[str, Any] = {
    ":five": {"N": "5.0"},
    ":three": {"N": "3"},
    ":nine": {"N": "9"},
    ":he": {"S": "he"},
    ":hello": {"S": "hello"},
    ":red": {"S": "red"},
    ":a": {"S": "a"},
    ":b": {"B": "YWI="},
    ":t": {"BOOL": True},
    ":null": {"NULL": True},
    ":n25": {"N": "2.5"},
    ":str": {"S": "S"},
    ":list": {"L": [{"N": "1"}]},
    ":set": {"SS": ["green", "red"]},
}


def bind(text: str, names: dict[str, str] | None = None, values: dict[str, Any] | None = None) -> Bindings:
    """The placeholders that `text` uses, out of VALUES."""
    known = VALUES if values is None else values
    used = {key: value for key, value in known.items() if key in text}
    return Bindings(names, used or None)


def is_met(text: str, names: dict[str, str] | None = None) -> bool:
    return holds(parse_condition(text, bind(text, names), parameter="ConditionExpression"), ITEM)


def fault(text: str, values: dict[str, Any] | None = None, names: dict[str, str] | None = None) -> str:
    with pytest.raises(DynamoError) as caught:
        parse_condition(text, Bindings(names, values), parameter="FilterExpression")
    assert caught.value.code == "ValidationException"
    return caught.value.message.removeprefix("Invalid FilterExpression: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num = :five", True),
        ("num <> :five", False),
        ("num < :nine", True),
        ("num <= :five", True),
        ("num > :five", False),
        ("num >= :five", True),
        ("word = :five", False),
        ("word <> :five", True),
        ("word < :five", False),
        ("absent = :five", False),
        ("absent <> :five", True),
        ("absent < :five", False),
        ("num BETWEEN :three AND :nine", True),
        ("num between :three and :nine", True),
        ("word BETWEEN :three AND :nine", False),
        ("num IN (:three, :five)", True),
        ("num IN (:three, :nine)", False),
        ("absent IN (:three)", False),
        ("attribute_exists(cells[2].deep)", True),
        ("attribute_exists(cells[3])", False),
        ("attribute_not_exists(doc.extra)", True),
        ("attribute_type(word, :str)", True),
        ("attribute_type(num, :str)", False),
        ("begins_with(word, :he)", True),
        ("begins_with(bin, :b)", True),
        ("begins_with(num, :he)", False),
        ("contains(word, :he)", True),
        ("contains(tags, :red)", True),
        ("contains(tags, :five)", False),
        ("contains(nums, :n25)", True),
        ("contains(cells, :a)", True),
        ("contains(bin, :b)", True),
        ("contains(absent, :a)", False),
        ("size(word) = :five", True),
        ("size(cells) = :three", True),
        ("size(bin) = :three", True),
        ("size(num) = :five", False),
        ("size(doc) < size(cells)", True),
        ("tags = :set", True),
        ("yes = :t AND nil = :null", True),
        ("NOT num = :five", False),
        ("NOT num = :nine AND word = :hello", True),
        ("num = :nine AND word = :he OR word = :hello", True),
        ("num = :nine AND (word = :he OR word = :hello)", False),
        ("word = :hello OR num = :nine AND word = :he", True),
        ("NOT (num = :five OR word = :he)", False),
        ("(num) = (:five)", True),
        (":five = num", True),
        ("doc.core = :three", True),
        ("cells[1] > :five", True),
    ],
)
def test_condition_holds_as_documented(text: str, expected: bool) -> None:
    """Each operator and function gives what the developer guide says, with NOT before AND before OR."""
    assert is_met(text) is expected


def test_placeholders_reach_names_with_dots_and_reserved_words() -> None:
    """A #name stands for one attribute, whatever characters it has."""
    text = "begins_with(doc.#d, :prefix)"
    bindings = Bindings({"#d": "dotted.name"}, {":prefix": {"S": "d"}})
    assert holds(parse_condition(text, bindings, parameter="ConditionExpression"), ITEM)


@pytest.mark.parametrize(
    "text",
    [
        "things are not gonna be ok",
        "a > 4",
        "attribute_exists(Pictures-RearView)",
        'attribute_exists("Pictures.RearView")',
        "attribute_exists(Pictures..RearView)",
        "attribute_exists(Pi#ctures.RearView)",
        "attribute_exists(asdf[a])",
        "a in b, c",
        "a > between",
        "a in b",
        "a in (b,c,)",
        "(a)between(b.(c.d))and(c)",
        "(a)between(b.c.d)and((c)",
        "#$.b > a",
        "a > :things.stuff",
        "b[:a] > a",
        "b[#_] > a",
        "ü > a",
        "(a)between(b.c[4.5].#d)and(:a)",
        "size(a).b > a",
        "(size(a)).b > a",
        "size(a)[0] > a",
        "(size(a))[0] > a",
        "a",
        "a = :a AND",
        "a = :a :b",
        ")",
    ],
)
def test_syntax_errors_are_called_syntax_errors(text: str) -> None:
    """What AWS answers with a syntax error, we answer with one."""
    assert fault(text).startswith("Syntax error; token: ")


def test_syntax_error_quotes_token_and_neighbours() -> None:
    """The message quotes the token and the text from the token before to the one after."""
    assert fault("a = = b") == 'Syntax error; token: "=", near: "= = b"'
    assert fault("attribute_exists(a") == 'Syntax error; token: "<EOF>", near: "(a"'


@pytest.mark.parametrize("text", ["a=a and a > ((views))", "a=a AND ((a=a AND a=a)) AND a=a", "((a=b))"])
def test_double_parentheses_are_redundant(text: str) -> None:
    """A parenthesis that holds nothing but another one is refused."""
    assert fault(text) == "The expression has redundant parentheses;"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=a and whatever((:things)) > a", "Invalid function name; function: whatever"),
        ("attRIbute_exIsts((views), #a)", "Invalid function name; function: attRIbute_exIsts"),
        (
            "a=a and attribute_exists((views), (#a)) > b",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("size(things)", "The function is not allowed to be used this way in an expression; function: size"),
        (
            "size(contains(a, b)) > a",
            "The function is not allowed to be used this way in an expression; function: contains",
        ),
        (
            "a in (b, attribute_exists(things))",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("attribute_exists(views, #a)", "Attribute name is a reserved keyword; reserved keyword: views"),
        (":a < abOrT", "Attribute name is a reserved keyword; reserved keyword: abOrT"),
        (
            "attribute_exists(#Pictures.RearView, :a) and a=a",
            "An expression attribute name used in the document path is not defined; attribute name: #Pictures",
        ),
        (
            "begins_with(:hello, #a, #b)",
            "An expression attribute value used in expression is not defined; attribute value: :hello",
        ),
        (
            "attribute_exists(things, a) and a=a",
            (
                "Incorrect number of operands for operator or function; "
                "operator or function: attribute_exists, number of operands: 2"
            ),
        ),
        (
            "begins_with(things, size(a), b)",
            (
                "Incorrect number of operands for operator or function; "
                "operator or function: begins_with, number of operands: 3"
            ),
        ),
        (
            "a = a",
            (
                "The first operand must be distinct from the remaining operands for this operator or function; "
                "operator: =, first operand: [a]"
            ),
        ),
        (
            "contains(ab.bc[1].a, ab.bc[1].a)",
            (
                "The first operand must be distinct from the remaining operands for this operator or function; "
                "operator: contains, first operand: [ab, bc, [1], a]"
            ),
        ),
    ],
)
def test_first_checked_fault_is_told(text: str, expected: str) -> None:
    """Of several faults AWS tells the kind that it checks first; the sentences are AWS's."""
    assert fault(text) == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("begins_with(a, :a)", {"N": "1"}, "begins_with, operand type: N"),
        ("begins_with(:a, a)", {"BOOL": True}, "begins_with, operand type: BOOL"),
        ("begins_with(a, size(a)) and a=:a", {"N": "1"}, "begins_with, operand type: N"),
        ("attribute_type(a, :a)", {"SS": ["1"]}, "attribute_type, operand type: SS"),
        ("size(:a) > a", {"NULL": True}, "size, operand type: NULL"),
        ("size(size(a)) > :a", {"N": "1"}, "size, operand type: N"),
        ("a < :a", {"L": []}, "<, operand type: L"),
    ],
)
def test_operand_types_known_from_the_text_are_checked(text: str, value: dict[str, Any], expected: str) -> None:
    """A literal of the wrong type is refused before any item is read."""
    prefix = "Incorrect operand type for operator or function; operator or function: "
    assert fault(text, {":a": value}) == prefix + expected


def test_type_names_and_bounds_are_checked() -> None:
    """attribute_type wants a type's name; BETWEEN wants bounds of one type in order."""
    assert fault("attribute_type(a, :a)", {":a": {"S": "1"}}).startswith("Invalid attribute type name found; type: 1,")
    assert fault("a between :b and :a", {":a": {"S": "a"}, ":b": {"S": "b"}}) == (
        "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
        "lower bound operand: AttributeValue: {S:b}, upper bound operand: AttributeValue: {S:a}"
    )
    assert fault("a between :b and :a", {":a": {"S": "a"}, ":b": {"N": "1"}}).startswith(
        "The BETWEEN operator requires same data type for lower and upper bounds;"
    )
    assert fault("attribute_exists(:a)", {":a": {"S": "1"}}) == (
        "Operator or function requires a document path; operator or function: attribute_exists"
    )


def test_limits_of_an_expression() -> None:
    """4 KB of text and 100 choices of IN are the limits."""
    assert fault("").startswith("The expression can not be empty;")
    assert fault("a = :a" + " " * 4096).startswith("Expression size has exceeded the maximum allowed size;")
    values = {f":v{number}": {"N": str(number)} for number in range(101)}
    assert fault(f"a IN ({', '.join(values)})", values).endswith("number of operands: 101")


def test_unused_and_malformed_placeholders_are_errors() -> None:
    """An unused placeholder, an empty map and a key without its mark are refused, as on AWS."""
    bindings = Bindings({"#a": "a", "#b": "b"}, {":a": {"S": "a"}})
    parse_condition("#a = :a", bindings, parameter="ConditionExpression")
    with pytest.raises(DynamoError, match=r"ExpressionAttributeNames unused in expressions: keys: \{#b\}"):
        bindings.settle()
    for names, values, words in (
        ({}, None, "ExpressionAttributeNames must not be empty"),
        (None, {}, "ExpressionAttributeValues must not be empty"),
        ({"a": "a"}, None, 'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'),
        (None, {"a": {"S": "b"}}, 'ExpressionAttributeValues contains invalid key: Syntax error; key: "a"'),
        (None, {":b": {"N": "b"}}, "The parameter cannot be converted to a numeric value: b for key :b"),
    ):
        with pytest.raises(DynamoError) as caught:
            Bindings(names, values)
        assert words in caught.value.message


def test_there_are_573_reserved_words() -> None:
    """The list is AWS's whole list."""
    assert len(RESERVED_WORDS) == 573
    assert {"STATUS", "NAME", "TTL", "ZONE", "ABORT"} <= RESERVED_WORDS


def updated(text: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    return encode_item(apply_update(parse_update(text, Bindings(None, values)), ITEM))


def changed(text: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """The attributes that an update changed; None for one that it removed."""
    before, after = encode_item(ITEM), updated(text, values)
    return {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("SET fresh = :v", {":v": {"S": "x"}}, {"fresh": {"S": "x"}}),
        ("set num = num + :v", {":v": {"N": "0.10"}}, {"num": {"N": "5.1"}}),
        ("SET num = :v - num", {":v": {"N": "1"}}, {"num": {"N": "-4"}}),
        ("SET num = (num + :v)", {":v": {"N": "1"}}, {"num": {"N": "6"}}),
        ("SET num = if_not_exists(num, :v)", {":v": {"N": "1"}}, {}),
        ("SET fresh = if_not_exists(fresh, :v) + :v", {":v": {"N": "1"}}, {"fresh": {"N": "2"}}),
        ("SET fresh = num, num = :v", {":v": {"N": "1"}}, {"fresh": {"N": "5"}, "num": {"N": "1"}}),
        (
            "SET fresh = list_append(if_not_exists(fresh, :e), :v)",
            {":e": {"L": []}, ":v": {"L": [{"N": "1"}]}},
            {"fresh": {"L": [{"N": "1"}]}},
        ),
        ("SET doc.core = :v", {":v": {"N": "4"}}, {"doc": {"M": {"dotted.name": {"S": "d"}, "core": {"N": "4"}}}}),
        (
            "SET cells[9] = :v, cells[7] = :w REMOVE cells[0]",
            {":v": {"S": "last"}, ":w": {"S": "first"}},
            {"cells": {"L": [{"N": "7"}, {"M": {"deep": {"S": "x"}}}, {"S": "first"}, {"S": "last"}]}},
        ),
        ("REMOVE cells[2], cells[0]", None, {"cells": {"L": [{"N": "7"}]}}),
        ("REMOVE word, absent, cells[9]", None, {"word": None}),
        ("ADD num :v", {":v": {"N": "-5"}}, {"num": {"N": "0"}}),
        ("ADD fresh :v", {":v": {"NS": ["1"]}}, {"fresh": {"NS": ["1"]}}),
        ("ADD tags :v", {":v": {"SS": ["blue", "red"]}}, {"tags": {"SS": ["blue", "green", "red"]}}),
        ("DELETE tags :v", {":v": {"SS": ["red", "blue"]}}, {"tags": {"SS": ["green"]}}),
        ("DELETE tags :v", {":v": {"SS": ["red", "green"]}}, {"tags": None}),
        ("DELETE absent :v", {":v": {"SS": ["red"]}}, {}),
    ],
)
def test_update_does_what_is_documented(text: str, values: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    """Every clause reads the item as it was; list positions mean the list as it was."""
    assert changed(text, values) == expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("SET fresh = absent", None, "The provided expression refers to an attribute that does not exist in the item"),
        ("SET absent.a = num", None, "The document path provided in the update expression is invalid for update"),
        ("REMOVE word.a", None, "The document path provided in the update expression is invalid for update"),
        ("SET doc[0] = num", None, "The document path provided in the update expression is invalid for update"),
        ("SET fresh = word + num", None, "An operand in the update expression has an incorrect data type"),
        ("SET fresh = list_append(num, cells)", None, "An operand in the update expression has an incorrect data type"),
        ("ADD word :v", {":v": {"N": "1"}}, "An operand in the update expression has an incorrect data type"),
        ("DELETE nums :v", {":v": {"SS": ["1"]}}, "An operand in the update expression has an incorrect data type"),
        (
            "SET num = num + :v",
            {":v": {"N": "1E-100"}},
            "Attempting to store more than 38 significant digits in a Number",
        ),
    ],
)
def test_update_that_does_not_fit_the_item(text: str, values: dict[str, Any] | None, expected: str) -> None:
    """What can only be seen on the item is refused in AWS's words."""
    with pytest.raises(DynamoError) as caught:
        updated(text, values)
    assert caught.value.message == expected


@pytest.mark.parametrize(
    "text",
    [
        "whatever", "set a", "add a", "delete a", "set a=set", "remove a = b", "add a = b", "delete a b",
        "remove a b", "set a b", "set :a = b", "remove :a", "set a = b / c", "set a = b * c", 'set a[1] = "eight"',
        "set a[1] = 1", "SET a = if_not_exist(a, 100)", "SET if_not_exist(a, b) = a", "set (a = (b + c))",
        "set a = (b.c).d + e", "set a = b + c + d",
    ],
)  # fmt: skip
def test_update_syntax_errors(text: str) -> None:
    """What AWS answers with a syntax error, we answer with one."""
    with pytest.raises(DynamoError, match=r"^Invalid UpdateExpression: Syntax error; "):
        parse_update(text, Bindings(None, None))


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        (" set #c = :c set abOrt = true ", None, "Attribute name is a reserved keyword; reserved keyword: abOrt"),
        ("set #c = if_not_exist(:c) set c = d", None, "Invalid function name; function: if_not_exist"),
        ("set a = size(b)", None, "The function is not allowed in an update expression; function: size"),
        (
            "remove #d set a = b remove e",
            None,
            'The "REMOVE" section can only be used once in an update expression;',
        ),
        (
            "set c[1].a = a, c = if_not_exists(a)",
            None,
            (
                "Two document paths overlap with each other; must remove or rewrite one of these paths; "
                "path one: [c, [1], a], path two: [c]"
            ),
        ),
        (
            "remove a.c set a[1] = d",
            None,
            (
                "Two document paths conflict with each other; must remove or rewrite one of these paths; "
                "path one: [a, c], path two: [a, [1]]"
            ),
        ),
        (
            "set b = list_append(:a, a), c = if_not_exists(a) add a.b :a",
            {":a": {"S": "a"}},
            (
                "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, "
                "typeSet: ALLOWED_FOR_ADD_OPERAND"
            ),
        ),
        (
            "set a = if_not_exists(c)",
            None,
            (
                "Incorrect number of operands for operator or function; "
                "operator or function: if_not_exists, number of operands: 1"
            ),
        ),
        (
            "set a = if_not_exists(:a, c)",
            {":a": {"S": "a"}},
            "Operator or function requires a document path; operator or function: if_not_exists",
        ),
        (
            "set a = list_append(:a, a)",
            {":a": {"S": "a"}},
            "Incorrect operand type for operator or function; operator or function: list_append, operand type: S",
        ),
        (
            "set a = a + :a",
            {":a": {"S": "a"}},
            "Incorrect operand type for operator or function; operator or function: +, operand type: S",
        ),
    ],
)
def test_update_faults_in_aws_words(text: str, values: dict[str, Any] | None, expected: str) -> None:
    """The fault that AWS checks first is told, in AWS's words."""
    with pytest.raises(DynamoError) as caught:
        parse_update(text, Bindings(None, values))
    assert caught.value.message == f"Invalid UpdateExpression: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > b and size(b) > c or a > c", "Invalid operator used in KeyConditionExpression: OR"),
        ("a in (b, size(c), d)", "Invalid operator used in KeyConditionExpression: IN"),
        ("attribute_exists(a)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("not a > b", "Invalid operator used in KeyConditionExpression: NOT"),
        ("a <> b", "Invalid operator used in KeyConditionExpression: <>"),
        ("size(b) > a AND a.b > b AND b > c", "KeyConditionExpressions cannot contain nested operations"),
        ("b > a.b", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"),
        (
            "begins_with(a, b)",
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
        ),
        ("b.d > a AND c.d > e.f", "KeyConditionExpressions cannot have conditions on nested attributes"),
        (
            ":five between size(b) and size(a) and b > :five",
            ("Invalid condition in KeyConditionExpression: "
            "BETWEEN operator must have the key attribute as its first operand"),
        ),
        (":five > :nine AND a < :five", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        (
            "b > :five AND b < :five",
            "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
        ),
    ],
)  # fmt: skip
def test_key_conditions_that_no_query_can_answer(text: str, expected: str) -> None:
    """A key condition is one comparison a key; everything else is refused in AWS's words."""
    with pytest.raises(DynamoError) as caught:
        parse_key_condition(text, bind(text))
    assert caught.value.message == expected


def test_key_condition_may_name_its_value_first() -> None:
    """`:v < key` is `key > :v`."""
    found = parse_key_condition(":five < num AND pk = :a", bind(":five :a"))
    assert {name: condition.operator for name, condition in found.items()} == {"num": ">", "pk": "="}


def test_projection_keeps_shape_and_closes_lists() -> None:
    """Maps keep their shape, lists close up in their own order, missing paths are left out."""
    text = "word, cells[2].deep, cells[0], doc.core, absent, num.a"
    chosen = project_item(ITEM, parse_projection(text, Bindings(None, None)))
    assert encode_item(chosen) == {
        "word": {"S": "hello"},
        "cells": {"L": [{"S": "a"}, {"M": {"deep": {"S": "x"}}}]},
        "doc": {"M": {"core": {"N": "3"}}},
    }


def test_projection_refuses_overlap() -> None:
    """Two paths of a projection may not hold one another."""
    with pytest.raises(DynamoError, match=r"^Invalid ProjectionExpression: Two document paths overlap"):
        parse_projection("doc, doc.core", Bindings(None, None))


ATOMS = st.sampled_from(["num = :five", "word = :he", "attribute_exists(cells)", "attribute_exists(absent)"])
TRUTH = {
    "num = :five": True,
    "word = :he": False,
    "attribute_exists(cells)": True,
    "attribute_exists(absent)": False,
}
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(st.tuples(st.just("NOT"), inner), st.tuples(inner, st.sampled_from(["AND", "OR"]), inner)),
    max_leaves=8,
)


def write_tree(tree: Any) -> str:
    """The tree as text, with parentheses only where precedence needs them."""
    if isinstance(tree, str):
        return tree
    if tree[0] == "NOT":
        inner = write_tree(tree[1])
        return f"NOT ({inner})" if isinstance(tree[1], tuple) and tree[1][0] != "NOT" else f"NOT {inner}"
    left, word, right = tree
    parts = [
        f"({write_tree(side)})"
        if word == "AND" and isinstance(side, tuple) and side[1:2] == ("OR",)
        else write_tree(side)
        for side in (left, right)
    ]
    return f"{parts[0]} {word} {parts[1]}"


def truth_of(tree: Any) -> bool:
    if isinstance(tree, str):
        return TRUTH[tree]
    if tree[0] == "NOT":
        return not truth_of(tree[1])
    return (truth_of(tree[0]) and truth_of(tree[2])) if tree[1] == "AND" else (truth_of(tree[0]) or truth_of(tree[2]))


@given(TREES)
def test_precedence_is_that_of_the_tree(tree: Any) -> None:
    """A tree written with no more parentheses than precedence needs means what the tree means."""
    assert is_met(write_tree(tree)) is truth_of(tree)


TOKENS = ["a", "#b", ":c", "(", ")", "AND", "NOT", "IN", ",", "=", "size", "SET", "+", "[1]", "."]


@given(st.text(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=14).map(" ".join))
def test_any_text_parses_or_is_a_validation_error(text: str) -> None:
    """No text, and no order of the language's own tokens, makes a parser fail in another way."""
    codes: list[str] = []
    for parse in (
        lambda: parse_condition(text, Bindings(None, None), parameter="ConditionExpression"),
        lambda: parse_update(text, Bindings(None, None)),
        lambda: parse_projection(text, Bindings(None, None)),
        lambda: parse_key_condition(text, Bindings(None, None)),
    ):
        with contextlib.suppress(DynamoError):
            parse()
            continue
        codes.append(code_of(parse))
    assert set(codes) <= {"ValidationException"}


def code_of(parse: Any) -> str:
    with pytest.raises(DynamoError) as caught:
        parse()
    return caught.value.code
