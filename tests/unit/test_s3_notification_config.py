"""What buckets may be told to tell: documents, filters, events, and what S3 refuses of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.s3.notification_config import (
    BadConfiguration,
    Configuration,
    Rule,
    check_rules,
    read_xml,
    write_xml,
)

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:t"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:f"
PUT = "s3:ObjectCreated:Put"
CREATED = "s3:ObjectCreated:*"
AMBIGUOUS = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    "overlapping for the same event type."
)
SAME_ID = "Same ID used for multiple configurations. IDs must be unique"
NOT_HERE = "s3:LifecycleTransition: nothing sets this event off in this local cloud."
TOO_MANY = "The number of notification configurations is over 100."
OVERLAP = "Configurations overlap. Configurations on the same bucket cannot share a common event type."


def ids() -> Iterator[str]:
    """Ids that are made."""
    return iter(["made-1", "made-2", "made-3"])


def document(inner: str) -> bytes:
    """A NotificationConfiguration."""
    return f'<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</NotificationConfiguration>'.encode()


def queue(inner: str = "", *, arn: str = QUEUE, event: str = CREATED) -> str:
    """A QueueConfiguration."""
    return f"<QueueConfiguration><Queue>{arn}</Queue><Event>{event}</Event>{inner}</QueueConfiguration>"


def filter_of(*rules: tuple[str, str]) -> str:
    """A Filter."""
    made = "".join(f"<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>" for name, value in rules)
    return f"<Filter><S3Key>{made}</S3Key></Filter>"


def test_a_document_is_read_with_all_three_destinations() -> None:
    """Ids are made where there are none; the names of filters may be written in any case."""
    inner = (
        queue(filter_of(("Prefix", "in/"), ("suffix", ".csv")))
        + f"<TopicConfiguration><Id>mine</Id><Topic>{TOPIC}</Topic><Event>{PUT}</Event>"
        + "<Event>s3:ObjectTagging:*</Event></TopicConfiguration>"
        + f"<CloudFunctionConfiguration><CloudFunction>{FUNCTION}</CloudFunction><Event>s3:ObjectRemoved:*</Event>"
        + "</CloudFunctionConfiguration><EventBridgeConfiguration/>"
    )
    expected = Configuration(
        (
            Rule("made-1", QUEUE, (CREATED,), "in/", ".csv"),
            Rule("mine", TOPIC, (PUT, "s3:ObjectTagging:*")),
            Rule("made-2", FUNCTION, ("s3:ObjectRemoved:*",)),
        ),
        event_bridge=True,
    )
    assert read_xml(document(inner), ids()) == expected


@given(
    st.builds(
        Configuration,
        st.lists(
            st.builds(
                Rule,
                st.text("ab&<", min_size=1, max_size=4),
                st.sampled_from([QUEUE, TOPIC, FUNCTION]),
                st.just((PUT, CREATED)),
                st.text("a/&<", max_size=3),
                st.text("a.&<", max_size=3),
            ),
            max_size=3,
        ).map(tuple),
        st.booleans(),
    )
)
def test_what_is_written_is_read_again(configuration: Configuration) -> None:
    """GET answers what PUT was given."""
    assert read_xml(write_xml(configuration), ids()) == configuration


@pytest.mark.parametrize(
    ("inner", "code", "message"),
    [
        ("<Other/>", "MalformedXML", "Other is no member"),
        (f"<QueueConfiguration><Queue>{QUEUE}</Queue></QueueConfiguration>", "MalformedXML", "at least one Event"),
        (queue("<Wrong/>"), "MalformedXML", "Wrong is no member"),
        (queue(arn=TOPIC), "InvalidArgument", "The ARN is not well formed"),
        (queue(arn="q"), "InvalidArgument", "The ARN is not well formed"),
        (queue(filter_of(("Middle", "x"))), "InvalidArgument", "must be either prefix or suffix"),
        (queue(filter_of(("Prefix", "x"), ("prefix", "y"))), "InvalidArgument", "more than one prefix rule"),
    ],
)
def test_a_document_of_another_form_is_refused(inner: str, code: str, message: str) -> None:
    """By the code of S3, and with what is wrong."""
    with pytest.raises(BadConfiguration) as refused:
        read_xml(document(inner), ids())
    assert refused.value.code == code
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([Rule("1", QUEUE, (CREATED,)), Rule("2", TOPIC, (PUT,))], OVERLAP),
        ([Rule("1", QUEUE, (PUT,)), Rule("2", QUEUE, (PUT,))], OVERLAP),
        ([Rule("1", QUEUE, (PUT,), "a"), Rule("2", TOPIC, (PUT,), "a/b")], AMBIGUOUS),
        ([Rule("1", QUEUE, (PUT,), "a", ".csv"), Rule("2", TOPIC, (PUT,), "a/b")], AMBIGUOUS),
        ([Rule("1", QUEUE, (PUT,), "", "g"), Rule("2", TOPIC, (CREATED,), "", ".jpg")], AMBIGUOUS),
        ([Rule("1", QUEUE, (PUT,)), Rule("1", TOPIC, ("s3:ObjectRemoved:*",))], SAME_ID),
        ([Rule("1", QUEUE, ("s3:ObjectMoved",))], "A specified event is not supported for notifications."),
        ([Rule("1", QUEUE, ("s3:LifecycleTransition",))], NOT_HERE),
        ([Rule("1", QUEUE, (PUT,), "x" * 1025)], "Size of filter rule value cannot exceed 1024 bytes in UTF-8"),
        ([Rule("x" * 256, QUEUE, (PUT,))], "The ID must be no longer than 255 characters"),
        ([Rule("1", f"{QUEUE} ", (PUT,))], "The ARN is not well formed"),
        ([Rule(str(n), QUEUE, (PUT,), f"{n:03}") for n in range(101)], TOO_MANY),
    ],
)  # fmt: skip
def test_rules_that_s3_does_not_take_are_refused(rules: list[Rule], message: str) -> None:
    """Overlapping filters for the same event above all."""
    with pytest.raises(BadConfiguration) as refused:
        check_rules(rules)
    assert refused.value.message == message


def test_rules_that_part_prefixes_suffixes_or_events_are_taken() -> None:
    """The documentation's own valid examples."""
    check_rules([Rule("1", QUEUE, (PUT,), "images/"), Rule("2", TOPIC, (PUT,), "logs/")])
    check_rules([Rule("1", QUEUE, (PUT,), "", ".jpg"), Rule("2", TOPIC, (PUT,), "", ".png")])
    check_rules([Rule("1", QUEUE, (PUT,), "a"), Rule("2", TOPIC, ("s3:ObjectRemoved:*",), "a")])
    check_rules([Rule("1", QUEUE, (PUT,), "a", ".jpg"), Rule("2", TOPIC, (PUT,), "a/b", ".png")])


@given(st.text("ab", max_size=4), st.text("ab", max_size=2), st.text("ab", max_size=2))
def test_a_key_is_taken_by_its_beginning_and_end(key: str, prefix: str, suffix: str) -> None:
    """They may overlap within the key."""
    expected = key[: len(prefix)] == prefix and key[len(key) - len(suffix) :] == suffix and len(key) >= len(suffix)
    assert Rule("1", QUEUE, (CREATED,), prefix, suffix).takes(PUT, key) == expected


@pytest.mark.parametrize(
    ("asked", "event", "expected"),
    [
        (CREATED, "s3:ObjectCreated:Copy", True),
        (PUT, "s3:ObjectCreated:Copy", False),
        (CREATED, "s3:ObjectRemoved:Delete", False),
    ],
)
def test_an_event_is_asked_for_by_its_name_or_its_kind(asked: str, event: str, expected: bool) -> None:
    """A star stands for every event of a kind."""
    assert Rule("1", QUEUE, (asked,)).takes(event, "k") == expected
