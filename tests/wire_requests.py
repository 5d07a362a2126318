"""Requests of AWS's JSON protocols as a client signs them, for services that are asked in place."""

from __future__ import annotations

import json

from localcloud.services.contract import WireRequest


def json_request(service: str, target: str, members: object, *, region: str, version: str = "1.1") -> WireRequest:
    """A call by the access key AK. `target` is X-Amz-Target, `version` the protocol's."""
    body = json.dumps(members).encode()
    headers = {
        "authorization": f"AWS4-HMAC-SHA256 Credential=AK/20260101/{region}/{service}/aws4_request, Signature=x",
        "content-length": str(len(body)),
        "content-type": f"application/x-amz-json-{version}",
        "host": f"{service}.{region}.amazonaws.com",
        "x-amz-target": target,
    }
    return WireRequest(service, region, "POST", "/", "", headers, body, "AK", "r")
