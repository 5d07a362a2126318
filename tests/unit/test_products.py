"""Data products: descriptors, what is held against template and git, and how one is added; and the command's words."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.cli.main import main
from localcloud.products.adding import plan_product, write_descriptor, write_schema
from localcloud.products.checks import OWNED_KEY, check_products
from localcloud.products.descriptor import CLASSIFICATIONS, Product, ProductError, parse_product, read_products
from localcloud.template.errors import TemplateError
from localcloud.template.source import parse_template
from sluiceway.rules.schemas.modes import MODES
from tests.shape.conftest import ROOT

GOOD = """\
name: orders
owner: shop-team
description: Orders, as they are placed.
domain: shop
classification: internal
topic: orders
stream: OrdersStream
schema: schema.json
format: JSON
compatibility: BACKWARD
retention_hours: 24
service_level:
  freshness_s: 60
  availability_percent: 99.9
"""
TEMPLATE = """\
# What this is.
Parameters:
  Hours: {Type: Number, Default: 24}   # a comment

Resources:   # everything
  Queue: {Type: AWS::SQS::Queue}

  OrdersStream:
    Type: AWS::Kinesis::Stream
    Properties:
      RetentionPeriodHours: !Ref Hours
      Tags: [{Key: domain, Value: shop}, {Key: classification, Value: internal}]
# the end of it

Outputs:
  Url: {Value: !Ref Queue}
"""
DRAFT = "http://json-schema.org/draft-07/schema#"


def schema(**properties: str) -> str:
    """A closed object."""
    members = {name: {"type": kind} for name, kind in properties.items()}
    return json.dumps({"$schema": DRAFT, "type": "object", "additionalProperties": False, "properties": members})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A template with one product."""
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    put(tmp_path, "orders", GOOD, schema(order="integer"))
    return tmp_path


def put(root: Path, name: str, descriptor: str, text: str, file: str = "schema.json") -> None:
    folder = root / "products" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product.yaml").write_text(descriptor)
    (folder / file).write_text(text)


def problems(root: Path) -> list[str]:
    body = parse_template((root / "template.yaml").read_text(), name="template.yaml")
    return check_products(root / "products", body)[0]


def git(root: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.org", *words],
        check=True, capture_output=True,
    )  # fmt: skip


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")


# ---------------------------------------------------------------- descriptors


@pytest.mark.parametrize(
    ("line", "changed", "told"),
    [
        ("owner: shop-team\n", "", "owner: is missing"),
        ("owner: shop-team", "owner: ''", "owner: must be text of 1 to 1000 characters"),
        ("owner: shop-team", "owner: 5", "owner: must be text of 1 to 1000 characters"),
        ("domain: shop", "domain: The Shop", "domain: must be 1 to 63 of a-z, 0-9 and -, a letter first"),
        ("classification: internal", "classification: secret", "classification: must be one of public, internal"),
        ("topic: orders", "topic: a/b", "topic: must be 1 to 64 of a-z"),
        ("schema: schema.json", "schema: ../x.json", "schema: must be a .json or .avsc file beside this one"),
        ("format: JSON", "format: AVRO", "schema: a schema of format JSON is a .json file, one of AVRO an .avsc"),
        ("compatibility: BACKWARD", "compatibility: SOME", "compatibility: must be one of NONE, DISABLED"),
        ("retention_hours: 24", "retention_hours: 23", "retention_hours: must be a whole number from 24 to 8,760"),
        ("retention_hours: 24", "retention_hours: 24.5", "retention_hours: must be a whole number from 24 to 8,760"),
        ("retention_hours: 24", "retention_hours: true", "retention_hours: must be a whole number from 24 to 8,760"),
        ("  freshness_s: 60\n", "", "service_level: freshness_s: is missing"),
        ("99.9", "101", "service_level: availability_percent: must be a number from 1 to 100"),
        ("name: orders", "name: order", "name: must be 'orders', as its folder is"),
        ("name: orders", "name: orders\nteam: x", "team: there is no such field"),
        ("service_level:", "service_level: none\nx:", "service_level: must be a map"),
    ],
)
def test_an_error_names_file_field_and_limit(line: str, changed: str, told: str) -> None:
    """One field wrong in a descriptor that is good otherwise."""
    assert GOOD.count(line) >= 1
    with pytest.raises(ProductError) as caught:
        parse_product(GOOD.replace(line, changed, 1), name="orders")
    assert str(caught.value).startswith(f"products/orders/product.yaml: {told}")


