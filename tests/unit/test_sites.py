"""Which requests a browser sent for another site."""

from __future__ import annotations

import pytest

from localcloud.sites import is_from_elsewhere, is_from_page

HERE = {"host": "127.0.0.1:4600"}
OURS = [
    {},
    HERE,
    {"host": "[::1]:4600"},
    {"host": "localhost:4600"},
    {"host": "results.localhost:4600"},
    {"host": "results.s3.eu-central-1.amazonaws.com"},
    {"host": "queue.amazonaws.com.cn"},
    {"host": "host.docker.internal:4600"},
    {"host": "sluiceway:4600"},
    {"host": "10.0.0.7:4600"},
    {**HERE, "origin": "http://127.0.0.1:4603"},
    {**HERE, "origin": "http://localhost:3000", "sec-fetch-site": "cross-site"},
    {**HERE, "origin": "http://[::1]:3000"},
    {**HERE, "referer": "http://app.localhost:3000/page", "sec-fetch-site": "cross-site"},
    {**HERE, "sec-fetch-site": "none"},
    {**HERE, "sec-fetch-site": "same-site"},
]
ELSEWHERE = [
    {"host": "evil.example:4600"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "evil.example."},
    {"host": "a@127.0.0.1"},
    {"host": "[::1"},
    {**HERE, "origin": "https://evil.example"},
    {**HERE, "origin": "null"},
    {**HERE, "origin": "http://127.0.0.1.evil.example"},
    {**HERE, "origin": "http://localhost@evil.example"},
    {**HERE, "origin": "http://10.0.0.7"},
    {**HERE, "origin": "http://[::1"},
    {**HERE, "referer": "https://evil.example/page"},
    {**HERE, "sec-fetch-site": "cross-site"},
]


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_what_comes_from_this_machine_is_answered(headers: dict[str, str]) -> None:
    """Tools send no such headers, and pages served from this machine may call."""
    assert not is_from_elsewhere(headers)


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_a_page_of_this_machine_is_a_page(headers: dict[str, str]) -> None:
    """A tool names no origin, no referer and no site that it fetches from; a browser does, also for a local page."""
    assert is_from_page(headers) == any(name != "host" for name in headers)


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_what_another_sites_page_sends_is_not(headers: dict[str, str]) -> None:
    """Neither a page of another site, nor a page under a name that its owner lets lead to 127.0.0.1."""
    assert is_from_elsewhere(headers)
    assert is_from_page(headers)
