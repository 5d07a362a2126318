"""CloudFormation's Cognito resources: pools, clients, groups, users, resource servers and domains.

Ids of pools and clients are always the same for a stack and logical id. The service is imported with the first of them.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Cognito.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from localcloud.services.cognito.errors import CognitoError
from localcloud.services.cognito.settings import read_client, read_pool
from localcloud.services.delegated_setup import letters_of
from localcloud.template.handler import Physical, RefusedHandler, Resource, ResourceHandler, Support, Supported
from localcloud.template.properties import read_properties

if TYPE_CHECKING:
    from localcloud.services.cognito.wire import CognitoService

__all__ = ["cognito_handlers"]

_NO_MAIL: Final = Supported(Support.PARTIAL, "recorded; codes and invitations go to a log group, nothing is mailed")
_NO_PAGES: Final = Supported(Support.PARTIAL, "recorded; there are no sign-in pages and no OAuth endpoints here")
_TOLD: Final = Supported(Support.PARTIAL, "recorded and told, nothing here reads it")
_NO_TRIGGER: Final = Supported(Support.REFUSED, "this trigger is not served here")
_SCOPES: Final = Supported(Support.PARTIAL, "recorded and told; no token here has custom scopes of its own accord")
Open = Callable[[], "CognitoService"]


class _Handler:
    """What the handlers here share: the service, opened by the first that is made."""

    def __init__(self, service: Open) -> None:
        self._service = service


class PoolHandler(_Handler):
    """`AWS::Cognito::UserPool`. Ref is the id; attributes Arn, ProviderName, ProviderURL and UserPoolId."""

    type: str = "AWS::Cognito::UserPool"
    properties: Mapping[str, Supported] = {
        "AccountRecoverySetting": Supported(Support.PARTIAL, "recorded; a verified email or telephone recovers"),
        "AdminCreateUserConfig.AllowAdminCreateUserOnly": Supported(),
        "AdminCreateUserConfig.InviteMessageTemplate": _NO_MAIL,
        "AdminCreateUserConfig.UnusedAccountValidityDays": _TOLD,
        "AliasAttributes": Supported(),
        "AutoVerifiedAttributes": Supported(),
        "DeletionProtection": Supported(Support.PARTIAL, "holds for DeleteUserPool; a pool ends with the local cloud"),
        "EmailConfiguration": _NO_MAIL,
        "EmailVerificationMessage": _NO_MAIL,
        "EmailVerificationSubject": _NO_MAIL,
        "EnabledMfas": Supported(Support.PARTIAL, "recorded; no second factor is asked for here"),
        "LambdaConfig.CreateAuthChallenge": _NO_TRIGGER,
        "LambdaConfig.CustomMessage": _NO_TRIGGER,
        "LambdaConfig.DefineAuthChallenge": _NO_TRIGGER,
        "LambdaConfig.PostAuthentication": Supported(),
        "LambdaConfig.PostConfirmation": Supported(),
        "LambdaConfig.PreAuthentication": Supported(),
        "LambdaConfig.PreSignUp": Supported(),
        "LambdaConfig.PreTokenGeneration": Supported(),
        "LambdaConfig.PreTokenGenerationConfig.LambdaArn": Supported(),
        "LambdaConfig.PreTokenGenerationConfig.LambdaVersion": Supported(
            reason="no such version here", values=("V1_0", "V2_0")
        ),
        "LambdaConfig.UserMigration": _NO_TRIGGER,
        "LambdaConfig.VerifyAuthChallengeResponse": _NO_TRIGGER,
        "MfaConfiguration": Supported(
            reason="second factors are not served here",
            values=("OFF", "OPTIONAL"),
            differs=lambda value: "no user can set up a second factor here" if value == "OPTIONAL" else "",
        ),
        "Policies.PasswordPolicy.MinimumLength": Supported(),
        "Policies.PasswordPolicy.RequireLowercase": Supported(),
        "Policies.PasswordPolicy.RequireNumbers": Supported(),
        "Policies.PasswordPolicy.RequireSymbols": Supported(),
        "Policies.PasswordPolicy.RequireUppercase": Supported(),
        "Policies.PasswordPolicy.TemporaryPasswordValidityDays": _TOLD,
        "Schema": Supported(Support.PARTIAL, "recorded; users' attributes are not held to it"),
        "SmsAuthenticationMessage": _NO_MAIL,
        "SmsConfiguration": _NO_MAIL,
        "SmsVerificationMessage": _NO_MAIL,
        "UserAttributeUpdateSettings": _TOLD,
        "UserPoolName": Supported(),
        "UserPoolTags": _TOLD,
        "UserPoolTier": _TOLD,
        "UsernameAttributes": Supported(),
        "UsernameConfiguration.CaseSensitive": Supported(),
        "VerificationMessageTemplate": _NO_MAIL,
    }

    def __init__(self, service: Open, *, keeps: bool = False) -> None:
        super().__init__(service)
        lost = "users end with the process: with --persist, too, a pool begins empty, with a new key"
        self.support: Supported = Supported(Support.PARTIAL, lost) if keeps else Supported()

    async def create(self, resource: Resource) -> Physical:
        """Make the pool. Raises TemplateError for what is asked of it and not served."""
        from localcloud.services.cognito.pools import check_pool  # noqa: PLC0415 - few stacks have pools

        read, context = read_properties(resource), resource.context
        settings = read_pool(read, default_name=f"{context.stack_name}-{resource.logical_id}")
        try:
            check_pool(settings)
            pool = self._service().pools.create_pool(context.region, settings, ending=letters_of(resource, 9))
        except CognitoError as error:
            raise read.error("", error.message) from error
        name = pool.issuer.removeprefix("https://")
        told = {"Arn": pool.arn, "ProviderName": name, "ProviderURL": pool.issuer, "UserPoolId": pool.id}
        return Physical(pool.id, told)

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget it with its users."""
        self._service().pools.pools.pop(physical.ref, None)