@pytest.mark.parametrize("text", ["", "[]", "a: [", "a: 1\na: 2", "&a [*a, *a]", "x"])
def test_what_is_no_map_is_refused(text: str) -> None:
    """With the file, and the line where YAML breaks."""
    with pytest.raises(ProductError, match=r"^products/orders/product\.yaml"):
        parse_product(text, name="orders")


@given(
    st.builds(
        Product, name=st.just("orders"), owner=st.text("aé: #'\"\\{", min_size=1).filter(str.strip).map(str.strip),
        description=st.text(min_size=1).map(ascii).map(str.strip), domain=st.sampled_from(["a", "no", "y"]),
        classification=st.sampled_from(CLASSIFICATIONS), topic=st.sampled_from(["orders", "1", "1.5", "null"]),
        stream=st.just("OrdersStream"), schema=st.just("schema.json"), data_format=st.just("JSON"),
        compatibility=st.sampled_from(MODES), retention_hours=st.integers(24, 8_760),
        freshness_s=st.integers(1, 86_400), availability_percent=st.sampled_from([1.0, 99.0, 99.95, 100.0]),
    )
)  # fmt: skip
def test_a_descriptor_is_written_as_it_is_read(product: Product) -> None:
    """Whatever the fields hold, words that YAML would take for numbers or nothing included."""
    assert parse_product(write_descriptor(product), name="orders") == product


def test_every_product_is_told_good_or_bad(project: Path) -> None:
    """A folder without a descriptor and one that is too large are errors, a file between the folders is none."""
    (project / "products" / "README.md").write_text("x")
    (project / "products" / "empty").mkdir()
    put(project, "large", GOOD + "# " + "x" * 20_000, "{}")
    found = read_products(project / "products")
    assert [type(each) for each in found] == [ProductError, ProductError, Product]
    assert "product.yaml: cannot be read" in str(found[0])
    assert "bytes, 16384 are allowed" in str(found[1])
    assert read_products(project / "none") == []


# ---------------------------------------------------------------- beside the template


def test_a_good_product_has_no_problems(project: Path) -> None:
    """Beside a template whose stream has its retention (by a parameter's default) and tags."""
    assert problems(project) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("OrdersStream:", "OtherStream:", "stream: the template has no AWS::Kinesis::Stream OrdersStream"),
        ("AWS::Kinesis::Stream", "AWS::SQS::Queue", "stream: the template has no AWS::Kinesis::Stream OrdersStream"),
        ("Default: 24", "Default: 48", "retention_hours: is 24, OrdersStream of the template has 48"),
        ("!Ref Hours", "!If [A, 24, 48]", "retention_hours: is 24, OrdersStream of the template has (known when it is"),
        ("Value: shop", "Value: store", "domain: is shop, OrdersStream of the template has the tag store"),
        (
            "{Key: classification",
            "{Key: other",
            "classification: is internal, OrdersStream of the template has the tag (none)",
        ),
    ],
)
def test_the_template_must_agree(project: Path, before: str, after: str, told: str) -> None:
    """Stream, retention, domain, classification: each by name."""
    template = project / "template.yaml"
    template.write_text(TEMPLATE.replace(before, after, 1))
    assert len(problems(project)) == 1
    assert problems(project)[0].startswith(f"products/orders/product.yaml: {told}")


