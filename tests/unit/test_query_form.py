"""Forms of the Query protocol as trees: what the names say, and what is no form."""

from __future__ import annotations

import pytest

from localcloud.services.query_form import MalformedForm, read_tree


def test_names_are_paths() -> None:
    """Each part of a name leads one step down; the last of several values of one name counts."""
    text = "Action=Tag&Tags.member.1.Key=a%20b&Tags.member.1.Value=&Tags.member.2.Key=c&Action=Untag"
    tags = {"member": {"1": {"Key": "a b", "Value": ""}, "2": {"Key": "c"}}}
    assert read_tree(text, max_fields=5, max_depth=4) == {"Action": "Untag", "Tags": tags}


@pytest.mark.parametrize("text", ["a=1&a.b=2", "a.b=2&a=1", "a.b.c=1&a.b=2"])
def test_a_name_is_a_value_or_a_structure(text: str) -> None:
    """In either order: nothing that was sent is lost unseen."""
    with pytest.raises(MalformedForm, match="both as a value and as a structure") as caught:
        read_tree(text, max_fields=10, max_depth=4)
    assert caught.value.code == "MalformedInput"


@pytest.mark.parametrize("text", ["a=%ff", "a=1&b=2&c=3", "a.b.c=1"])
def test_what_is_no_form_or_too_much_is_refused(text: str) -> None:
    """Bytes that are no UTF-8, more fields than allowed, names of more parts than allowed."""
    with pytest.raises(MalformedForm) as caught:
        read_tree(text, max_fields=2, max_depth=2)
    assert caught.value.code == "MalformedQueryString"
