"""The applications of tests/corpus: up, asked as their users ask them, and down with nothing left behind."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.local.conftest import RunningCloud, start_cloud

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@dataclass(frozen=True)
class Reply:
    """What came back; headers in lower case, of several with one name the last."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Application:
    """A stack that is up; `outputs` are its template's."""

    endpoint: str
    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        """boto3, as a developer has it."""
        sdk: Any = boto3
        settings = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False)
        return sdk.client(service, endpoint_url=self.endpoint, config=settings, **KEYS)

    def ask(self, method: str, url: str, body: Any = None, **headers: str) -> Reply:
        """One request to an address of the application; `body` as JSON, `headers` in snake case."""
        connection, target = self.connect(url)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, target, None if body is None else json.dumps(body).encode(), sent)
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def connect(self, url: str) -> tuple[http.client.HTTPConnection, str]:
        """A connection for `url`, and what to ask it for."""
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return http.client.HTTPConnection(parts.netloc, timeout=60), target

    def invoke(self, name: str, event: Any = None) -> Any:
        """What the function of an output returned; fails where it did not."""
        answer = self.client("lambda").invoke(FunctionName=self.outputs[name], Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload

    def receive(self, name: str) -> str:
        """The body of the next message of a queue, waited for and taken."""
        sqs, url = self.client("sqs"), self.outputs[name]
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [None])
        assert message is not None, f"nothing came to {name}"
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return message["Body"]

    def received(self, name: str, count: int) -> Iterator[Any]:
        """The next `count` messages, as JSON."""
        for _ in range(count):
            yield json.loads(self.receive(name))

    def waiting(self, name: str) -> int:
        """How many messages a queue holds."""
        asked = self.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs[name], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])


@contextmanager
def application(name: str, folder: Path) -> Generator[Application]:
    """The application `name` of the corpus, unchanged: up, and down with nothing left. `folder` is for its state."""
    cloud = start_cloud(folder / "state", "--template", str(CORPUS / name / "template.yaml"))
    status = cloud.status
    try:
        yield Application(status["endpoints"]["aws"], status["outputs"])
    except BaseException:
        print((cloud.state / "up.log").read_text())  # pytest shows it with the failure
        cloud.sluiceway("down", check=False)
        raise
    functions = {name: cloud.processes(name) for name in status["functions"].values()}
    assert cloud.sluiceway("down").returncode == 0
    behind = left(cloud, status, functions)
    assert behind == [], behind  # this module's assertions are not rewritten


def left(cloud: RunningCloud, status: dict[str, Any], functions: dict[str, list[int]]) -> list[str]:
    """What a cloud that is down has left of itself: processes, ports that answer, and a state that says it runs."""
    pids = {status["pid"]: "the cloud"} | {pid: name for name, found in functions.items() for pid in found}
    found = [f"process {pid}: {name}" for pid, name in pids.items() if is_alive(pid)]
    for address in set(map(urlsplit, status["endpoints"].values())):
        kind = socket.SOCK_DGRAM if address.scheme == "dns" else socket.SOCK_STREAM
        if address.port is not None and not is_free(address.port, kind):
            found.append(f"port {address.port}")
    if (cloud.state / "state.json").exists() or cloud.sluiceway("status", check=False).returncode == 0:
        found.append("state")
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to ask after it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_free(port: int, kind: socket.SocketKind) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
