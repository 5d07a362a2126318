"""Which operation of the Lambda API a request is for, and what IAM asks about it.

Owns every route of the API, also of what is not served, which is refused by its name. Event source mappings have their
own (see `mappings`). Sources: https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html,
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote

from localcloud.services.contract import WireRequest

__all__ = ["Call", "find_call"]

_FUNCTION: Final = "/functions/{FunctionName}"
_LAYER: Final = "/2018-10-31/layers/{LayerName}/versions"
_TABLE: Final = (
    ("Invoke", "POST", f"/2015-03-31{_FUNCTION}/invocations"),
    ("InvokeWithResponseStream", "POST", f"/2021-11-15{_FUNCTION}/response-streaming-invocations"),
    ("GetFunction", "GET", f"/2015-03-31{_FUNCTION}"),
    ("GetFunctionConfiguration", "GET", f"/2015-03-31{_FUNCTION}/configuration"),
    ("ListFunctions", "GET", "/2015-03-31/functions"),
    ("CreateFunction", "POST", "/2015-03-31/functions"),
    ("DeleteFunction", "DELETE", f"/2015-03-31{_FUNCTION}"),
    ("UpdateFunctionConfiguration", "PUT", f"/2015-03-31{_FUNCTION}/configuration"),
    ("UpdateFunctionCode", "PUT", f"/2015-03-31{_FUNCTION}/code"),
    ("PublishVersion", "POST", f"/2015-03-31{_FUNCTION}/versions"),
    ("ListVersionsByFunction", "GET", f"/2015-03-31{_FUNCTION}/versions"),
    ("CreateAlias", "POST", f"/2015-03-31{_FUNCTION}/aliases"),
    ("ListAliases", "GET", f"/2015-03-31{_FUNCTION}/aliases"),
    ("GetAlias", "GET", f"/2015-03-31{_FUNCTION}/aliases/{{Name}}"),
    ("UpdateAlias", "PUT", f"/2015-03-31{_FUNCTION}/aliases/{{Name}}"),
    ("DeleteAlias", "DELETE", f"/2015-03-31{_FUNCTION}/aliases/{{Name}}"),
    ("AddPermission", "POST", f"/2015-03-31{_FUNCTION}/policy"),
    ("GetPolicy", "GET", f"/2015-03-31{_FUNCTION}/policy"),
    ("RemovePermission", "DELETE", f"/2015-03-31{_FUNCTION}/policy/{{StatementId}}"),
    ("PutFunctionConcurrency", "PUT", f"/2017-10-31{_FUNCTION}/concurrency"),
    ("DeleteFunctionConcurrency", "DELETE", f"/2017-10-31{_FUNCTION}/concurrency"),
    ("GetFunctionConcurrency", "GET", f"/2019-09-30{_FUNCTION}/concurrency"),
    ("PutProvisionedConcurrencyConfig", "PUT", f"/2019-09-30{_FUNCTION}/provisioned-concurrency"),
    ("GetProvisionedConcurrencyConfig", "GET", f"/2019-09-30{_FUNCTION}/provisioned-concurrency"),
    ("DeleteProvisionedConcurrencyConfig", "DELETE", f"/2019-09-30{_FUNCTION}/provisioned-concurrency"),
    ("PutFunctionEventInvokeConfig", "PUT", f"/2019-09-25{_FUNCTION}/event-invoke-config"),
    ("UpdateFunctionEventInvokeConfig", "POST", f"/2019-09-25{_FUNCTION}/event-invoke-config"),
    ("GetFunctionEventInvokeConfig", "GET", f"/2019-09-25{_FUNCTION}/event-invoke-config"),
    ("DeleteFunctionEventInvokeConfig", "DELETE", f"/2019-09-25{_FUNCTION}/event-invoke-config"),
    ("ListFunctionEventInvokeConfigs", "GET", f"/2019-09-25{_FUNCTION}/event-invoke-config/list"),
    ("GetFunctionUrlConfig", "GET", f"/2021-10-31{_FUNCTION}/url"),
    ("ListFunctionUrlConfigs", "GET", f"/2021-10-31{_FUNCTION}/urls"),
    ("CreateFunctionUrlConfig", "POST", f"/2021-10-31{_FUNCTION}/url"),
    ("UpdateFunctionUrlConfig", "PUT", f"/2021-10-31{_FUNCTION}/url"),
    ("DeleteFunctionUrlConfig", "DELETE", f"/2021-10-31{_FUNCTION}/url"),
    ("ListTags", "GET", "/2017-03-31/tags/{Resource}"),
    ("TagResource", "POST", "/2017-03-31/tags/{Resource}"),
    ("UntagResource", "DELETE", "/2017-03-31/tags/{Resource}"),
    ("GetAccountSettings", "GET", "/2016-08-19/account-settings"),
    ("ListLayers", "GET", "/2018-10-31/layers"),
    ("ListLayerVersions", "GET", _LAYER),
    ("PublishLayerVersion", "POST", _LAYER),
    ("GetLayerVersion", "GET", f"{_LAYER}/{{VersionNumber}}"),
    ("DeleteLayerVersion", "DELETE", f"{_LAYER}/{{VersionNumber}}"),
    ("AddLayerVersionPermission", "POST", f"{_LAYER}/{{VersionNumber}}/policy"),
    ("GetLayerVersionPolicy", "GET", f"{_LAYER}/{{VersionNumber}}/policy"),
    ("RemoveLayerVersionPermission", "DELETE", f"{_LAYER}/{{VersionNumber}}/policy/{{StatementId}}"),
    ("InvokeAsync", "POST", f"/2014-11-13{_FUNCTION}/invoke-async"),
    ("CreateCodeSigningConfig", "POST", "/2020-04-22/code-signing-configs"),
    ("ListCodeSigningConfigs", "GET", "/2020-04-22/code-signing-configs"),
    ("GetCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{Arn}"),
    ("UpdateCodeSigningConfig", "PUT", "/2020-04-22/code-signing-configs/{Arn}"),
    ("DeleteCodeSigningConfig", "DELETE", "/2020-04-22/code-signing-configs/{Arn}"),
    ("ListFunctionsByCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{Arn}/functions"),
    ("GetFunctionCodeSigningConfig", "GET", f"/2020-06-30{_FUNCTION}/code-signing-config"),
    ("PutFunctionCodeSigningConfig", "PUT", f"/2020-06-30{_FUNCTION}/code-signing-config"),
    ("DeleteFunctionCodeSigningConfig", "DELETE", f"/2020-06-30{_FUNCTION}/code-signing-config"),
    ("GetFunctionRecursionConfig", "GET", f"/2024-08-31{_FUNCTION}/recursion-config"),
    ("PutFunctionRecursionConfig", "PUT", f"/2024-08-31{_FUNCTION}/recursion-config"),
    ("GetRuntimeManagementConfig", "GET", f"/2021-07-20{_FUNCTION}/runtime-management-config"),
    ("PutRuntimeManagementConfig", "PUT", f"/2021-07-20{_FUNCTION}/runtime-management-config"),
)
_QUERIED: Final = {
    ("GetProvisionedConcurrencyConfig", "List"): "ListProvisionedConcurrencyConfigs",
    ("ListLayers", "find"): "GetLayerVersionByArn",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `operation` "" where there is none; `parts` are the path's, unquoted; `query` has every value."""

    operation: str
    request: WireRequest
    parts: Mapping[str, str]
    query: Mapping[str, list[str]]

    @property
    def function(self) -> str:
        """FunctionName as the caller wrote it, "" where the path has none."""
        return self.parts.get("FunctionName", "")

    def text(self, name: str) -> str:
        """One value of the query, "" where it is not there."""
        return self.query.get(name, [""])[0]

    @property
    def qualifier(self) -> str:
        """Qualifier, "" where there is none."""
        return self.text("Qualifier")


def find_call(request: WireRequest) -> Call:
    """The operation that a request is for."""
    query = parse_qs(request.query, keep_blank_values=True)
    for operation, method, route in _ROUTES:
        found = route.fullmatch(request.path) if method == request.method else None
        if found is not None:
            parts = {name: unquote(value) for name, value in found.groupdict().items()}
            named = (_QUERIED[key] for key in _QUERIED if key[0] == operation and key[1] in query)
            return Call(next(named, operation), request, parts, query)
    return Call("", request, {}, query)


def _compile(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")


_ROUTES: Final = tuple((operation, method, _compile(path)) for operation, method, path in _TABLE)
