"""Pools, their app clients and resource servers: made, told, deleted. What a pool is asked for and is not served is
refused by name.

Source: https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_CreateUserPool.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.cognito.calls import Call, Members
from localcloud.services.cognito.errors import CognitoError, not_served
from localcloud.services.cognito.model import Client, Pool
from localcloud.services.cognito.triggers import SERVED as SERVED_TRIGGERS
from localcloud.services.cognito.users import cut

__all__ = ["OPERATIONS", "check_client", "check_pool"]

_POOL_REFUSED: Final = ("DeviceConfiguration", "UserPoolAddOns")
_PROTECTED: Final = (
    "The user pool cannot be deleted because deletion protection is activated. Deletion protection must be "
    "inactivated first."
)
_POLICY: Final = {
    "MinimumLength": 8,
    "RequireUppercase": True,
    "RequireLowercase": True,
    "RequireNumbers": True,
    "RequireSymbols": True,
    "TemporaryPasswordValidityDays": 7,
}


def check_pool(settings: Mapping[str, Any]) -> None:
    """Refuse what is asked of a pool and not served. Raises CognitoError: InvalidParameterException."""
    for name in _POOL_REFUSED:
        if settings.get(name):
            raise not_served(f"{name} of a user pool")
    config: Mapping[str, Any] = settings.get("LambdaConfig") or {}
    for trigger in config:
        if trigger not in SERVED_TRIGGERS:
            raise not_served(f"the trigger {trigger}")
    if settings.get("MfaConfiguration") == "ON":
        raise not_served("second factors: MfaConfiguration ON")


def check_client(settings: Mapping[str, Any]) -> None:
    """Refuse what is asked of a client and not served. Raises CognitoError: InvalidParameterException."""
    flows = settings.get("AllowedOAuthFlows") or ()
    if "client_credentials" in flows:
        raise not_served("the OAuth flow client_credentials: there is no token endpoint here")


async def _create_pool(call: Call) -> Members:
    check_pool(call.body)
    pool = call.pools.create_pool(call.region, dict(call.body))
    return {"UserPool": _tell(pool)}


async def _describe_pool(call: Call) -> Members:
    return {"UserPool": _tell(call.pool())}


async def _update_pool(call: Call) -> Members:
    pool = call.pool()
    check_pool(call.body)
    pool.settings |= {name: value for name, value in call.body.items() if name not in {"UserPoolId", "PoolName"}}
    pool.modified_s = call.now
    return {}


async def _delete_pool(call: Call) -> None:
    pool = call.pool()
    if pool.settings.get("DeletionProtection") == "ACTIVE":
        raise CognitoError("InvalidParameterException", _PROTECTED)
    del call.pools.pools[pool.id]


async def _list_pools(call: Call) -> Members:
    own = sorted((pool for pool in call.pools.pools.values() if pool.region == call.region), key=lambda pool: pool.id)
    page, more = cut(call, own)
    told: list[Members] = [
        {
            "Id": pool.id,
            "Name": pool.name,
            "LambdaConfig": pool.settings.get("LambdaConfig") or {},
            "LastModifiedDate": pool.modified_s,
            "CreationDate": pool.created_s,
        }
        for pool in page
    ]
    return {"UserPools": told, **more}


async def _create_client(call: Call) -> Members:
    pool = call.pool()
    check_client(call.body)
    return {"UserPoolClient": _tell_client(pool, call.pools.create_client(pool, dict(call.body)))}


async def _describe_client(call: Call) -> Members:
    pool = call.pool()
    return {"UserPoolClient": _tell_client(pool, pool.client(call.text("ClientId")))}


async def _update_client(call: Call) -> Members:
    pool = call.pool()
    client = pool.client(call.text("ClientId"))
    check_client(call.body)
    kept = {name: client.settings[name] for name in ("ClientName", "GenerateSecret") if name in client.settings}
    client.settings = {**kept, **{name: value for name, value in call.body.items() if name != "ClientId"}}
    client.name, client.modified_s = str(client.settings["ClientName"]), call.now
    return {"UserPoolClient": _tell_client(pool, client)}


async def _delete_client(call: Call) -> None:
    pool = call.pool()
    del pool.clients[pool.client(call.text("ClientId")).id]


async def _list_clients(call: Call) -> Members:
    pool = call.pool()
    page, more = cut(call, sorted(pool.clients.values(), key=lambda client: client.id))
    told = [{"ClientId": client.id, "UserPoolId": pool.id, "ClientName": client.name} for client in page]
    return {"UserPoolClients": told, **more}


async def _create_server(call: Call) -> Members:
    pool, identifier = call.pool(), call.text("Identifier")
    if identifier in pool.servers:
        raise CognitoError("InvalidParameterException", f"{identifier} already exists in user pool {pool.id}.")
    pool.servers[identifier] = {**call.body, "Scopes": call.body.get("Scopes") or []}
    return {"ResourceServer": pool.servers[identifier]}


async def _describe_server(call: Call) -> Members:
    return {"ResourceServer": _server(call)}


async def _delete_server(call: Call) -> None:
    del call.pool().servers[str(_server(call)["Identifier"])]


async def _list_servers(call: Call) -> Members:
    page, more = cut(call, [server for _, server in sorted(call.pool().servers.items())])
    return {"ResourceServers": list(page), **more}


def _server(call: Call) -> Members:
    identifier = call.text("Identifier")
    found = call.pool().servers.get(identifier)
    if found is None:
        raise CognitoError("ResourceNotFoundException", f"Resource server {identifier} does not exist.")
    return found


def _tell(pool: Pool) -> Members:
    given = {name: value for name, value in pool.settings.items() if name not in {"PoolName", "Schema"}}
    policies: Mapping[str, Any] = given.get("Policies") or {}
    told: Members = {
        "Id": pool.id,
        "Name": pool.name,
        "Arn": pool.arn,
        "LastModifiedDate": pool.modified_s,
        "CreationDate": pool.created_s,
        "LambdaConfig": {},
        "DeletionProtection": "INACTIVE",
        "MfaConfiguration": "OFF",
        "EstimatedNumberOfUsers": len(pool.users),
        "UserPoolTier": "ESSENTIALS",
        **given,
    }
    return told | {"Policies": {**policies, "PasswordPolicy": policies.get("PasswordPolicy") or _POLICY}}


def _tell_client(pool: Pool, client: Client) -> Members:
    given = {name: value for name, value in client.settings.items() if name not in {"GenerateSecret", "UserPoolId"}}
    told: Members = {
        "UserPoolId": pool.id,
        "ClientId": client.id,
        "LastModifiedDate": client.modified_s,
        "CreationDate": client.created_s,
        "RefreshTokenValidity": 30,
        "TokenValidityUnits": {},
        "AllowedOAuthFlowsUserPoolClient": False,
        "EnableTokenRevocation": True,
        "AuthSessionValidity": 3,
        **given,
    }
    return told | ({"ClientSecret": client.secret} if client.secret else {})


OPERATIONS: Final = {
    "CreateResourceServer": _create_server,
    "CreateUserPool": _create_pool,
    "CreateUserPoolClient": _create_client,
    "DeleteResourceServer": _delete_server,
    "DeleteUserPool": _delete_pool,
    "DeleteUserPoolClient": _delete_client,
    "DescribeResourceServer": _describe_server,
    "DescribeUserPool": _describe_pool,
    "DescribeUserPoolClient": _describe_client,
    "ListResourceServers": _list_servers,
    "ListUserPoolClients": _list_clients,
    "ListUserPools": _list_pools,
    "UpdateUserPool": _update_pool,
    "UpdateUserPoolClient": _update_client,
}
