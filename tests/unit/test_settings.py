"""settings: typed, bounded, and silent about values."""

from __future__ import annotations

import traceback
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway import settings
from sluiceway.errors import Misconfigured

SECRET = "s3cr3t-value"


def test_text_is_stripped(monkeypatch: pytest.MonkeyPatch):
    """White space around a value is an accident of the template, not part of it."""
    monkeypatch.setenv("SETTING", "  value\n")
    assert settings.text("SETTING") == "value"


@pytest.mark.parametrize("value", [None, "", "   "])
def test_missing_text_names_the_setting(monkeypatch: pytest.MonkeyPatch, value: str | None):
    """Unset, empty and blank are all missing: a template cannot say "no value"."""
    monkeypatch.delenv("SETTING", raising=False)
    if value is not None:
        monkeypatch.setenv("SETTING", value)
    with pytest.raises(Misconfigured) as caught:
        settings.text("SETTING")
    assert (caught.value.what, str(caught.value)) == ("SETTING", "SETTING is not set")


def test_defaults_serve_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    """A default makes a setting optional, 0 and the empty text included."""
    monkeypatch.delenv("SETTING", raising=False)
    assert settings.text("SETTING", default="") == ""
    assert settings.integer("SETTING", minimum=0, maximum=9, default=0) == 0
    assert settings.url("SETTING", default="http://127.0.0.1:1") == "http://127.0.0.1:1"


@given(number=st.integers(min_value=-1000, max_value=1000))
def test_integers_are_held_to_their_bounds(number: int):
    """Both bounds are included; outside them the setting is wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SETTING", str(number))
        if -500 <= number <= 500:
            assert settings.integer("SETTING", minimum=-500, maximum=500) == number
        else:
            with pytest.raises(Misconfigured, match="SETTING is not between -500 and 500"):
                settings.integer("SETTING", minimum=-500, maximum=500)


@pytest.mark.parametrize("value", ["1.5", "0x10", "1_000", "\u0661", "--1", "-", "1e3", "9" * 5000, SECRET])
def test_what_is_no_decimal_number_is_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    """Python's int() takes more than people write into templates; and the value stays out of the message."""
    monkeypatch.setenv("SETTING", value)
    with pytest.raises(Misconfigured) as caught:
        settings.integer("SETTING", minimum=-(10**18), maximum=10**18)
    assert str(caught.value) == "SETTING is not a whole number"


@pytest.mark.parametrize(
    "value", ["ftp://host", "https://", "host:80", "http://host:99999", "http://a b", "http://[::1"]
)
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, value: str):
    """A URL setting needs scheme http or https and a host."""
    monkeypatch.setenv("SETTING", value)
    with pytest.raises(Misconfigured) as caught:
        settings.url("SETTING")
    assert str(caught.value) == "SETTING is not an http or https address"


def test_an_address_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch):
    """Path and query belong to the address."""
    monkeypatch.setenv("SETTING", "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs")
    assert settings.url("SETTING") == "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"


@pytest.mark.parametrize("value", [SECRET, "[]", '"text"', "{" + SECRET, "[" * 100_000])
def test_json_errors_hold_no_value_even_as_their_cause(monkeypatch: pytest.MonkeyPatch, value: str):
    """A decoder's error carries the document, which may be a secret: it is neither quoted nor chained."""
    monkeypatch.setenv("SETTING", value)
    with pytest.raises(Misconfigured) as caught:
        settings.json_object("SETTING")
    assert caught.value.what == "SETTING"
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_json_object_is_parsed(monkeypatch: pytest.MonkeyPatch):
    """Objects come back as mappings."""
    monkeypatch.setenv("SETTING", '{"keys": []}')
    assert settings.json_object("SETTING") == {"keys": []}


def test_a_choice_is_one_of_its_words(monkeypatch: pytest.MonkeyPatch):
    """Stripped, letter for letter; an unset one takes its default."""
    monkeypatch.setenv("SETTING", " drain\n")
    assert settings.choice("SETTING", ("cancel", "drain")) == "drain"
    monkeypatch.setenv("SETTING", " ")
    assert settings.choice("SETTING", ("cancel", "drain"), default="cancel") == "cancel"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "SETTING is not set"),
        ("Drain", "SETTING is none of cancel, drain"),
        (SECRET, "SETTING is none of cancel, drain"),
    ],
)
def test_another_word_is_refused_without_being_repeated(monkeypatch: pytest.MonkeyPatch, value: str, said: str):
    """The setting and its words are named, the value never; a default does not make another word good."""
    monkeypatch.setenv("SETTING", value)
    for default in ("cancel", None) if value else (None,):
        with pytest.raises(Misconfigured) as caught:
            settings.choice("SETTING", ("cancel", "drain"), default=default)
        assert (caught.value.what, str(caught.value)) == ("SETTING", said)


def test_environ_is_a_copy(monkeypatch: pytest.MonkeyPatch):
    """A client that reads the environment cannot change it."""
    monkeypatch.setenv("SETTING", "value")
    taken = dict(settings.environ())
    monkeypatch.setenv("SETTING", "other")
    assert taken["SETTING"] == "value"


def test_lambda_is_where_a_runtime_api_is(monkeypatch: pytest.MonkeyPatch):
    """The Runtime API's address is what makes an error at import an init error."""
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    assert settings.in_lambda() is False
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert settings.in_lambda() is True


SCHEMES = st.sampled_from(["http", "HTTPS", "ftp", "http:", ""])
AUTHORITIES = (
    st.text("a1.:@-%é", max_size=8) | st.text("a1:@[]", max_size=8) | st.from_regex(r"a(:\d{1,6})?", fullmatch=True)
)


def is_taken(value: str) -> bool:
    """Whether the setting `value` is an address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SETTING", value)
        try:
            return settings.url("SETTING") == value
        except Misconfigured:
            return False


@given(scheme=SCHEMES, authority=AUTHORITIES, tail=st.text("/?#a:@", max_size=4))
def test_addresses_are_what_the_standard_library_takes_for_them(scheme: str, authority: str, tail: str):
    """As `urllib.parse` finds host and port; names beyond ASCII and stray brackets are refused besides."""
    value = f"{scheme}://{authority}{tail}"
    try:
        parts = urlsplit(value)
        expected = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        expected = False
    if any(letter in authority for letter in "[]é"):
        assert expected or not is_taken(value)
    else:
        assert is_taken(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("http://[::1]:4600/x", True), ("http://[::1]", True), ("http://[::1", False), ("http://[1]", False)],
)
def test_addresses_of_ip_version_6_stand_in_brackets(value: str, *, expected: bool):
    """With a port or without."""
    assert is_taken(value) == expected
