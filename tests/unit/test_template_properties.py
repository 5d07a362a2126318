"""Typed reading of properties."""

from __future__ import annotations

import pytest

from localcloud.template.errors import TemplateError
from localcloud.template.properties import Properties

READ = Properties(
    {
        "Text": "x", "Number": "30", "Int": 30, "Half": 1.5, "Yes": "true", "No": False, "List": ["a", 1],
        "Map": {"k": 5}, "Maps": [{"a": 1}], "Tags": [{"Key": "k", "Value": 1}], "Null": None,
    },
    where="R.Properties",
)  # fmt: skip


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda p: p.text("Text"), "x"),
        (lambda p: p.text("Int"), "30"),
        (lambda p: p.text("No"), "false"),
        (lambda p: p.text("Null", "d"), "d"),
        (lambda p: p.integer("Number"), 30),
        (lambda p: p.integer("Int", low=30, high=30), 30),
        (lambda p: p.integer("Absent", 7), 7),
        (lambda p: p.number("Half"), 1.5),
        (lambda p: p.flag("Yes"), True),
        (lambda p: p.flag("No"), False),
        (lambda p: p.flag("Absent", default=False), False),
        (lambda p: p.choice("Text", ("x", "y")), "x"),
        (lambda p: p.texts("List"), ["a", "1"]),
        (lambda p: p.text_map("Map"), {"k": "5"}),
        (lambda p: [e.integer("a") for e in p.each("Maps")], [1]),
        (lambda p: p.tags(), {"k": "1"}),
        (lambda p: ("Null" in p, "Text" in p), (False, True)),
    ],
)
def test_scalars_are_converted_as_cloudformation_does(read, expected: object) -> None:
    """`"30"` is 30 and `true` is "true", whichever way a template wrote it."""
    assert read(READ) == expected


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda p: p.text("Absent"), "R.Properties.Absent: is required"),
        (lambda p: p.text("List"), "R.Properties.List: must be text, is a list"),
        (lambda p: p.integer("Text"), "R.Properties.Text: must be a number, is 'x'"),
        (lambda p: p.integer("No"), "R.Properties.No: must be a number"),
        *(
            (lambda _, text=text: Properties({"N": text}, where="R").number("N"), f"R.N: must be a number, is '{text}'")
            for text in ("sNaN", "NaN", "Infinity", "1e999")
        ),
        (lambda p: p.integer("Half"), "R.Properties.Half: must be a whole number, is 1.5"),
        (lambda p: p.integer("Int", low=1, high=10), "R.Properties.Int: must be from 1 to 10, is 30"),
        (lambda p: p.flag("Text"), "R.Properties.Text: must be true or false, is 'x'"),
        (lambda p: p.choice("Text", ("y", "z")), "R.Properties.Text: must be one of y, z, is 'x'"),
        (lambda p: p.items("Map"), "R.Properties.Map: must be a list, is a map"),
        (lambda p: p.mapping("List"), "R.Properties.List: must be a map, is a list"),
        (lambda p: p.each("List"), "R.Properties.List[0]: must be a map, is 'a'"),
        (lambda p: p.each("Maps")[0].text("b"), "R.Properties.Maps[0].b: is required"),
        (lambda p: p.nested("Map").flag("k"), "R.Properties.Map.k: must be true or false, is 5"),
    ],
)
def test_what_cannot_be_read_is_named(read, message: str) -> None:
    """The error holds the path of the property and what it is."""
    with pytest.raises(TemplateError) as caught:
        read(READ)
    assert str(caught.value).startswith(message)