@pytest.mark.parametrize(
    ("level", "encryption", "told"),
    [
        ("internal", "", ""),
        ("confidential", "", "confidential needs StreamEncryption"),
        ("confidential", OWNED_KEY, ""),
        ("restricted", OWNED_KEY, "restricted needs a key of your own"),
        ("restricted", "arn:aws:kms:eu-west-1:123456789012:key/a", ""),
    ],
)
def test_what_is_secret_is_encrypted(project: Path, level: str, encryption: str, told: str) -> None:
    """And what is restricted with a key that can be withheld."""
    text = TEMPLATE.replace("Value: internal", f"Value: {level}")
    if encryption:
        text = text.replace(
            "      Tags:", f"      StreamEncryption: {{EncryptionType: KMS, KeyId: '{encryption}'}}\n      Tags:"
        )
    (project / "template.yaml").write_text(text)
    put(project, "orders", GOOD.replace("classification: internal", f"classification: {level}"), schema())
    assert [told in each for each in problems(project)] == ([True] if told else [])


def test_topic_and_stream_are_one_products(project: Path) -> None:
    """Both products are told."""
    put(project, "copies", GOOD.replace("name: orders", "name: copies"), schema())
    told = problems(project)
    assert [each.partition(": ")[2] for each in told] == [
        "topic: is another product's as well", "topic: is another product's as well",
        "stream: is another product's as well", "stream: is another product's as well",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "products/orders/schema.json: is no JSON"),
        ('{"$schema": "x"}', r"products/orders/schema.json: $schema must be one of"),
        (schema(a="text"), "products/orders/schema.json: /properties/a/type must be of"),
    ],
)
def test_the_schema_must_be_one(project: Path, text: str, told: str) -> None:
    """With the file and the place in it."""
    put(project, "orders", GOOD, text)
    assert [each.startswith(told) for each in problems(project)] == [True]
    (project / "products" / "orders" / "schema.json").unlink()
    assert problems(project) == ["products/orders/schema.json: cannot be read"]


# ---------------------------------------------------------------- beside git


@pytest.fixture
def history(project: Path) -> Path:
    """The product, committed."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    git(project, "init", "-q", ".")
    commit(project)
    return project


def test_a_schema_must_follow_the_one_that_is_committed(history: Path) -> None:
    """Before the commit and after it: CI sees the commit."""
    put(history, "orders", GOOD, schema(order="integer", note="string"))
    assert problems(history) == []
    commit(history)
    assert problems(history) == []
    put(history, "orders", GOOD, schema(order="string", note="string"))
    told = ["products/orders/schema.json: BACKWARD: order: may be integer, and is read as string"]
    assert problems(history) == told
    commit(history)
    assert problems(history) == told
    put(history, "orders", GOOD.replace("BACKWARD", "NONE"), schema(order="string", note="string"))
    assert problems(history) == []


def test_all_looks_at_every_commit(history: Path) -> None:
    """A field of Avro goes and comes back with another type; it is followed under another file name as well."""

    def save(fields: list[dict[str, Any]], mode: str, file: str = "schema.avsc") -> None:
        descriptor = GOOD.replace("format: JSON", "format: AVRO").replace("schema.json", file).replace("BACKWARD", mode)
        put(history, "orders", descriptor, json.dumps({"type": "record", "name": "R", "fields": fields}), file)

    save([{"name": "b", "type": "int"}], "NONE")
    assert problems(history) == []
    shutil.rmtree(history / ".git")
    git(history, "init", "-q", ".")
    commit(history)
    save([], "BACKWARD", "order.avsc")
    assert problems(history) == []
    commit(history)
    save([{"name": "b", "type": "string", "default": ""}], "BACKWARD", "order.avsc")
    assert problems(history) == []
    save([{"name": "b", "type": "string", "default": ""}], "BACKWARD_ALL", "order.avsc")
    assert problems(history) == ["products/orders/order.avsc: BACKWARD: b: is int, and is read as string"]


def test_another_format_needs_none(history: Path) -> None:
    """Readers of JSON read no Avro."""
    avro = GOOD.replace("format: JSON", "format: AVRO").replace("schema.json", "schema.avsc")
    put(history, "orders", avro, '{"type": "record", "name": "R", "fields": []}', "schema.avsc")
    (told,) = problems(history)
    assert told.startswith("products/orders/schema.avsc: has another format than a version before it")


def test_a_product_in_a_folder_of_a_repository(history: Path, tmp_path: Path) -> None:
    """The application may be a part of a repository; elsewhere, and where git was cut off, it is said."""
    inner = history / "app"
    inner.mkdir()
    shutil.copytree(history / "products", inner / "products")
    shutil.copy(history / "template.yaml", inner)
    commit(history)
    put(inner, "orders", GOOD, schema(order="string"))
    assert len(problems(inner)) == 1
    shutil.rmtree(history / ".git")
    body = parse_template(TEMPLATE, name="t")
    assert check_products(inner / "products", body)[1] == [
        "products/orders/product.yaml: this is no git repository: nothing to compare with"
    ]


def test_a_shallow_clone_is_told(history: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A history that is cut off compares less: nobody should take that for a yes."""
    put(history, "orders", GOOD, schema(order="integer", note="string"))
    commit(history)
    clone = tmp_path_factory.mktemp("clone")
    git(history, "clone", "-q", "--depth", "1", f"file://{history}", str(clone / "c"))
    found, notes = check_products(clone / "c" / "products", parse_template(TEMPLATE, name="t"))
    assert (found, ["cut off" in note for note in notes]) == ([], [True])


