"""The recording of the README: real output, in the format of asciinema, drawn without scripts."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET

from support.processes import ROOT

from scripts import recording

IMAGES = ROOT / "docs" / "images"


def events() -> list[recording.Event]:
    """The events of the recording that is stored."""
    header, *lines = (IMAGES / "first-start.cast").read_text().splitlines()
    assert json.loads(header)["version"] == 2
    return [(at, text) for at, _, text in map(json.loads, lines)]


def test_the_picture_is_that_of_the_recording():
    stored = events()
    assert (IMAGES / "first-start.svg").read_text() == recording.svg(stored), "scripts/recording"
    assert [at for at, _ in stored] == sorted(at for at, _ in stored)
    printed = "".join(text for _, text in stored)
    assert "tributary: ready on http://127.0.0.1:8000" in printed
    assert '{"success":true}' in printed
    assert "25 of 25 cars match what was sent" in printed


def test_the_picture_loads_nothing_and_runs_nothing():
    text = (IMAGES / "first-start.svg").read_text()
    root = ET.fromstring(text)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    targets = [element.get("href") for element in root.iter() if "href" in element.attrib]
    assert targets
    assert all(str(target).startswith("#") for target in targets)
    assert not [word for word in ("url(", "@import", "src=", "data:") if word in text]


def test_a_command_is_recorded_with_what_it_prints():
    recorder = recording.Recorder()
    program = f"{sys.executable} -c 'import sys; print(sys.stdout.isatty(), 6 * 7)'"
    with recorder.running(program, {}):
        pass
    shown = recording.frames(recorder.events)
    assert "True 42" in "".join(shown[-1][1])
    assert "True 42" in recording.asciicast(recorder.events)