class ClientHandler(_Handler):
    """`AWS::Cognito::UserPoolClient`. Ref is the id; attributes ClientId, ClientSecret and Name."""

    type: str = "AWS::Cognito::UserPoolClient"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "AccessTokenValidity": Supported(),
        "AllowedOAuthFlows": _NO_PAGES,
        "AllowedOAuthFlowsUserPoolClient": _NO_PAGES,
        "AllowedOAuthScopes": _NO_PAGES,
        "AuthSessionValidity": Supported(),
        "CallbackURLs": _NO_PAGES,
        "ClientName": Supported(),
        "DefaultRedirectURI": _NO_PAGES,
        "EnableTokenRevocation": Supported(reason="tokens here can always be revoked", values=(True,)),
        "ExplicitAuthFlows": Supported(
            reason="this flow is not served here",
            values=(
                "ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_PASSWORD_AUTH",
                "ALLOW_USER_SRP_AUTH", "ADMIN_NO_SRP_AUTH", "USER_PASSWORD_AUTH",
            ),
        ),
        "GenerateSecret": Supported(),
        "IdTokenValidity": Supported(),
        "LogoutURLs": _NO_PAGES,
        "PreventUserExistenceErrors": Supported(
            Support.PARTIAL, "holds for signing in; forgotten passwords and codes tell whether there is a user"
        ),
        "ReadAttributes": Supported(),
        "RefreshTokenValidity": Supported(),
        "SupportedIdentityProviders": Supported(reason="there are no other providers here", values=("COGNITO",)),
        "TokenValidityUnits": Supported(),
        "UserPoolId": Supported(),
        "WriteAttributes": Supported(Support.PARTIAL, "recorded; users may write every attribute of theirs"),
    }  # fmt: skip

    async def create(self, resource: Resource) -> Physical:
        """Make the client. Raises TemplateError for a pool that is not there, and what is not served."""
        from localcloud.services.cognito.pools import check_client  # noqa: PLC0415 - few stacks have pools

        read = read_properties(resource)
        settings = read_client(read, default_name=f"{resource.context.stack_name}-{resource.logical_id}")
        pools = self._service().pools
        try:
            check_client(settings)
            pool = pools.pool(read.text("UserPoolId"))
            client = pools.create_client(pool, settings, client_id=letters_of(resource, 26).lower())
        except CognitoError as error:
            raise read.error("", error.message) from error
        return Physical(client.id, {"ClientId": client.id, "ClientSecret": client.secret, "Name": client.name})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Forget it."""
        pool = self._service().pools.pools.get(read_properties(resource).text("UserPoolId"))
        if pool is not None:
            pool.clients.pop(physical.ref, None)


class GroupHandler(_Handler):
    """`AWS::Cognito::UserPoolGroup`. Ref is the name."""

    type: str = "AWS::Cognito::UserPoolGroup"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Description": Supported(),
        "GroupName": Supported(),
        "Precedence": Supported(),
        "RoleArn": Supported(),
        "UserPoolId": Supported(),
    }

    async def create(self, resource: Resource) -> Physical:
        """Make the group. Raises TemplateError."""
        from localcloud.services.cognito.users import make_group  # noqa: PLC0415 - few stacks have pools

        read = read_properties(resource)
        name = read.text("GroupName", f"{resource.context.stack_name}-{resource.logical_id}")
        settings: dict[str, Any] = {"GroupName": name, "Description": read.text("Description", "")}
        settings |= {"RoleArn": read.text("RoleArn")} if "RoleArn" in read else {}
        settings |= {"Precedence": read.integer("Precedence", low=0)} if "Precedence" in read else {}
        try:
            call = self._service().call({"UserPoolId": read.text("UserPoolId")}, resource.context.region)
            make_group(call, call.pool(), settings)
        except CognitoError as error:
            raise read.error("", error.message) from error
        return Physical(name)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing: it goes with its pool."""