# ---------------------------------------------------------------- adding one

NEW = replace(parse_product(GOOD, name="orders"), name="tool-events", topic="tool-events", stream="ToolEventsStream")


def test_a_product_is_put_behind_the_last_resource(project: Path) -> None:
    """Every line that was there is there, in its order; the new ones stand between resources and outputs."""
    change = plan_product(NEW, project / "template.yaml", key=OWNED_KEY)
    text = change.files[project / "template.yaml"]
    lines, added = text.splitlines(), change.added.splitlines()
    assert lines[change.line - 1 : change.line - 1 + len(added)] == added
    rest = lines[: change.line - 1] + lines[change.line - 1 + len(added) :]
    assert [line for line in rest if line] == [line for line in TEMPLATE.splitlines() if line]
    body = parse_template(text, name="t")
    assert list(body["Resources"])[2:] == [
        "ToolEventsStream", "ToolEventsProducers", "ToolEventsConsumers", "ToolEventsAgeAlarm",
        "ToolEventsThrottlesAlarm",
    ]  # fmt: skip
    write(change.files)
    assert problems(project) == []


def write(files: Mapping[Path, str]) -> None:
    for path, content in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def test_a_name_that_yaml_takes_for_something_else(project: Path) -> None:
    """`no`, `null`, `on`: names are text, in the descriptor and in the stream's tags."""
    for name in ("no", "null", "on"):
        product = replace(NEW, name=name, topic=name, domain=name, stream=f"{name.capitalize()}Stream")
        write(plan_product(product, project / "template.yaml", key=OWNED_KEY).files)
    body = parse_template((project / "template.yaml").read_text(), name="t")
    assert {each["Key"]: each["Value"] for each in body["Resources"]["NoStream"]["Properties"]["Tags"]} == {
        "domain": "no", "classification": "internal", "product": "no",
    }  # fmt: skip
    assert problems(project) == []


@pytest.mark.parametrize("level", CLASSIFICATIONS)
@pytest.mark.parametrize("data_format", ["JSON", "AVRO"])
def test_what_is_added_passes_the_check(project: Path, level: str, data_format: Any) -> None:
    """Of every classification and format; what is restricted with a key of one's own."""
    file = "schema.avsc" if data_format == "AVRO" else "schema.json"
    product = replace(NEW, classification=level, data_format=data_format, schema=file)
    key = "arn:aws:kms:eu-west-1:123456789012:key/a-b" if level == "restricted" else OWNED_KEY
    write(plan_product(product, project / "template.yaml", key=key).files)
    assert problems(project) == []
    assert write_schema(product).endswith("}\n")


@pytest.mark.parametrize(
    "text",
    [
        '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}',
        "Resources: {Queue: {Type: AWS::SQS::Queue}}\n",
        "Resources:\n    Queue: {Type: AWS::SQS::Queue}\n",
        "Resources:\n Queue:\n  Type: AWS::SQS::Queue\n",
        "Parameters: {}\n",
        "",
    ],
)
def test_a_template_that_cannot_be_added_to_stays(project: Path, text: str) -> None:
    """JSON, one line, another indentation, no resources: an error, and no file is written."""
    template = project / "template.yaml"
    template.write_text(text)
    with pytest.raises(TemplateError):
        plan_product(NEW, template, key=OWNED_KEY)
    assert template.read_text() == text
    assert not (project / "products" / "tool-events").exists()


