"""Which failures are retried, held against botocore's lists, and the arithmetic of pauses and quota."""

from __future__ import annotations

import pytest
from botocore.retries import standard
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.retry import RetryQuota, choose_pause_s, classify, read_advice_s, read_max_attempts
from sluiceway.errors import Misconfigured


def test_every_throttling_code_of_botocore_is_throttling():
    """The SDKs' list, whatever the status."""
    for code in standard.ThrottledRetryableChecker._THROTTLED_ERROR_CODES:
        assert classify(400, code) == "throttling"


def test_every_transient_code_and_status_of_botocore_is_retried():
    """The SDKs' lists."""
    for code in standard.TransientRetryableChecker._TRANSIENT_ERROR_CODES:
        assert classify(400, code) is not None
    for status in standard.TransientRetryableChecker._TRANSIENT_STATUS_CODES:
        assert classify(status, "AnyError") == "transient"


@pytest.mark.parametrize("code", ["KMSThrottling", "KMSThrottlingException", "KmsThrottled"])
def test_a_key_that_is_asked_too_often_is_a_throttle(code):
    """The SDKs hold it for final; but the same request is taken a moment later, and must not be a dead letter."""
    assert classify(400, code) == "throttling"


def test_a_write_conflict_between_regions_is_contention():
    """It is retried, and is no sign of an outage."""
    assert classify(400, "ReplicatedWriteConflictException") == "contention"
    assert choose_pause_s("contention", 2, chance=0.5, base_s=0.025, advice_s=None) == pytest.approx(0.05)


@pytest.mark.parametrize("status", [301, 400, 403, 404, 409, 412, 501])
def test_other_answers_are_final(status):
    """What is not on a list is not retried."""
    assert classify(status, "AnyError") is None


def test_pauses_double_up_to_twenty_seconds():
    """min(base * 2^i, 20), bounded before chance is applied."""
    pauses = [choose_pause_s("throttling", i, chance=1.0, base_s=0.05, advice_s=None) for i in range(7)]
    assert pauses == [1, 2, 4, 8, 16, 20, 20]
    assert choose_pause_s("transient", 2, chance=0.5, base_s=0.05, advice_s=None) == pytest.approx(0.1)
    assert choose_pause_s("throttling", 90, chance=0.5, base_s=0.05, advice_s=None) == 10


@given(st.integers(0, 99), st.floats(0, 1), st.none() | st.floats(0, 10**9))
def test_no_advice_makes_a_pause_shorter_or_endless(retries, chance, advice_s):
    """Whatever a service asks for, the pause stays within the drawn one and five seconds more."""
    drawn = choose_pause_s("transient", retries, chance=chance, base_s=0.05, advice_s=None)
    pause = choose_pause_s("transient", retries, chance=chance, base_s=0.05, advice_s=advice_s)
    assert drawn <= pause <= drawn + 5


@pytest.mark.parametrize(
    ("headers", "advice_s"),
    [
        ({}, None),
        ({"x-amz-retry-after": "700"}, 0.7),
        ({"retry-after": "2"}, 2.0),
        ({"x-amz-retry-after": "1", "retry-after": "2"}, 0.001),
        ({"x-amz-retry-after": "soon", "retry-after": "2"}, None),
        ({"retry-after": "\u00b2"}, None),
        ({"x-amz-retry-after": "1" * 10}, None),
        ({"x-amz-retry-after": "900001"}, 900.0),
        ({"retry-after": "1" * 9}, 900.0),
    ],
)
def test_a_services_advice_is_read_once(headers, advice_s):
    """Milliseconds in AWS's own header, seconds in HTTP's, AWS's first, a quarter of an hour at most; what is no number
    that makes sense is none."""
    assert read_advice_s(headers) == pytest.approx(advice_s)


@given(st.text(max_size=12) | st.integers(-5, 10**10).map(str))
def test_any_text_is_an_advice_or_none(text):
    """Whatever stands in the header."""
    advice_s = read_advice_s({"x-amz-retry-after": text})
    assert advice_s is None or 0 <= advice_s <= 900


def test_the_quota():
    """500 tokens; 14 a transient retry, 5 a throttled one, none for contention; a success returns the last one's."""
    quota = RetryQuota()
    assert [quota.spend("transient") for _ in range(36)] == [14] * 35 + [None]
    assert quota.tokens == 10
    assert [quota.spend("throttling") for _ in range(3)] == [5, 5, None]
    assert [quota.spend("contention") for _ in range(3)] == [0, 0, 0]
    quota.win_back(0)
    quota.win_back(14)
    assert quota.tokens == 15
    quota.win_back(1000)
    assert quota.tokens == 500


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "²", "1000"])
def test_max_attempts_that_are_none(text):
    """AWS_MAX_ATTEMPTS is a number greater than 0."""
    with pytest.raises(Misconfigured):
        read_max_attempts({"AWS_MAX_ATTEMPTS": text})


def test_max_attempts():
    """Unset and empty leave the service's own."""
    assert [read_max_attempts(environ) for environ in ({}, {"AWS_MAX_ATTEMPTS": ""}, {"AWS_MAX_ATTEMPTS": "7"})] == [
        None,
        None,
        7,
    ]
