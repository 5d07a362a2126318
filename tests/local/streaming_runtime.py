"""Functions that speak the streaming Runtime API themselves, with the standard library alone.

`SOURCE` is a module whose import never ends: it asks for events and hands each to `answer(event, response)`, which the
test appends. `FOLLOW` keeps the handler's side of a test in step with the client's: a file that the test makes.
"""

from __future__ import annotations

import textwrap
from typing import Any

from tests.local.compute_world import World

SOURCE = '''
import base64, http.client, json, os, pathlib, time

class Response:
    """One streamed response: `start`, `write` as often as wanted, `end`; or `reply` for a buffered one."""

    def __init__(self, api, request_id):
        self.path = f"/2018-06-01/runtime/invocation/{request_id}/response"
        self.connection = http.client.HTTPConnection(api)
        self.written = 0

    def start(self, content_type="text/plain"):
        self.connection.putrequest("POST", self.path)
        self.connection.putheader("Content-Type", content_type)
        self.connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
        self.connection.putheader("Transfer-Encoding", "chunked")
        self.connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Type")
        self.connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Body")
        self.connection.endheaders()
        return self

    def http(self, **prelude):
        self.start("application/vnd.awslambda.http-integration-response")
        return self.write(json.dumps(prelude).encode() + bytes(8))

    def write(self, data):
        self.connection.send(b"%x\\r\\n%b\\r\\n" % (len(data), data))
        self.written += len(data)
        return self

    def end(self, error_type="", error=None):
        trailers = ""
        if error_type:
            body = base64.b64encode(json.dumps(error).encode()).decode()
            trailers = f"Lambda-Runtime-Function-Error-Type: {error_type}\\r\\n"
            trailers += f"Lambda-Runtime-Function-Error-Body: {body}\\r\\n"
        self.connection.send(f"0\\r\\n{trailers}\\r\\n".encode())
        return self.status()

    def reply(self, value, content_type="application/json"):
        self.connection.request("POST", self.path, json.dumps(value), {"Content-Type": content_type})
        return self.status()

    def fail(self, **error):
        path = self.path.removesuffix("response") + "error"
        headers = {"Lambda-Runtime-Function-Error-Type": error["errorType"]}
        self.connection.request("POST", path, json.dumps(error), headers)
        return self.status()

    def status(self):
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

def wait_for(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.005)

def serve(answer):
    api = os.environ["AWS_LAMBDA_RUNTIME_API"]
    asking = http.client.HTTPConnection(api)
    while True:
        asking.request("GET", "/2018-06-01/runtime/invocation/next")
        event = asking.getresponse()
        answer(json.loads(event.read()), Response(api, event.headers["Lambda-Runtime-Aws-Request-Id"]))
'''


def stream_source(answer: str) -> str:
    """The module of a function whose `answer(event, response)` has the body `answer`."""
    body = textwrap.indent(textwrap.dedent(answer).strip(), "    ")
    return f"{SOURCE}\ndef answer(event, response):\n{body}\n\nserve(answer)\n"


def add_streaming(world: World, answer: str, **changes: Any) -> None:
    """A function in `world` that answers so."""
    world.add(stream_source(answer), **changes)
