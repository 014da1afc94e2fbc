"""An unexpected error: the client gets an id, and the log has the same id and the traceback."""

from __future__ import annotations

import re

from flask import Blueprint
from loguru import logger

from tributary.http import flask_app


def test_an_internal_error_is_logged_under_the_id_that_the_client_gets():
    blueprint = Blueprint("broken", __name__)

    @blueprint.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret detail")

    logged: list[str] = []
    sink = logger.add(logged.append, format="{extra} {message}")
    try:
        response = flask_app.make_app("test", blueprint).test_client().get("/broken")
    finally:
        logger.remove(sink)
    assert response.status_code == 500
    error = response.get_json()["error"]
    assert error["code"] == "internal"
    assert "secret detail" not in error["message"]
    error_id = re.search(r"[0-9a-f]{16}", error["message"])
    assert error_id is not None
    (line,) = logged
    assert error_id[0] in line
    assert "'action': 'internal_error'" in line
    assert "ZeroDivisionError" in line
