"""Where a service is reached, and what describes it.

Knows names and addresses only; opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Protocol", "ServiceSpec"]

Protocol = Literal["json-1.0", "json-1.1", "rest-json", "rest"]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One AWS service, as its API model describes it.

    `endpoint_prefix` is the first label of its host name (`bedrock-runtime`) and names it in errors; `signing_name` is
    the service in the credential scope (`bedrock`); `env_name` completes `AWS_ENDPOINT_URL_` (`BEDROCK_RUNTIME`);
    `target_prefix` (JSON protocols) precedes the operation in `X-Amz-Target`. `read_timeout_s`: the longest silence
    while an answer is awaited, 60 s as in AWS SDKs; give more where a service thinks for long.
    """

    endpoint_prefix: str
    signing_name: str
    protocol: Protocol
    env_name: str
    target_prefix: str = ""
    read_timeout_s: float = 60.0