class UserHandler(_Handler):
    """`AWS::Cognito::UserPoolUser`. Ref is the username."""

    type: str = "AWS::Cognito::UserPoolUser"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "ClientMetadata": _TOLD,
        "DesiredDeliveryMediums": _NO_MAIL,
        "MessageAction": Supported(reason="nobody was invited before", values=("SUPPRESS",)),
        "UserAttributes": Supported(),
        "UserPoolId": Supported(),
        "Username": Supported(),
    }

    async def create(self, resource: Resource) -> Physical:
        """Make the user, and invite it: its first password is in the pool's log group. Raises TemplateError."""
        from localcloud.services.cognito.users import invite, make_user  # noqa: PLC0415 - few stacks have pools

        read = read_properties(resource)
        attributes = {each.text("Name"): each.text("Value", "") for each in read.each("UserAttributes")}
        try:
            call = self._service().call({"UserPoolId": read.text("UserPoolId")}, resource.context.region)
            name = read.text("Username", letters_of(resource, 16))
            user, first = make_user(call, call.pool(), name, attributes=attributes)
        except CognitoError as error:
            raise read.error("", error.message) from error
        if read.text("MessageAction", "") != "SUPPRESS":
            invite(call, call.pool(), user, password=first)
        return Physical(user.username)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing: it goes with its pool."""


class MembershipHandler(_Handler):
    """`AWS::Cognito::UserPoolUserToGroupAttachment`. Ref is a name made of the three."""

    type: str = "AWS::Cognito::UserPoolUserToGroupAttachment"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "GroupName": Supported(),
        "UserPoolId": Supported(),
        "Username": Supported(),
    }

    async def create(self, resource: Resource) -> Physical:
        """Put the user into the group. Raises TemplateError where one of them is not there."""
        read = read_properties(resource)
        try:
            pool = self._service().pools.pool(read.text("UserPoolId"))
            user, group = pool.user(read.text("Username")), pool.group(read.text("GroupName"))
        except CognitoError as error:
            raise read.error("", error.message) from error
        user.groups.add(group.name)
        return Physical(f"{pool.id}-{group.name}-{user.username}")

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing: it goes with its pool."""


class ServerHandler(_Handler):
    """`AWS::Cognito::UserPoolResourceServer`. Ref is the identifier."""

    type: str = "AWS::Cognito::UserPoolResourceServer"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "Identifier": Supported(),
        "Name": Supported(),
        "Scopes": _SCOPES,
        "UserPoolId": Supported(),
    }

    async def create(self, resource: Resource) -> Physical:
        """Make it. Raises TemplateError where the pool is not there or has one of this name."""
        read = read_properties(resource)
        identifier = read.text("Identifier")
        scopes = [
            {name: scope.text(name) for name in ("ScopeName", "ScopeDescription")} for scope in read.each("Scopes")
        ]
        try:
            pool = self._service().pools.pool(read.text("UserPoolId"))
        except CognitoError as error:
            raise read.error("UserPoolId", error.message) from error
        if identifier in pool.servers:
            raise read.error("Identifier", f"{identifier} already exists in user pool {pool.id}.")
        named = {"UserPoolId": pool.id, "Identifier": identifier, "Name": read.text("Name"), "Scopes": scopes}
        pool.servers[identifier] = named
        return Physical(identifier)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing: it goes with its pool."""


class DomainHandler(_Handler):
    """`AWS::Cognito::UserPoolDomain`: a name without pages behind it. Ref is the domain."""

    type: str = "AWS::Cognito::UserPoolDomain"
    support: Supported = Supported(Support.PARTIAL, "a name alone: there are no sign-in pages and OAuth endpoints here")
    properties: Mapping[str, Supported] = {
        "CustomDomainConfig": Supported(Support.REFUSED, "there are no domains of one's own here"),
        "Domain": Supported(),
        "ManagedLoginVersion": _NO_PAGES,
        "UserPoolId": Supported(),
    }

    async def create(self, resource: Resource) -> Physical:
        """Note the name. Raises TemplateError where the pool is not there."""
        read = read_properties(resource)
        try:
            self._service().pools.pool(read.text("UserPoolId"))
        except CognitoError as error:
            raise read.error("UserPoolId", error.message) from error
        return Physical(read.text("Domain"), {"CloudFrontDistribution": ""})

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Nothing."""


_REFUSED: Final = {
    "AWS::Cognito::IdentityPool": "identity pools are not served here: roles are assumed over STS",
    "AWS::Cognito::IdentityPoolPrincipalTag": "identity pools are not served here",
    "AWS::Cognito::IdentityPoolRoleAttachment": "identity pools are not served here",
    "AWS::Cognito::LogDeliveryConfiguration": "user pools here write no logs of their own",
    "AWS::Cognito::ManagedLoginBranding": "there are no sign-in pages here",
    "AWS::Cognito::UserPoolIdentityProvider": "there are no other identity providers here",
    "AWS::Cognito::UserPoolRiskConfigurationAttachment": "risks are not judged here",
    "AWS::Cognito::UserPoolUICustomizationAttachment": "there are no sign-in pages here",
}


def cognito_handlers(service: Open, *, keeps: bool) -> list[ResourceHandler]:
    """Every handler of Cognito, those of refused types among them."""
    kinds = (ClientHandler, GroupHandler, UserHandler, MembershipHandler, ServerHandler, DomainHandler)
    refused = [RefusedHandler(kind, reason) for kind, reason in _REFUSED.items()]
    return [PoolHandler(service, keeps=keeps), *(kind(service) for kind in kinds), *refused]
