"""The operations of AppSync that are not served: those of GraphQL APIs and of custom domain names, by their paths.

Source: the service model 2017-07-25.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["find_unserved"]

_PATHS: Final[Mapping[str, Mapping[str, str]]] = {
    "/v1/apis": {"GET": "ListGraphqlApis", "POST": "CreateGraphqlApi"},
    "/v1/apis/*": {"DELETE": "DeleteGraphqlApi", "GET": "GetGraphqlApi", "POST": "UpdateGraphqlApi"},
    "/v1/apis/*/ApiCaches": {"DELETE": "DeleteApiCache", "GET": "GetApiCache", "POST": "CreateApiCache"},
    "/v1/apis/*/ApiCaches/update": {"POST": "UpdateApiCache"},
    "/v1/apis/*/FlushCache": {"DELETE": "FlushApiCache"},
    "/v1/apis/*/environmentVariables": {
        "GET": "GetGraphqlApiEnvironmentVariables",
        "PUT": "PutGraphqlApiEnvironmentVariables",
    },
    "/v1/apis/*/functions": {"GET": "ListFunctions", "POST": "CreateFunction"},
    "/v1/apis/*/functions/*": {"DELETE": "DeleteFunction", "GET": "GetFunction", "POST": "UpdateFunction"},
    "/v1/apis/*/functions/*/resolvers": {"GET": "ListResolversByFunction"},
    "/v1/apis/*/schema": {"GET": "GetIntrospectionSchema"},
    "/v1/apis/*/schemacreation": {"GET": "GetSchemaCreationStatus", "POST": "StartSchemaCreation"},
    "/v1/apis/*/sourceApiAssociations": {"GET": "ListSourceApiAssociations"},
    "/v1/apis/*/types": {"GET": "ListTypes", "POST": "CreateType"},
    "/v1/apis/*/types/*": {"DELETE": "DeleteType", "GET": "GetType", "POST": "UpdateType"},
    "/v1/apis/*/types/*/resolvers": {"GET": "ListResolvers", "POST": "CreateResolver"},
    "/v1/apis/*/types/*/resolvers/*": {"DELETE": "DeleteResolver", "GET": "GetResolver", "POST": "UpdateResolver"},
    "/v1/dataplane-evaluatecode": {"POST": "EvaluateCode"},
    "/v1/dataplane-evaluatetemplate": {"POST": "EvaluateMappingTemplate"},
    "/v1/datasources/introspections": {"POST": "StartDataSourceIntrospection"},
    "/v1/datasources/introspections/*": {"GET": "GetDataSourceIntrospection"},
    "/v1/domainnames": {"GET": "ListDomainNames", "POST": "CreateDomainName"},
    "/v1/domainnames/*": {"DELETE": "DeleteDomainName", "GET": "GetDomainName", "POST": "UpdateDomainName"},
    "/v1/domainnames/*/apiassociation": {
        "DELETE": "DisassociateApi",
        "GET": "GetApiAssociation",
        "POST": "AssociateApi",
    },
    "/v1/mergedApis/*/sourceApiAssociations": {"POST": "AssociateSourceGraphqlApi"},
    "/v1/mergedApis/*/sourceApiAssociations/*": {
        "DELETE": "DisassociateSourceGraphqlApi",
        "GET": "GetSourceApiAssociation",
        "POST": "UpdateSourceApiAssociation",
    },
    "/v1/mergedApis/*/sourceApiAssociations/*/merge": {"POST": "StartSchemaMerge"},
    "/v1/mergedApis/*/sourceApiAssociations/*/types": {"GET": "ListTypesByAssociation"},
    "/v1/sourceApis/*/mergedApiAssociations": {"POST": "AssociateMergedGraphqlApi"},
    "/v1/sourceApis/*/mergedApiAssociations/*": {"DELETE": "DisassociateMergedGraphqlApi"},
}
_ROUTES: Final = tuple((re.compile(path.replace("*", "[^/]+")), names) for path, names in _PATHS.items())


def find_unserved(method: str, path: str) -> str:
    """The name of an operation of AppSync's that is not served, "" where the request is none."""
    for route, names in _ROUTES:
        if route.fullmatch(path) is not None and method in names:
            return names[method]
    return ""
