"""Clouds of a test session: each test has the application as deployed, by the cloud that served the test before."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from localcloud.testing.app import App
from localcloud.testing.hosting import CloudEnded, HostedCloud
from localcloud.testing.sessions import CloudSessions

pytestmark = pytest.mark.local
QUEUE = "Resources: {Tasks: {Type: AWS::SQS::Queue}}"
NAMED: Mapping[str, Any] = {
    "template": "",
    "parameters": [],
    "allow": [],
    "model": "scripted",
    "region": "us-east-1",
    "config_env": "",
}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with one queue, which a test may write anew."""
    path = tmp_path / "template.yaml"
    path.write_text(QUEUE)
    return path


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[CloudSessions]:
    """The clouds of one session."""
    with CloudSessions(lambda: tmp_path / "state", dict(os.environ)) as clouds:
        yield clouds


@pytest.fixture
def lend(sessions: CloudSessions, template: Path) -> Callable[[Callable[[App], Any]], Any]:
    """Run a test's body in the application of this session."""

    def run(body: Callable[[App], Any]) -> Any:
        chosen: Mapping[str, Any] = {**NAMED, "template": template, "seed": 0}
        with pytest.MonkeyPatch.context() as patch, sessions.lend(chosen, patch) as app:
            return body(app)

    return run


def test_the_next_test_finds_it_as_deployed(lend: Callable[[Callable[[App], Any]], Any]) -> None:
    """At its address, with its queue, without the message, at this machine's date."""

    def first(app: App) -> Any:
        app.client("sqs").send_message(QueueUrl=app.physical("Tasks"), MessageBody="left", DelaySeconds=900)
        before = app.clock.now()
        app.clock.advance(86_400)
        return app.physical("Tasks"), before

    def second(app: App) -> Any:
        told = app.client("sqs").get_queue_attributes(QueueUrl=app.physical("Tasks"), AttributeNames=["All"])
        counts = [told["Attributes"][f"ApproximateNumberOfMessages{kind}"] for kind in ("", "Delayed", "NotVisible")]
        return app.physical("Tasks"), counts, app.clock.now()

    url, before = lend(first)
    again, counts, now = lend(second)
    assert again == url
    assert counts == ["0", "0", "0"]
    assert (now - before).total_seconds() < 60


def test_a_template_that_was_written_anew_is_read_anew(
    lend: Callable[[Callable[[App], Any]], Any], template: Path
) -> None:
    """As when each test started a cloud of its own."""
    assert lend(lambda app: len(app.client("sqs").list_queues()["QueueUrls"])) == 1
    template.write_text("Resources: {Tasks: {Type: AWS::SQS::Queue}, More: {Type: AWS::SQS::Queue}}")
    assert lend(lambda app: len(app.client("sqs").list_queues()["QueueUrls"])) == 2


def test_who_calls_between_two_tests_reaches_neither(lend: Callable[[Callable[[App], Any]], Any]) -> None:
    """A thread that a test left behind does not write into the next one."""
    endpoint: str = lend(lambda app: app.endpoint)
    place = urlsplit(endpoint)
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        lend(lambda app: app.endpoint)
        try:
            answer = caller.recv(1)
        except ConnectionError:
            answer = b""
    assert answer == b""


def test_after_one_that_has_ended_another_is_started(
    lend: Callable[[Callable[[App], Any]], Any], sessions: CloudSessions
) -> None:
    """Whatever a test did to its cloud, the next one has a cloud."""

    def end(app: App) -> str:
        for host in vars(sessions)["_hosts"].values():
            host.stop()
        return ""

    with pytest.raises(Exception, match=r"^$"):
        lend(end)
    assert len(lend(lambda app: app.client("sqs").list_queues()["QueueUrls"])) == 1


def _sent(app: App) -> str:
    return str(app.client("sqs").send_message(QueueUrl=app.physical("Tasks"), MessageBody="x")["MessageId"])


def test_each_test_draws_the_same_ids(lend: Callable[[Callable[[App], Any]], Any], sessions: CloudSessions) -> None:
    """By the seed; but what is made after a reset has ids that never were, so that an old handle is none."""

    def with_reset(app: App) -> list[str]:
        ids = [_sent(app)]
        for host in vars(sessions)["_hosts"].values():
            host.reset()
            ids.append(_sent(app))
            host.reset()
            ids.append(_sent(app))
        return ids

    first, then, third = lend(with_reset)
    assert lend(_sent) == first
    assert len({first, then, third}) == 3


def test_a_template_that_cannot_be_made_again_ends_the_cloud(
    lend: Callable[[Callable[[App], Any]], Any], sessions: CloudSessions, template: Path
) -> None:
    """The reset says over what, and so does the next test that would need it."""
    child = template.with_name("child.yaml")
    child.write_text(QUEUE)
    template.write_text("Resources: {Child: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: child.yaml}}}")

    def lose(_: App) -> None:
        child.write_text("Resources: {Tasks: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: 901}}}")
        for host in vars(sessions)["_hosts"].values():
            with pytest.raises(Exception, match="DelaySeconds"):
                host.reset()

    with pytest.raises(CloudEnded):
        lend(lose)
    with pytest.raises(pytest.fail.Exception, match=r"template\.yaml: .*DelaySeconds"):
        lend(_sent)


def test_what_cannot_be_renewed_is_started(
    lend: Callable[[Callable[[App], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test does not pay for what went wrong in the cloud of another."""
    first: str = lend(lambda app: app.physical("Tasks"))

    def fail(_: HostedCloud) -> None:
        raise RuntimeError("as asked")

    with monkeypatch.context() as patch:
        patch.setattr(HostedCloud, "renew", fail)
        assert lend(lambda app: app.physical("Tasks")) == first
