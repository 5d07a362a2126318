"""The environment variables by which AWS's SDKs reach a local cloud, and nothing else, for the time of a test.

Whatever a developer has set for an account of AWS is out of the way meanwhile: profiles, files, endpoints of single
services. Source: https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
"""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol

__all__ = ["KEYS", "Patch", "hide_accounts", "point_at"]

KEYS: Final = ("local", "local")  # any key is a developer's own in the local cloud
_GONE: Final = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_CA_BUNDLE",
)  # fmt: skip
_OF_SERVICES: Final = "AWS_ENDPOINT_URL_"
_LOOPBACK: Final = "127.0.0.1"


class Patch(Protocol):
    """What undoes itself when the test ends: pytest's `MonkeyPatch`."""

    def setenv(self, name: str, value: str) -> None:
        """Set a variable."""
        ...

    def delenv(self, name: str, raising: bool = ...) -> None:  # noqa: FBT001 - pytest's own signature
        """Take a variable away."""
        ...

    def setattr(  # noqa: PLR0917 - pytest's own signature
        self,
        target: object,
        name: str,
        value: object,
        raising: bool = ...,  # noqa: FBT001 - the same
    ) -> None:
        """Set an attribute."""
        ...


def hide_accounts(region: str, patch: Patch) -> None:
    """Let no SDK of this process find an account: keys and Region are the local cloud's, which uses SDKs as well."""
    access_key, secret = KEYS
    variables = os.environ  # noqa: TID251 - of the process under test, for its time
    for name in (*_GONE, *(name for name in variables if name.startswith(_OF_SERVICES))):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_REGION", region)
    patch.setenv("AWS_DEFAULT_REGION", region)
    patch.setenv("AWS_ACCESS_KEY_ID", access_key)
    patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("NO_PROXY", "no_proxy"):
        patch.setenv(name, ",".join(filter(None, (variables.get(name, ""), _LOOPBACK))))


def point_at(endpoint: str, patch: Patch) -> None:
    """Let every SDK of this process reach `endpoint`, S3 too: at an address of numbers it puts buckets in paths."""
    patch.setenv("AWS_ENDPOINT_URL", endpoint)
    for module in ("boto3", "aioboto3"):
        if module in sys.modules:
            patch.setattr(sys.modules[module], "DEFAULT_SESSION", None, raising=False)  # it keeps keys and Region
