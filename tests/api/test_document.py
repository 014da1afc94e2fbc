"""The document is valid OpenAPI 3.1 and describes every route; its viewer loads no other host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from api import openapi
from tributary.auth.guard import Guard
from tributary.cli import roles
from tributary.process.http_server import make_app
from tributary.process.role import HttpRole
from tributary.settings import Settings
from tributary.store import redis_client

ROOT = Path(__file__).resolve().parents[2]


HTTP_ROLES = [role for role in roles.load_all() if isinstance(role, HttpRole)]


def app_of(settings: Settings, *served: HttpRole) -> Flask:
    return make_app(settings, Guard(settings, redis_client.connect(settings)), served)


# Pages for a browser, which the document leaves out.
PAGES = re.compile(r"/(docs(/.*)?|dashboard(/.*)?)?")


def routes(app: Flask) -> set[tuple[str, str]]:
    """Method and path of every route except pages, in the notation of the document."""
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not PAGES.fullmatch(rule.rule)
    }


def documented(settings: Settings) -> set[tuple[str, str]]:
    paths = openapi.document(settings, "0")["paths"]
    return {
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method != "head"
    }


def test_is_valid_openapi_3_1():
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - slow

    OpenAPIV31SpecValidator(openapi.document(Settings(), "0")).validate()
    OpenAPIV31SpecValidator(openapi.document(Settings(windows=""), "0")).validate()


@pytest.mark.parametrize("served", [HTTP_ROLES, *([role] for role in HTTP_ROLES)])
def test_describes_every_route(served: list[HttpRole], settings: Settings):
    missing = routes(app_of(settings, *served)) - documented(settings)
    assert not missing, "describe them in api/openapi"


def test_describes_only_routes_that_exist(settings: Settings):
    assert documented(settings) == routes(app_of(settings, *HTTP_ROLES))


def test_references_exist_and_every_schema_is_used():
    document = openapi.document(Settings(), "0")
    text = str(document)
    for kind, name in re.findall(r"#/components/(\w+)/(\w+)", text):
        assert name in document["components"][kind]
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(document["components"]["schemas"])
    operations = [o for methods in document["paths"].values() for o in methods.values()]
    assert len({o["operationId"] for o in operations}) == len(operations)


def test_contains_the_limits_of_the_deployment():
    document = openapi.document(Settings(batch_max_readings=7, windows="2m/1m"), "0")
    schemas = document["components"]["schemas"]
    assert schemas["Batch"]["maxItems"] == 7
    assert list(schemas["Metric"]["properties"]["windows"]["properties"]) == ["2m"]


def test_the_viewer_has_no_external_links_and_includes_its_license():
    folder = ROOT / "api/openapi/viewer"
    for name in ("index.html", "page.js", "page.css"):
        assert "//" not in re.sub(r"(?m)^//.*$", "", (folder / name).read_text()), name
    assert "Apache License" in (folder / "swagger-ui-5.35.0/swagger-ui.LICENSE.txt").read_text()
