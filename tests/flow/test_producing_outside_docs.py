"""The examples of docs/producing.md for processes outside AWS run as they stand, against the local cloud."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sluiceway.aws import assume_role, session_credentials
from tests.producing_cloud import STREAM, serve_kinesis
from tests.unit.wire_server import environ

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "producing.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## Outside AWS\n")[2].partition("\n## ")[0]
BY_ROLE, BY_PROGRAM = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
FIRST = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0]
ROLE = "arn:aws:iam::123456789012:role/producers"
KEYS = environ()
SESSION = {
    "AccessKeyId": "ASIAQHJYEXAMPLEKLEA1",
    "SecretAccessKey": KEYS["AWS_SECRET_ACCESS_KEY"],
    "SessionToken": "tok",
    "Expiration": "2100-01-01T00:00:00Z",
}


@contextmanager
def serve_sts() -> Generator[tuple[str, list[str]]]:
    """The address of an STS that gives `SESSION` to everybody, and the forms that came."""
    forms: list[str] = []
    members = "".join(f"<{name}>{value}</{name}>" for name, value in SESSION.items())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            forms.append(self.rfile.read(int(self.headers["content-length"])).decode())
            body = f"<R><Credentials>{members}</Credentials></R>".encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", forms
        server.shutdown()
        thread.join()


def run(code: str, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Run an example with these settings."""
    for name, value in {**KEYS, "STREAM": STREAM, "PRODUCER_ROLE": ROLE, **settings}.items():
        monkeypatch.setenv(name, value)
    exec(compile(code, "docs/producing.md", "exec", dont_inherit=True), {"__name__": "example"})


def test_the_producer_with_a_role(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It stores its record with a session of the role."""
    with serve_kinesis() as address, serve_sts() as (sts, forms):
        run(BY_ROLE, monkeypatch, AWS_ENDPOINT_URL=address, AWS_ENDPOINT_URL_STS=sts)
    assert capsys.readouterr().out.startswith("stored in shardId-")
    assert ["Action=AssumeRole&" in form and "ExternalId=partner-7" in form for form in forms] == [True]


def test_the_first_producer_with_a_web_identity(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The variables of the table are enough."""
    token = tmp_path / "token"
    token.write_text("header.claims.signature")
    variables = {"AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    assert all(f"`{name}`" in SECTION for name in variables)
    with serve_kinesis() as address, serve_sts() as (sts, forms):
        run(FIRST, monkeypatch, AWS_ENDPOINT_URL=address, AWS_ENDPOINT_URL_STS=sts, **variables)
    assert capsys.readouterr().out.splitlines()[-1] == "stored 1000"
    assert ["WebIdentityToken=header.claims.signature" in form for form in forms] == [True]


def test_the_producer_with_a_certificate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The tool gets the arguments that it asks for, and the producer what it prints."""
    tool, asked = tmp_path / "helper", tmp_path / "asked"
    printed = json.dumps({"Version": 1, **SESSION})
    tool.write_text(f"#!/bin/sh\necho \"$*\" >> {asked}\necho '{printed}'\n")
    tool.chmod(0o755)
    settings = {"SIGNING_HELPER": str(tool), "TRUST_ANCHOR": "anchor", "ANYWHERE_PROFILE": "profile"}
    with serve_kinesis() as address:
        run(BY_PROGRAM, monkeypatch, AWS_ENDPOINT_URL=address, AWS_ACCESS_KEY_ID="", **settings)
    assert capsys.readouterr().out.startswith("stored in shardId-")
    assert asked.read_text() == (
        "credential-process --certificate /etc/producer/cert.pem --private-key /etc/producer/key.pem"
        f" --trust-anchor-arn anchor --profile-arn profile --role-arn {ROLE}\n"
    )


def test_numbers_are_those_of_the_code() -> None:
    """Limits and times that the section spells out."""
    words = re.sub(r"\s+", " ", SECTION)
    said = [
        f"{assume_role.MIN_DURATION_S} to {assume_role.MAX_DURATION_S:,}, default 3,600",
        f"up to {assume_role.MAX_TAGS} session tags",
        f"keys of {assume_role.MAX_TAG_KEY} and values of {assume_role.MAX_TAG_VALUE} characters",
        f"{session_credentials.ADVISORY_S / 60:g} minutes, or a third",
        f"From {session_credentials.MANDATORY_S / 60:g} minutes before the end",
        f"waits for it {session_credentials.EARLY_LIMIT_S:g} s at most",
        f"has {session_credentials.LIMIT_S:g} s ({session_credentials.EARLY_LIMIT_S:g} s while",
        f"a try every {session_credentials.AGAIN_S:g} s",
    ]
    assert [each for each in said if each not in words] == []
    shares = (session_credentials.ADVISORY_SHARE, session_credentials.MANDATORY_SHARE, session_credentials.JITTER)
    assert shares == (1 / 3, 1 / 6, 1 / 5)
