"""What keeps the gateway from answering as the API would: one error for each kind of gateway response.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["RESPONSE_TYPES", "DefinitionError", "GatewayError", "ResponseType"]


class DefinitionError(Exception):
    """Something in an API's definition that makes no sense or is not served; `where` is its path in the body."""

    def __init__(self, detail: str, *, where: str) -> None:
        super().__init__(f"{where}: {detail}" if where else detail)
        self.detail = detail
        self.where = where


@dataclass(frozen=True, slots=True)
class ResponseType:
    """A gateway response type's own status, the message people see, and the X-Amzn-ErrorType header."""

    status: int
    message: str
    error_type: str


RESPONSE_TYPES: Final[Mapping[str, ResponseType]] = MappingProxyType(
    {
        "ACCESS_DENIED": ResponseType(403, "User is not authorized to access this resource", "AccessDeniedException"),
        "API_CONFIGURATION_ERROR": ResponseType(500, "Internal server error", "InternalServerErrorException"),
        "AUTHORIZER_CONFIGURATION_ERROR": ResponseType(
            500, "Internal server error", "AuthorizerConfigurationException"
        ),
        "AUTHORIZER_FAILURE": ResponseType(500, "Internal server error", "AuthorizerConfigurationException"),
        "BAD_REQUEST_BODY": ResponseType(400, "Invalid request body", "BadRequestException"),
        "BAD_REQUEST_PARAMETERS": ResponseType(400, "Missing required request parameters", "BadRequestException"),
        "DEFAULT_4XX": ResponseType(400, "Bad request", "BadRequestException"),
        "DEFAULT_5XX": ResponseType(500, "Internal server error", "InternalServerErrorException"),
        "EXPIRED_TOKEN": ResponseType(
            403, "The security token included in the request is expired", "ExpiredTokenException"
        ),
        "INTEGRATION_FAILURE": ResponseType(504, "Internal server error", "InternalServerErrorException"),
        "INTEGRATION_TIMEOUT": ResponseType(504, "Endpoint request timed out", "InternalServerErrorException"),
        "INVALID_API_KEY": ResponseType(403, "Forbidden", "ForbiddenException"),
        "INVALID_SIGNATURE": ResponseType(403, "Forbidden", "InvalidSignatureException"),
        "MISSING_AUTHENTICATION_TOKEN": ResponseType(
            403, "Missing Authentication Token", "MissingAuthenticationTokenException"
        ),
        "QUOTA_EXCEEDED": ResponseType(429, "Limit Exceeded", "LimitExceededException"),
        "REQUEST_TOO_LARGE": ResponseType(413, "Request Too Long", "RequestTooLargeException"),
        "RESOURCE_NOT_FOUND": ResponseType(404, "Not Found", "NotFoundException"),
        "THROTTLED": ResponseType(429, "Too Many Requests", "TooManyRequestsException"),
        "UNAUTHORIZED": ResponseType(401, "Unauthorized", "UnauthorizedException"),
        "UNSUPPORTED_MEDIA_TYPE": ResponseType(415, "Unsupported Media Type", "BadRequestException"),
        "WAF_FILTERED": ResponseType(403, "Forbidden", "ForbiddenException"),
    }
)


class GatewayError(Exception):
    """A request the gateway answers itself.

    `kind` is one of RESPONSE_TYPES, `message` what the client reads ("" takes the type's own), `status` replaces the
    type's own where not 0, `validation` the validator's words, `reason` goes to the log only.
    """

    def __init__(
        self, kind: str, message: str = "", *, status: int = 0, validation: str = "", reason: str = ""
    ) -> None:
        super().__init__(f"{kind}: {reason or message}")
        self.kind = kind
        self.message = message or RESPONSE_TYPES[kind].message
        self.status = status or RESPONSE_TYPES[kind].status
        self.validation = validation
        self.reason = reason
