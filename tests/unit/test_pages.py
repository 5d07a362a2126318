"""Pages of lists: everything once, in order, and no token but those that were given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.pages import MalformedToken, cut_page

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), unique=True).map(sorted)


@given(NAMES, st.integers(1, 5))
def test_page_by_page_everything_comes_once(names: list[str], most: int) -> None:
    """In order, in full pages but for the last, which has no token."""
    seen: list[str] = []
    page, token = cut_page(names, str, token=None, most=most)
    while token:
        assert len(page) == most
        seen += page
        page, token = cut_page(names, str, token=token, most=most)
    assert seen + list(page) == names


def test_a_list_that_changed_goes_on_after_the_name() -> None:
    """The last name of a page may be gone by the next one."""
    _, token = cut_page(["a", "b", "c"], str, token=None, most=2)
    assert cut_page(["a", "c", "d"], str, token=token, most=5) == (["c", "d"], "")


@pytest.mark.parametrize("token", ["?", "YQ", "/w==", "_w==", "\ud800", "é"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """No base64, base64 of another alphabet, of no text."""
    with pytest.raises(MalformedToken):
        cut_page(["a"], str, token=token, most=1)