def test_a_template_without_a_section_behind_its_resources(project: Path) -> None:
    """The resources end with the file, with or without a last line end."""
    template = project / "template.yaml"
    for text in ("Resources:\n  Queue: {Type: AWS::SQS::Queue}", "Resources:\n  Queue: {Type: AWS::SQS::Queue}\n\n\n"):
        template.write_text(text)
        change = plan_product(NEW, template, key=OWNED_KEY)
        assert change.files[template].startswith(f"{text.rstrip()}\n\n  # ---")


def test_nothing_is_taken_over(project: Path) -> None:
    """A product, or a resource, that is there already; a key that is none, and one that cannot be withheld."""
    template = project / "template.yaml"
    for product, key, told in (
        (replace(NEW, name="orders"), OWNED_KEY, "products/orders: is there already"),
        (replace(NEW, stream="OrdersStream"), OWNED_KEY, "the template has a resource OrdersStream already"),
        (NEW, "alias/mine", "products/tool-events: key: must be alias/aws/kinesis or the ARN of a key"),
        (replace(NEW, classification="restricted"), OWNED_KEY, "restricted needs a key of your own"),
    ):
        with pytest.raises(ProductError, match=told):
            plan_product(product, template, key=key)


# ---------------------------------------------------------------- the command


def test_the_command_checks_and_tells(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where all is well; 1 with a line for each problem; 2 for a template that cannot be read."""
    template = str(project / "template.yaml")
    assert main(["product", "check", "-t", template]) == 0
    assert main(["product", "list", "-t", template, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["service_level" if "service_level" in listed else "freshness_s"]) == ("orders", 60)
    assert main(["product", "show", "orders", "-t", template]) == 0
    assert parse_product(capsys.readouterr().out, name="orders").owner == "shop-team"
    (project / "template.yaml").write_text(TEMPLATE.replace("Default: 24", "Default: 48"))
    assert main(["product", "check", "-t", template]) == 1
    assert capsys.readouterr().out == (
        "products/orders/product.yaml: retention_hours: is 24, OrdersStream of the template has 48\n"
    )
    assert main(["product", "check", "-t", template, "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 1
    put(project, "bad", "x: 1", "{}")
    assert main(["product", "list", "-t", template]) == 1
    assert main(["product", "show", "none", "-t", template]) == 2
    assert main(["product", "check", "-t", str(project / "none.yaml")]) == 2


def test_the_command_adds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --dry-run the change is shown and nothing written; without it both; limits are the descriptor's own."""
    words = ["product", "add", "tool-events", "-t", str(project / "template.yaml"), "--owner", "ops", "--domain", "ops"]
    words += ["--description", "What tools did: each call."]
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "would add" in shown
    assert "+  ToolEventsStream:\n" in shown
    assert "no function serves the topic yet" in shown.splitlines()[-1]
    assert (project / "template.yaml").read_text() == TEMPLATE
    assert not (project / "products" / "tool-events").exists()
    assert main(words) == 0
    assert main(["product", "check", "-t", str(project / "template.yaml")]) == 0
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*words[:2], "Tool", *words[3:]]) == 2
    assert main([*words, "--retention-hours", "5"]) == 2
    assert "retention_hours: must be a whole number from 24 to 8,760" in capsys.readouterr().err


def test_this_applications_products_are_in_order() -> None:
    """Beside template.yaml with the tags that docs/products.md gives its stream."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    body = parse_template(text, name="template.yaml")
    page = (ROOT / "docs" / "products.md").read_text(encoding="utf-8")
    block = next(each for each in page.split("```yaml\n") if each.startswith("Parameters:")).partition("```")[0]
    documented = parse_template(block, name="docs/products.md")["Resources"]["RecordsStream"]["Properties"]
    body["Resources"]["RecordsStream"]["Properties"].setdefault("Tags", documented["Tags"])
    assert check_products(ROOT / "products", body)[0] == []
