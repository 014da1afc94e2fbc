"""Phrases that an engineer would have to translate: refused in code, documents and test names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_NOT_TEXT = re.compile(r"\.(png|svg|ico|lock|json|csv|gz|zip|map|js)$|/vendor/|^LICENSE$")
_RATE = (
    "readings|requests|entries|commands|bytes|writes|posts|replies|responses|series|times|frames"
)
_RATE += "|events|devices|updates|points|values|messages|lines|rows|batches|syncs|calls|operations|MB|MiB"

# What to write instead → the pattern that is refused.
PATTERNS = {
    "is not a valid, is not": r"(?<!\bthere )\b(?:is|are|was|were) no (?!longer|more\b|fewer\b|less\b)\w",
    "report, return, show": r"\btold\b|\b(?:tell|tells|telling)\b(?! [\w ]{0,30}\bapart\b)",
    "responds with, returns": r"\banswer(?:s|ed)? (?:with )?(?:a )?[1-5]\d\d\b",
    "a client that, the caller that": r'(?:^\s*|[.:;]\s+|"""|#\s)Who(?:ever)?\s(?![^.\n]*\?)',
    "at most, as many as": r"\bso (?:many|much)\b",
    "accept, allow, release, skip": r"\blet(?:s|ting)? (?:\w+ ){0,3}(?:pass|go)\b|\blet_go\b"
    r"|\bpass(?:es|ed)? over\b",
    "is in, appears, remains": r"\bstands? (?:in|twice|there|at|on|behind|before)\b",
    "timeout": r"patien(?:ce|t)",
    "unsupported, unknown, invalid": r"\b(?:is|are) not known\b",
    "Tributary's, the standard": r"\bours\b",
    "per second, per turn": rf"\b(?:{_RATE}) an? (?:second|minute|turn|tick)\b"
    r"|_A_(?:SECOND|MINUTE|TURN|TICK)\b",
    "again, so, or else, during, permanently, fix": r"\b(?:anew|hence|lest|amid|amidst|for ever"
    r"|mend(?:s|ed)?)\b",
}


def texts() -> dict[str, str]:
    """The text files of the repository, by path."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    here = str(Path(__file__).relative_to(ROOT))
    paths = [path for path in listed if path != here and not _NOT_TEXT.search(path)]
    return {path: (ROOT / path).read_text() for path in paths if (ROOT / path).is_file()}


def offences(text: str) -> list[str]:
    """Each refused phrase as `line: phrase → what to write`."""
    found = []
    for remedy, pattern in PATTERNS.items():
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE):
            # What case-folding must not find: `Who` within a sentence is ordinary English.
            if "Who" in pattern and "Who" not in match[0]:
                continue
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{line}: {match[0].strip()!r} → {remedy}")
    return found


def test_every_text_is_plain_english():
    found = [f"{path}:{offence}" for path, text in texts().items() for offence in offences(text)]
    assert not found, "\n".join(found)


def test_the_patterns_find_what_they_are_meant_for():
    refused = [
        "'abc' is no time",
        "the server tells the client",
        "def told(): ...",
        "it answers 503",
        "Who takes nothing for five seconds is cut off",
        "So many bytes may be held",
        "Let a device pass that keeps the rule",
        "bad readings are passed over",
        "it stands in the README",
        "_READY_PATIENCE_S = 5",
        "encoding 'br' is not known",
        "a fault of ours",
        "1,000 readings a second",
        "_PARTS_A_TURN",
        "opened anew",
    ]
    accepted = [
        "there is no reading in it",
        "it is no longer needed",
        "to tell two devices apart",
        "allow 5 seconds; a second request waits",
        "# Who may import whom?",
        "the client, who is gone",
        "letters, outlets, hours",
    ]
    assert [text for text in refused if not offences(text)] == []
    assert [(text, found) for text in accepted if (found := offences(text))] == []
