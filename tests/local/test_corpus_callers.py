"""Applications of the corpus that ask who calls and what: OpenAPI documents, user pools, authorizers of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.corpus import application

pytestmark = pytest.mark.local


def test_two_apis_by_openapi_documents(tmp_path: Path) -> None:
    """Bodies are held to the document's schema, an included path answers by itself, the HTTP API's is a file."""
    with application("openapi_pets", tmp_path) as app:
        rest = app.outputs["RestUrl"]
        made = app.ask("POST", f"{rest}/pets", {"name": "rex", "age": 3})
        assert (made.status, made.told, made.headers["x-pet"]) == (201, {"resource": "/pets", "stage": "v1"}, "3")
        refused = app.ask("POST", f"{rest}/pets", {"name": "", "age": -1})
        assert (refused.status, set(refused.told)) == (422, {"why"})
        assert app.ask("GET", f"{rest}/about").told == {"breed": "beagle", "stage": "v1"}
        http = app.outputs["HttpUrl"]
        assert app.ask("GET", f"{http}/pets/rex").told == {"name": "rex", "route": "GET /pets/{name}"}
        seen = app.ask("GET", f"{http}/pets/rex", origin="https://pets.example")
        assert seen.headers["access-control-allow-origin"] == "https://pets.example"
        assert (app.ask("DELETE", f"{http}/pets/rex").status, app.ask("DELETE", f"{rest}/pets").status) == (404, 403)


def test_members_of_a_pool_at_a_rest_api(tmp_path: Path) -> None:
    """Who confirms is written down by the pool's trigger; a token's claims reach the function; one path is open."""
    with application("members_rest", tmp_path) as app:
        cognito, pool, client = app.client("cognito-idp"), app.outputs["Pool"], app.outputs["Client"]
        who = {"Username": "ann@club.example", "Password": "correcthorse1"}
        sub = cognito.sign_up(ClientId=client, UserAttributes=[{"Name": "email", "Value": who["Username"]}], **who)[
            "UserSub"
        ]
        cognito.admin_confirm_sign_up(UserPoolId=pool, Username=who["Username"])
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=who["Username"], GroupName="admins")
        joined = app.client("dynamodb").get_item(TableName=app.outputs["Joined"], Key={"sub": {"S": sub}})["Item"]
        assert (joined["email"]["S"], joined["how"]["S"]) == (who["Username"], "PostConfirmation_ConfirmSignUp")
        tokens = cognito.initiate_auth(
            ClientId=client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={name.upper(): value for name, value in who.items()},
        )["AuthenticationResult"]
        url = app.outputs["ApiUrl"]
        mine = app.ask("GET", f"{url}/me", authorization=tokens["IdToken"])
        assert (mine.status, mine.told) == (200, {"email": who["Username"], "groups": "admins"})
        assert app.ask("GET", f"{url}/open").told == {"email": None, "groups": None}
        nobody = app.ask("GET", f"{url}/me")
        assert (nobody.status, nobody.told, nobody.headers["x-amzn-errortype"]) == (
            401, {"message": "Unauthorized"}, "UnauthorizedException",
        )  # fmt: skip
        asked = app.ask("OPTIONS", f"{url}/me", origin="https://club.example")
        assert (asked.status, asked.headers["access-control-allow-headers"]) == (200, "authorization")


def test_a_model_behind_an_authorizer_and_a_pipe(tmp_path: Path) -> None:
    """Teams are let in, denied or unknown; the model answers within its tokens; the pipe keeps what is no test."""
    with application("ask_model", tmp_path) as app:
        ask = f"{app.outputs['ApiUrl']}/ask"
        answered = app.ask("POST", ask, {"question": "what are rivers made of?"}, x_team="blue")
        assert (answered.status, answered.told["stop"]) == (200, "max_tokens")
        assert app.ask("POST", ask, {"question": "is this on?"}, x_team="tests").status == 200
        denied = app.ask("POST", ask, {"question": "?"}, x_team="red")
        assert (denied.status, denied.told["Message"].startswith("User is not authorized")) == (403, True)
        assert [app.ask("POST", ask, {}, **team).status for team in ({}, {"x_team": "nobody"})] == [401, 401]
        assert list(app.received("Kept", 1)) == [{"asked": "what are "}]
        assert (app.waiting("Kept"), app.waiting("Asked")) == (0, 0)
