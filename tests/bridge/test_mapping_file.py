"""The mapping file is validated as a whole, and all of its errors are reported together."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import mapping
from bridge.mapping import Mapping, Mappings
from tributary.errors import Misconfigured
from tributary.model import catalogue

CATALOGUE = catalogue.load("")


def parse(text: str) -> list[Mapping]:
    return mapping.parse(text, CATALOGUE)


def test_a_table_becomes_a_mapping():
    [found] = parse(
        """
        [[topic]]
        filter = "garden/+/temp"
        format = "number"
        device = "garden-{2}"
        metric = "temperature"
        unit = "°F"
        """
    )
    assert found == Mapping(
        filter="garden/+/temp", format="number", device="garden-{2}", metric="temperature",
        unit="degF",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ('format = "json"', "filter is missing"),
        ('filter = "a"', "format is missing"),
        ('filter = "a/#/b"\nformat = "json"', "not the whole last level"),
        ('filter = "a"\nformat = "jsno"', "unknown; use one of json, number"),
        ('filter = "a"\nformat = "auto"', "unknown; use one of json, number"),
        ('filter = "a"\nformat = 7', "format = 7: use a text"),
        ('filter = "a"\nformat = "json"\nmetrik = "b"', "did you mean metric?"),
        ('filter = "a"\nformat = "json"\nmetric = "b"', "no effect with format = 'json'"),
        ('filter = "a"\nformat = "ignore"\ndevice = "b"', "no effect with format = 'ignore'"),
        ('filter = "a/+"\nformat = "json"\ndevice = "{3}"', "no certain level 3"),
        ('filter = "a/#"\nformat = "json"\ndevice = "{2}"', "no certain level 2"),
        ('filter = "a"\nformat = "json"\ndevice = "Living Room"', "use 1 to 128 characters"),
        ('filter = "a"\nformat = "number"\nmetric = "2nd"', "use a letter or _"),
        ('filter = "a"\nformat = "tasmota"\ntimezone = "Berlin"', "IANA name"),
        ('filter = "a"\nformat = "number"\nunit = "zorkmid"', "'zorkmid': unknown"),
        ('filter = "a"\nformat = "number"\nmetric = "speed"\nunit = "kg"', "converted to km/h"),
        ('filter = "a"\nformat = "json"\nrename = "b"', "use a table of texts"),
        ('filter = "a"\nformat = "json"\nrename = {a = "2nd"}', "rename to '2nd'"),
        ('filter = "a"\nformat = "json"\nunits = {speed = "kg"}', "converted to km/h"),
    ],
)
def test_an_error_names_the_table_and_the_remedy(fields: str, problem: str):
    with pytest.raises(Misconfigured) as caught:
        parse(f"[[topic]]\n{fields}")
    assert "[[topic]] 1: " in str(caught.value)
    assert problem in str(caught.value)


def test_all_errors_are_reported_at_once(tmp_path: Path):
    file = tmp_path / "topics.toml"
    file.write_text('topics = 1\n[[topic]]\nfilter = "a"\n[[topic]]\nformat = "x"\n')
    with pytest.raises(Misconfigured) as caught:
        mapping.load(str(file), CATALOGUE)
    text = str(caught.value)
    assert str(file) in text
    for each in ("topics: unknown", "1: format is missing", "2: filter is missing", "2: format = "):
        assert each in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[topic]\nfilter = 1", "two brackets"),
        ("x = ", "not TOML"),
        ("[[topic]]\n" * 1_001, "at most 1000"),
    ],
)
def test_a_file_without_tables_is_refused(text: str, problem: str):
    with pytest.raises(Misconfigured, match=problem):
        parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(Misconfigured, match=r"missing\.toml: No such file"):
        mapping.load(str(tmp_path / "missing.toml"), CATALOGUE)


def test_the_first_table_that_matches_is_used_before_the_usual_topics():
    given = parse(
        '[[topic]]\nfilter = "tele/x/#"\nformat = "ignore"\n'
        '[[topic]]\nfilter = "tele/#"\nformat = "json"\n'
    )
    mappings = Mappings(given)
    assert mappings.find("tele/x/SENSOR")[0] is given[0]
    assert mappings.find("tele/y/SENSOR")[0] is given[1]
    assert Mappings().find("tele/y/SENSOR")[0].format == "tasmota"


def test_the_cache_of_topics_is_bounded(monkeypatch: pytest.MonkeyPatch):
    mappings = Mappings()
    monkeypatch.setattr(Mappings, "_CACHED_MAX", 10)
    for number in range(100):
        mappings.find(f"a/{number}")
    assert len(mappings._cache) <= 10
