"""Matchers of labels, and which devices they can match. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import re2

from api.prometheus import bounds
from api.prometheus.bounds import bad_data

_LITERAL = re.compile(r"(?:[A-Za-z0-9_:/-]|\\[.:/-])*")
_UNESCAPE = re.compile(r"\\(.)")
_MEMORY_MAX_BYTES = 1 << 20  # of one compiled expression


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MEMORY_MAX_BYTES
    return options


_OPTIONS = _options()


class Matcher(NamedTuple):
    """A condition on one label; `value` is text, or a regular expression that is in `compiled`."""

    name: str
    value: str
    is_negative: bool
    compiled: Any | None

    @classmethod
    def equal(cls, name: str, value: str) -> Matcher:
        """`name="value"`."""
        return cls(name, value, is_negative=False, compiled=None)

    @classmethod
    def regex(cls, name: str, value: str, is_negative: bool) -> Matcher:  # noqa: FBT001 (an operator)
        """`name=~"value"` or `name!~"value"`; RE2, whose run time is linear.

        Raises:
            Refused: 400, it is not valid in RE2, or too large.
        """
        if len(value) > bounds.REGEX_MAX:
            raise bad_data(
                f"a regular expression has {len(value)} characters; use at most {bounds.REGEX_MAX}"
            )
        try:
            return cls(name, value, is_negative, re2.compile(value, _OPTIONS))
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if error.args else "rejected"
            raise bad_data(f"{value!r:.80} is not valid in RE2: {reason}") from None

    def matches(self, text: str) -> bool:
        """Whether the text of a label fulfils the condition; an absent label is empty."""
        if self.compiled is None:
            return (text == self.value) is not self.is_negative
        return (self.compiled.fullmatch(text) is not None) is not self.is_negative

    def alternatives(self) -> list[str] | None:
        """The only texts that match, if the condition lists them, as `a|b` does."""
        if self.is_negative:
            return None
        if self.compiled is None:
            return [self.value]
        inner = self.value
        if inner.startswith("(") and inner.endswith(")"):  # as Grafana writes several values
            inner = inner[1:-1]
        texts = inner.split("|")
        if not all(map(_LITERAL.fullmatch, texts)):
            return None
        return [_UNESCAPE.sub(r"\1", text) for text in texts]

    def prefix(self) -> str:
        """What every matching text begins with, as far as it is plain to see."""
        if self.compiled is None or self.is_negative or "|" in self.value:
            return ""
        match = _LITERAL.match(self.value)
        head = match[0] if match is not None else ""
        if self.value[len(head) : len(head) + 1] in tuple("*?+{"):
            head = head[: -2 if head[-2:-1] == "\\" else -1]
        return _UNESCAPE.sub(r"\1", head)


class Selection(NamedTuple):
    """The matchers of one selector."""

    matchers: list[Matcher]

    def matches(self, device: str, metric: str) -> bool:
        """Whether a series is selected; other labels are absent."""
        labels = {"device": device, "__name__": metric}
        return all(each.matches(labels.get(each.name, "")) for each in self.matchers)

    def matches_device(self, device: str) -> bool:
        """Whether series of this device can be selected."""
        labels = {"device": device}
        others = (each for each in self.matchers if each.name != "__name__")
        return all(each.matches(labels.get(each.name, "")) for each in others)

    def devices(self) -> list[str] | None:
        """The only devices that can match, if the matchers list them."""
        for each in self._of_device():
            names = each.alternatives()
            if names is not None:
                return sorted(filter(self.matches_device, set(names)))
        return None

    def prefix(self) -> str:
        """What the names of all matching devices begin with."""
        return max((each.prefix() for each in self._of_device()), key=len, default="")

    def equal_labels(self) -> dict[str, str]:
        """Labels with one possible text, except the name of the metric."""
        return {
            each.name: each.value
            for each in self.matchers
            if each.compiled is None and not each.is_negative and each.name != "__name__"
        }

    def _of_device(self) -> list[Matcher]:
        return [each for each in self.matchers if each.name == "device"]
