"""The environment variables of a function's process: Lambda's and the function's own, nothing of this machine's.

Differences from Lambda, all forced: paths are this machine's (/var/task, /opt, /var/runtime), AWS_ENDPOINT_URL leads
the SDKs to the local cloud, whose address takes no prefixes such as `sync-`; its certificate is trusted where it has
one; and HOME is a folder of the environment's own, so that no SDK reads the developer's ~/.aws.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html (defined runtime environment variables)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from localcloud.compute.function import FunctionSpec, LogFormat
from localcloud.compute.runtimes import ManagedRuntime

__all__ = ["RESERVED_VARIABLES", "Credentials", "CredentialsSource", "Sandbox", "build_variables", "import_path"]

RESERVED_VARIABLES: Final = frozenset({
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
})  # fmt: skip
"""Lambda refuses a function that sets one of these."""


_ROOTS: Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Where the AWS SDKs, requests and OpenSSL (so `ssl`, urllib and urllib3) look for certificates that they trust."""


class Credentials(Protocol):
    """Temporary keys of a function's role."""

    @property
    def access_key(self) -> str:
        """The key's id."""
        ...

    @property
    def secret_key(self) -> str:
        """The secret."""
        ...

    @property
    def session_token(self) -> str:
        """What a temporary key needs besides."""
        ...


class CredentialsSource(Protocol):
    """Where the keys of a function's role come from."""

    def __call__(self, role_arn: str, *, function_name: str) -> Credentials:
        """Keys for one execution environment of `function_name`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What differs from one environment of a function to the next. `home` is its own scratch folder.

    `roots`: the certificates that it trusts, None for this machine's. `prepare`: what changes the whole environment in
    the end, for a debugger.
    """

    runtime_api: str
    log_stream: str
    credentials: Credentials
    endpoint_url: str
    home: Path
    roots: Path | None = None
    prepare: Callable[[Mapping[str, str]], dict[str, str]] | None = None


def import_path(spec: FunctionSpec, runtime: ManagedRuntime) -> tuple[Path, ...]:
    """What comes first on sys.path: the task root, its dependencies, then the layers; a later layer hides an earlier.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html (layer paths) and the merge order of layers.
    """
    packages = Path("python") / "lib" / runtime.interpreter.name / "site-packages"
    layers = [path for root in reversed(spec.layer_dirs) for path in (root / packages, root / "python")]
    return (spec.code_dir, *spec.dependency_dirs, *layers)


def build_variables(spec: FunctionSpec, runtime: ManagedRuntime, sandbox: Sandbox) -> dict[str, str]:
    """The whole environment of the process; the function's own variables win where Lambda allows them."""
    layers = [*reversed(spec.layer_dirs)]
    libraries = [spec.code_dir, spec.code_dir / "lib", *(root / "lib" for root in layers)]
    folders = [runtime.python.parent, "/usr/local/bin", "/usr/bin", "/bin", *(root / "bin" for root in layers)]
    changeable = {
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_ENDPOINT_URL": sandbox.endpoint_url,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",  # nobody listens: segments are not kept here
        "HOME": str(sandbox.home),
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PATH": os.pathsep.join(map(str, folders)),
        "PWD": str(spec.code_dir),
        "PYTHONPATH": str(runtime.runtime_dir),
        "TZ": ":UTC",
    }
    if sandbox.roots is not None:
        changeable |= dict.fromkeys(_ROOTS, str(sandbox.roots))
    variables = {**changeable, **spec.environment, **_reserved(spec, runtime, sandbox)}
    return variables if sandbox.prepare is None else sandbox.prepare(variables)


def _reserved(spec: FunctionSpec, runtime: ManagedRuntime, sandbox: Sandbox) -> Mapping[str, str]:
    reserved = {
        "_HANDLER": spec.handler,
        "AWS_ACCESS_KEY_ID": sandbox.credentials.access_key,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": spec.initialization_type,
        "AWS_LAMBDA_LOG_FORMAT": spec.log_format.value,
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.group,
        "AWS_LAMBDA_LOG_STREAM_NAME": sandbox.log_stream,
        "AWS_LAMBDA_RUNTIME_API": sandbox.runtime_api,
        "AWS_REGION": spec.region,
        "AWS_SECRET_ACCESS_KEY": sandbox.credentials.secret_key,
        "AWS_SESSION_TOKEN": sandbox.credentials.session_token,
        "LAMBDA_RUNTIME_DIR": str(runtime.runtime_dir),
        "LAMBDA_TASK_ROOT": str(spec.code_dir),
    }
    if spec.log_level and spec.log_format is LogFormat.JSON:
        reserved["AWS_LAMBDA_LOG_LEVEL"] = spec.log_level
    return reserved
