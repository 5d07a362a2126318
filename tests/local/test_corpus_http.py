"""Applications of the corpus that answer HTTP: REST with Powertools, HTTP with a user pool, and a classic template."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local.corpus import Application, application

pytestmark = pytest.mark.local


def test_notes_behind_a_rest_api(tmp_path: Path) -> None:
    """Powertools' resolver over a SimpleTable: created, read, changed, listed, deleted; its own 404 and 400; CORS."""
    with application("rest_crud", tmp_path) as app:
        url = app.outputs["ApiUrl"]
        created = app.ask("POST", f"{url}/notes", {"text": "milk"})
        note = created.told
        assert (created.status, created.headers["location"]) == (201, note["id"])
        assert app.ask("PUT", f"{url}/notes/{note['id']}", {"text": "oat milk"}).told["revision"] == "2"
        assert app.ask("GET", f"{url}/notes/{note['id']}").told == {
            "id": note["id"],
            "text": "oat milk",
            "revision": "2",
        }
        assert app.ask("GET", f"{url}/notes").told["notes"] == [{"id": note["id"], "text": "oat milk", "revision": "2"}]
        refused = app.ask("POST", f"{url}/notes", {"text": 7})
        assert (refused.status, refused.told) == (400, {"statusCode": 400, "message": "a note has a text"})
        assert app.ask("PUT", f"{url}/notes/none", {"text": "x"}).status == 404
        assert app.ask("DELETE", f"{url}/notes/{note['id']}").status == 204
        gone = app.ask("GET", f"{url}/notes/{note['id']}")
        assert (gone.status, gone.told["message"]) == (404, f"no note {note['id']}")
        assert app.client("dynamodb").scan(TableName=app.outputs["Table"])["Count"] == 0
        asked = app.ask("OPTIONS", f"{url}/notes", origin="https://notes.example")
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, "https://notes.example")
        unknown = app.ask("PATCH", f"{url}/notes")
        assert (unknown.status, unknown.told) == (403, {"message": "Missing Authentication Token"})


def token(app: Application, *, email: str) -> dict[str, str]:
    """The tokens of a new member of the application's user pool, who signs in with a password."""
    cognito, pool = app.client("cognito-idp"), app.outputs["Pool"]
    attributes = [{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}]
    cognito.admin_create_user(UserPoolId=pool, Username=email, UserAttributes=attributes, MessageAction="SUPPRESS")
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password="opensesame1", Permanent=True)
    return cognito.initiate_auth(
        ClientId=app.outputs["Client"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": "opensesame1"},
    )["AuthenticationResult"]


def test_an_http_api_whose_callers_come_from_a_user_pool(tmp_path: Path) -> None:
    """A token of the pool lets in and its claims reach the function; without, or forged, 401; one route is for all."""
    with application("http_jwt", tmp_path) as app:
        url = app.outputs["ApiUrl"]
        assert (app.ask("GET", f"{url}/health").status, app.ask("GET", f"{url}/health").told) == (200, {"ok": True})
        nobody = app.ask("GET", f"{url}/me")
        assert (nobody.status, nobody.told, nobody.headers["www-authenticate"]) == (
            401, {"message": "Unauthorized"}, "Bearer",
        )  # fmt: skip
        tokens = token(app, email="ann@app.example")
        mine = app.ask("GET", f"{url}/orders/o%201?x=1", authorization=f"Bearer {tokens['IdToken']}")
        assert (mine.status, mine.headers["set-cookie"]) == (200, "seen=1; Secure; HttpOnly")
        assert mine.told == {"email": "ann@app.example", "route": "GET /orders/{order}", "order": "o 1"}
        header, claims, signature = tokens["IdToken"].split(".")
        forged = f"{header}.{claims}.{signature[::-1]}"
        assert app.ask("GET", f"{url}/me", authorization=f"Bearer {forged}").status == 401
        assert app.ask("GET", f"{url}/nowhere").told == {"message": "Not Found"}
        asked = app.ask("OPTIONS", f"{url}/health", origin="https://app.example", access_control_request_method="GET")
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, "https://app.example")


def test_a_classic_template_of_separate_resources(tmp_path: Path) -> None:
    """Inline code, mappings, conditions, an export; a proxy method and a mock one; a crash is API Gateway's 502."""
    with application("classic", tmp_path) as app:
        url = app.outputs["ApiUrl"]
        said = app.ask("GET", f"{url}/greet/ann")
        assert (said.status, said.told, said.headers["x-said"]) == (200, {"said": "hello ann!"}, "hello ann!")
        assert app.receive("Visits") == "ann"
        failed = app.ask("GET", f"{url}/greet/nobody")
        assert (failed.status, failed.told) == (502, {"message": "Internal server error"})
        asked = app.ask("OPTIONS", f"{url}/greet/ann")
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, "*")
        settings = app.client("lambda").get_function_configuration(FunctionName=app.outputs["Function"])
        assert (settings["MemorySize"], settings["Runtime"]) == (128, "python3.12")
        (rule,) = app.client("events").list_rule_names_by_target(TargetArn=settings["FunctionArn"])["RuleNames"]
        assert app.client("events").describe_rule(Name=rule)["ScheduleExpression"] == "rate(1 hour)"
        assert app.invoke("Function", {"source": "aws.events"}) == "tick"
        exports = app.client("cloudformation").list_exports()["Exports"]
        assert [each["Name"].endswith("-url") for each in exports] == [True]
