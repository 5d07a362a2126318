"""What HTTP and WebSocket APIs have in common: who they are, copies that deployments keep, throttles.

Source: https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from localcloud.template.properties import Properties

__all__ = ["Deployments", "Throttle", "V2Api"]


@dataclass
class V2Api:
    """An API of API Gateway's version 2, wherever it is."""

    id: str
    name: str
    region: str
    account_id: str
    partition: str

    @property
    def domain_name(self) -> str:
        """The host name the API has on AWS."""
        suffix = ".cn" if self.region.startswith("cn-") else ""
        return f"{self.id}.execute-api.{self.region}.amazonaws.com{suffix}"

    def arn(self, rest: str) -> str:
        """The ARN that permissions and policies name, ending in `rest` (`v1/GET/pets`, `authorizers/abc`)."""
        return f"arn:{self.partition}:execute-api:{self.region}:{self.account_id}:{self.id}/{rest}"


@dataclass(frozen=True, slots=True)
class Throttle:
    """Requests or messages a second, and at once; route key "" for every route that has none of its own."""

    route_key: str
    rate: float
    burst: float


class _Deployable(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def routes(self) -> Mapping[str, object]: ...

    def snapshot(self) -> Self: ...

    def without_routes(self) -> Self: ...


Api = TypeVar("Api", bound=_Deployable)


class Deployments(Generic[Api]):
    """The copies of APIs that deployments made."""

    def __init__(self) -> None:
        self._kept: dict[str, Api] = {}

    def keep(self, deployment_id: str, api: Api, read: Properties) -> Api:
        """Keep the API as it is now. Raises TemplateError where it has no route."""
        if not api.routes:
            raise read.error("ApiId", "at least one route is required before deploying the API (DependsOn the routes)")
        kept = self._kept[deployment_id] = api.snapshot()
        return kept

    def drop(self, deployment_id: str) -> None:
        """Forget one; nothing happens where there is none."""
        self._kept.pop(deployment_id, None)

    def shown_by(self, read: Properties, api: Api) -> Callable[[], Api]:
        """What a stage of `api` serves: the API as it is, a deployment's copy, or nothing yet. Raises TemplateError."""
        if read.flag("AutoDeploy", default=False):
            return lambda: api
        if "DeploymentId" not in read:
            empty = api.without_routes()  # as on AWS: a stage that nothing was deployed to
            return lambda: empty
        deployment = self._kept.get(read.text("DeploymentId"))
        if deployment is None or deployment.id != api.id:
            raise read.error("DeploymentId", f"{read.text('DeploymentId')!r} is no deployment of the API")
        return lambda: deployment
