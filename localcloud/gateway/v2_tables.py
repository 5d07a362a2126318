"""What is served of `AWS::ApiGatewayV2::*`, property by property: the ledger's tables.

One table a type stands for both protocols. What one of them lacks is told when the resource is made, for only then is
it known which API it belongs to.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcloud.gateway.websocket.selection import DEFAULT
from localcloud.template.handler import Support, Supported

__all__ = ["TABLES"]

_SERVED: Final = Supported()
_NO_LOGS: Final = Supported(Support.PARTIAL, "no execution log is written; access logs are")
_DETAILS: Final = "routes of WebSocket APIs have no metrics of their own here; those of HTTP APIs have"
_NO_MODELS: Final = Supported(Support.REFUSED, "models are not served here")
_NO_CONVERSION: Final = Supported(Support.REFUSED, "content is not converted here")
_NO_ROLE: Final = Supported(Support.REFUSED, "give the function an AWS::Lambda::Permission instead of a role")
_NO_MAPPING: Final = Supported(Support.REFUSED, "parameters of answers are not mapped here")

TABLES: Final[Mapping[str, Mapping[str, Supported]]] = {
    "Api": {
        "ApiKeySelectionExpression": Supported(Support.REFUSED, "API keys are not served here"),
        "BasePath": Supported(Support.REFUSED, "a base path of an OpenAPI definition is not served here"),
        "Body": _SERVED,
        "BodyS3Location": _SERVED,
        "CorsConfiguration": _SERVED,
        "CredentialsArn": _NO_ROLE,
        "Description": _SERVED,
        "DisableExecuteApiEndpoint": _SERVED,
        "DisableSchemaValidation": Supported(Support.PARTIAL, "models are not served here, so nothing is validated"),
        "FailOnWarnings": _SERVED,
        "IpAddressType": Supported(Support.PARTIAL, "every API is served on loopback"),
        "Name": _SERVED,
        "ProtocolType": Supported(reason="there is no other protocol", values=("WEBSOCKET", "HTTP")),
        "RouteKey": _SERVED,
        "RouteSelectionExpression": _SERVED,
        "Tags": _SERVED,
        "Target": _SERVED,
        "Version": _SERVED,
    },
    "Authorizer": {
        "ApiId": _SERVED,
        "AuthorizerCredentialsArn": _NO_ROLE,
        "AuthorizerPayloadFormatVersion": _SERVED,
        "AuthorizerResultTtlInSeconds": _SERVED,
        "AuthorizerType": Supported(reason="there is no other type", values=("REQUEST", "JWT")),
        "AuthorizerUri": _SERVED,
        "EnableSimpleResponses": _SERVED,
        "IdentitySource": _SERVED,
        "IdentityValidationExpression": Supported(Support.REFUSED, "is for neither WebSocket nor HTTP APIs"),
        "JwtConfiguration.Audience": _SERVED,
        "JwtConfiguration.Issuer": _SERVED,
        "Name": _SERVED,
    },
    "Deployment": {"ApiId": _SERVED, "Description": _SERVED, "StageName": _SERVED},
    "Integration": {
        "ApiId": _SERVED,
        "ConnectionId": Supported(Support.REFUSED, "there is no VPC"),
        "ConnectionType": Supported(reason="there is no VPC", values=("INTERNET",)),
        "ContentHandlingStrategy": _NO_CONVERSION,
        "CredentialsArn": _SERVED,
        "Description": _SERVED,
        "IntegrationMethod": _SERVED,
        "IntegrationSubtype": _SERVED,
        "IntegrationType": Supported(
            reason="HTTP integrations that are no proxies are not served here",
            values=("AWS", "AWS_PROXY", "HTTP_PROXY", "MOCK"),
        ),
        "IntegrationUri": _SERVED,
        "PassthroughBehavior": _SERVED,
        "PayloadFormatVersion": _SERVED,
        "RequestParameters": _SERVED,
        "RequestTemplates": _SERVED,
        "ResponseParameters": _SERVED,
        "TemplateSelectionExpression": _SERVED,
        "TimeoutInMillis": _SERVED,
        "TlsConfig": Supported(Support.REFUSED, "it is for VPC links, and there is no VPC"),
    },
    "IntegrationResponse": {
        "ApiId": _SERVED,
        "ContentHandlingStrategy": _NO_CONVERSION,
        "IntegrationId": _SERVED,
        "IntegrationResponseKey": _SERVED,
        "ResponseParameters": _NO_MAPPING,
        "ResponseTemplates": _SERVED,
        "TemplateSelectionExpression": _SERVED,
    },
    "Route": {
        "ApiId": _SERVED,
        "ApiKeyRequired": Supported(reason="API keys are not served here", values=(False,)),
        "AuthorizationScopes": _SERVED,
        "AuthorizationType": Supported(
            Support.PARTIAL,
            "signatures of AWS_IAM are not verified: a key counts as the principal it names",
            ("NONE", "CUSTOM", "JWT", "AWS_IAM"),
        ),
        "AuthorizerId": _SERVED,
        "ModelSelectionExpression": _NO_MODELS,
        "OperationName": _SERVED,
        "RequestModels": _NO_MODELS,
        "RequestParameters": Supported(Support.REFUSED, "parameters are not validated here"),
        "RouteKey": _SERVED,
        "RouteResponseSelectionExpression": Supported(
            reason="$default is the only one there is", values=(DEFAULT, f"\\{DEFAULT}")
        ),
        "Target": _SERVED,
    },
    "RouteResponse": {
        "ApiId": _SERVED,
        "ModelSelectionExpression": _NO_MODELS,
        "ResponseModels": _NO_MODELS,
        "ResponseParameters": _NO_MAPPING,
        "RouteId": _SERVED,
        "RouteResponseKey": _SERVED,
    },
    "Stage": {
        "AccessLogSettings.DestinationArn": Supported(
            reason="a log group; Firehose's is refused when the stage is made"
        ),
        "AccessLogSettings.Format": _SERVED,
        "AccessPolicyId": Supported(Support.REFUSED, "it is no longer in use"),
        "ApiId": _SERVED,
        "AutoDeploy": _SERVED,
        "ClientCertificateId": Supported(Support.REFUSED, "client certificates are not sent here"),
        "DefaultRouteSettings.DataTraceEnabled": _NO_LOGS,
        "DefaultRouteSettings.DetailedMetricsEnabled": Supported(Support.PARTIAL, _DETAILS),
        "DefaultRouteSettings.LoggingLevel": _NO_LOGS,
        "DefaultRouteSettings.ThrottlingBurstLimit": _SERVED,
        "DefaultRouteSettings.ThrottlingRateLimit": _SERVED,
        "DeploymentId": _SERVED,
        "Description": _SERVED,
        "RouteSettings": Supported(Support.PARTIAL, f"no execution log is written; {_DETAILS}"),
        "StageName": _SERVED,
        "StageVariables": _SERVED,
        "Tags": _SERVED,
    },
}
