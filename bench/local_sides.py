"""Local clouds side by side: this one, MiniStack and moto's server, each in processes of its own on a free port.

Each has the same function behind an HTTP API and behind a queue, a queue without one, and a table, as far as it can.
MiniStack is there where the variable MINISTACK_PYTHON names an interpreter that has it (`pip install ministack==1.5.33`
in a virtual environment: it pins another botocore), moto where MOTO_PYTHON names one (`pip install moto[server]`).
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from cloud import Cloud
from http_calls import Connection, write_request

MINISTACK = "MINISTACK_PYTHON"
MOTO = "MOTO_PYTHON"
READY_S = 60.0
HANDLER = """
import time


def handler(event, context):
    if "Records" in event:
        with open({times!r}, "a") as file:
            file.writelines(f"{{time.time() - float(each['body'])}}\\n" for each in event["Records"])
        return None
    return {{"statusCode": 200, "body": "{word}"}}
"""
TEMPLATE = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Hello": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "FunctionName": "hello",
                "Runtime": "python3.13",
                "Handler": "app.handler",
                "CodeUri": "src",
                "MemorySize": 256,
                "Timeout": 10,
                "Events": {
                    "Api": {"Type": "HttpApi", "Properties": {"Path": "/hello", "Method": "get"}},
                    "Queue": {
                        "Type": "SQS",
                        "Properties": {"Queue": {"Fn::GetAtt": ["Mapped", "Arn"]}, "BatchSize": 1},
                    },
                },
            },
        },
        "Mapped": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "mapped"}},
    },
}


@dataclass(frozen=True)
class Place:
    """Where a side is asked. `get_hello` asks the function through the HTTP API; `ready_s`: from process to answer."""

    aws: str
    mapped: str
    http: str
    get_hello: bytes
    ready_s: float
    pid: int


class Side(Protocol):
    """One local cloud. `names` says what is counted in its ready time."""

    label: str
    ready: str

    def start(self) -> Place: ...
    def reload(self, place: Place, word: str) -> None:
        """Let the function answer `word` from now on."""
        ...

    def stop(self) -> None: ...


def write_function(folder: Path, word: str, times: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(HANDLER.format(times=str(times), word=word))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def open_client(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}, read_timeout=READY_S),
    )


@dataclass
class Ours:
    """`sluiceway up` with the whole stack, its translation in the cache."""

    folder: Path
    times: Path
    label: str = "sluiceway"
    ready: str = "with the stack"
    _cloud: Cloud | None = None
    _written: float = 0.0

    def renew(self) -> None:
        """Make it another template, whose translation is in no cache."""
        self._written = time.time()

    def start(self) -> Place:
        write_function(self.folder / "src", "hello", self.times)
        template = self.folder / "template.json"
        template.write_text(json.dumps({**TEMPLATE, "Description": f"Written at {self._written}."}))
        begun = time.perf_counter()
        self._cloud = cloud = Cloud(self.folder, template=template)
        ready_s = time.perf_counter() - begun
        endpoints = cloud.status["endpoints"]
        aws = endpoints["aws"]
        (http,) = (url for name, url in endpoints.items() if name not in ("aws", "console") and url.startswith("http:"))
        address, _, path = http.removeprefix("http://").partition("/")
        hello = write_request(f"http://{address}", "GET", f"/{path.rstrip('/')}/hello" if path else "/hello")
        return Place(aws, f"{aws}/000000000000/mapped", f"http://{address}", hello, ready_s, int(cloud.status["pid"]))

    def reload(self, place: Place, word: str) -> None:  # noqa: ARG002 - the others'
        write_function(self.folder / "src", word, self.times)

    def stop(self) -> None:
        if self._cloud is not None:
            self._cloud.sluiceway("down")
            self._cloud = None


@dataclass
class _Server:
    """A peer's server in a process of its own; `path` answers once it is ready."""

    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def launch(self, command: list[str], environ: dict[str, str], url: str, path: str) -> float:
        begun = time.perf_counter()
        log = (self.folder / "log").open("wb")
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
        self.process = subprocess.Popen(command, env={**kept, **environ}, stdout=log, stderr=log, cwd=self.folder)
        request = write_request(url, "GET", path)
        while True:
            try:
                with Connection(url) as connection:
                    connection.ask(request)
                    return time.perf_counter() - begun
            except OSError:
                if time.perf_counter() - begun > READY_S or self.process.poll() is not None:
                    raise SystemExit(f"no answer of {command[0]}: {(self.folder / 'log').read_text()}") from None
                time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(READY_S)
            self.process = None


@dataclass
class MiniStack(_Server):
    """MiniStack, empty when ready; functions run in processes of its own interpreter."""

    python: str = ""
    times: Path = Path()
    label: str = "MiniStack"
    ready: str = "empty"

    def start(self) -> Place:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environ = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "ERROR",
            "LAMBDA_EXECUTOR": "local",
        }
        ready_s = self.launch([self.python, "-m", "ministack"], environ, url, "/_ministack/health")
        assert self.process is not None
        function = open_client("lambda", url).create_function(
            FunctionName="hello",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/role",
            Handler="app.handler",
            MemorySize=256,
            Timeout=10,
            Code={"ZipFile": self._zip("hello")},
        )["FunctionArn"]
        api = _create_api(open_client("apigatewayv2", url), function)
        queue = open_client("sqs", url).create_queue(QueueName="mapped")["QueueUrl"]
        open_client("lambda", url).create_event_source_mapping(
            FunctionName="hello", EventSourceArn="arn:aws:sqs:us-east-1:000000000000:mapped", BatchSize=1
        )
        host = {"host": f"{api}.execute-api.localhost:{port}"}
        return Place(url, queue, url, write_request(url, "GET", "/hello", headers=host), ready_s, self.process.pid)

    def reload(self, place: Place, word: str) -> None:
        open_client("lambda", place.aws).update_function_code(FunctionName="hello", ZipFile=self._zip(word))

    def _zip(self, word: str) -> bytes:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("app.py", HANDLER.format(times=str(self.times), word=word))
        return archive.getvalue()


def _create_api(client: Any, function: str) -> str:
    api = client.create_api(Name="api", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function, PayloadFormatVersion="2.0"
    )["IntegrationId"]
    client.create_route(ApiId=api, RouteKey="GET /hello", Target=f"integrations/{integration}")
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return str(api)


@dataclass
class Moto(_Server):
    """moto's server, empty when ready. Its functions need Docker: there are none here."""

    python: str = ""
    label: str = "moto"
    ready: str = "empty"

    def start(self) -> Place:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [self.python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        ready_s = self.launch(command, {}, url, "/moto-api/")
        assert self.process is not None
        return Place(url, "", "", b"", ready_s, self.process.pid)

    def reload(self, place: Place, word: str) -> None:
        raise NotImplementedError
