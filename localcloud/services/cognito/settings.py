"""What a template says of a pool and a client, as the members of the API's own requests.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cognito-userpool.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.template.properties import Properties

__all__ = ["read_client", "read_pool"]

_FLAGS: Final = ("RequireLowercase", "RequireNumbers", "RequireSymbols", "RequireUppercase")
_AS_WRITTEN: Final = (
    "AccountRecoverySetting", "EmailConfiguration", "EmailVerificationMessage", "EmailVerificationSubject",
    "EnabledMfas", "Schema", "SmsAuthenticationMessage", "SmsConfiguration", "SmsVerificationMessage",
    "UserAttributeUpdateSettings", "UserPoolTags", "UserPoolTier", "VerificationMessageTemplate",
)  # fmt: skip
_LISTS: Final = ("AliasAttributes", "AutoVerifiedAttributes", "UsernameAttributes")
_RANGES: Final = {"AccessToken": 86_400, "IdToken": 86_400, "RefreshToken": 315_360_000}
_UNITS: Final = ("seconds", "minutes", "hours", "days")


def read_pool(read: Properties, *, default_name: str) -> dict[str, Any]:
    """The members of CreateUserPool. Raises TemplateError."""
    settings: dict[str, Any] = {name: read.values[name] for name in _AS_WRITTEN if name in read}
    settings["PoolName"] = read.text("UserPoolName", default_name)
    settings |= {name: read.texts(name) for name in _LISTS if name in read}
    settings |= {name: read.text(name) for name in ("DeletionProtection", "MfaConfiguration") if name in read}
    if "UsernameAttributes" in settings and "AliasAttributes" in settings:
        raise read.error("AliasAttributes", "either this or UsernameAttributes is given, not both")
    if "AdminCreateUserConfig" in read:
        only = read.nested("AdminCreateUserConfig").flag("AllowAdminCreateUserOnly", default=False)
        settings["AdminCreateUserConfig"] = {"AllowAdminCreateUserOnly": only}
    if "UsernameConfiguration" in read:
        sensitive = read.nested("UsernameConfiguration").flag("CaseSensitive", default=False)
        settings["UsernameConfiguration"] = {"CaseSensitive": sensitive}
    policy = read.nested("Policies").nested("PasswordPolicy")
    if policy.values:
        length = policy.integer("MinimumLength", 8, low=6, high=99)
        flags = {name: policy.flag(name, default=False) for name in _FLAGS}
        settings["Policies"] = {"PasswordPolicy": {"MinimumLength": length, **flags}}
    config = dict(read.mapping("LambdaConfig"))
    return settings | ({"LambdaConfig": config} if config else {})


def read_client(read: Properties, *, default_name: str) -> dict[str, Any]:
    """The members of CreateUserPoolClient. Raises TemplateError."""
    settings: dict[str, Any] = {
        "ClientName": read.text("ClientName", default_name),
        "GenerateSecret": read.flag("GenerateSecret", default=False),
        "PreventUserExistenceErrors": read.choice("PreventUserExistenceErrors", ("ENABLED", "LEGACY"), "LEGACY"),
    }
    for name in (
        "AllowedOAuthFlows", "AllowedOAuthScopes", "CallbackURLs", "ExplicitAuthFlows", "LogoutURLs", "ReadAttributes",
        "SupportedIdentityProviders", "WriteAttributes",
    ):  # fmt: skip
        if name in read:
            settings[name] = read.texts(name)
    for kind, high in _RANGES.items():
        if f"{kind}Validity" in read:
            settings[f"{kind}Validity"] = read.integer(f"{kind}Validity", low=1, high=high)
    if "AuthSessionValidity" in read:
        settings["AuthSessionValidity"] = read.integer("AuthSessionValidity", low=3, high=15)
    units = read.nested("TokenValidityUnits")
    chosen = {kind: units.choice(kind, _UNITS) for kind in _RANGES if kind in units}
    return settings | ({"TokenValidityUnits": chosen} if chosen else {})
