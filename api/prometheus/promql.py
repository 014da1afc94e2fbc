"""Parses PromQL with `promql-parser`, within bounds that keep the parser fast.

The parser is recursive and would compile every regular expression with Unicode tables, so its
input is bounded beforehand, and regular expressions are replaced by placeholders and compiled by
RE2 instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import promql_parser as syntax

from api.prometheus import bounds
from api.prometheus.bounds import bad_data, unsupported
from api.prometheus.matching import Matcher, Selection

_TOKEN = re.compile(
    r"""(?P<regex>[=!]~)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?P<space>\s+)"""
    r"""|(?P<comment>\#[^\n]*)|(?P<operation>[-+*/%^=<>!(\[,]|\b(?:and|or|unless|atan2)\b)"""
    r"""|(?P<word>[A-Za-z0-9_:.]+)|(?P<other>.)""",
    re.DOTALL,
)
_IS_REGEX = (syntax.MatchOp.Re, syntax.MatchOp.NotRe)
_IS_NEGATIVE = (syntax.MatchOp.NotEqual, syntax.MatchOp.NotRe)


class Query(NamedTuple):
    """A parsed query; the placeholders in its matchers are indexes of `regexes`."""

    root: syntax.Expr
    regexes: list[str]

    def selection(self, selector: syntax.VectorSelector) -> Selection:
        """The matchers of a selector.

        Raises:
            Refused: 400, the matchers are not supported, or all of them match the empty text.
        """
        if selector.at is not None:
            raise unsupported("the modifier @")
        if selector.matchers.or_matchers:
            raise unsupported("or between matchers")
        found = [self._matcher(each) for each in selector.matchers.matchers]
        if selector.name is not None:
            found.insert(0, Matcher.equal("__name__", selector.name))
        if all(each.matches("") for each in found):
            raise bad_data(
                "a selector needs a matcher that does not match the empty text, such as a metric "
                'or device=~".+"'
            )
        return Selection(found)

    def _matcher(self, given: syntax.Matcher) -> Matcher:
        is_negative = given.op in _IS_NEGATIVE
        if given.op in _IS_REGEX:
            return Matcher.regex(given.name, self.regexes[int(given.value)], is_negative)
        return Matcher(given.name, given.value, is_negative, None)


def parse(text: str, field: str = "query") -> Query:
    """Parse a query.

    Raises:
        Refused: 400, it is too long, too complex or not PromQL.
    """
    if len(text) > bounds.QUERY_MAX:
        raise bad_data(f"{field} has {len(text)} characters; use at most {bounds.QUERY_MAX}", field)
    regexes: list[str] = []
    operations = 0
    parts = []
    for kind, part in _tokens(text):
        operations += kind == "operation"
        if kind == "pattern":
            parts.append(f'"{len(regexes)}"')
            regexes.append(_literal(part, field))
        else:
            parts.append(part)
    if operations > bounds.OPERATIONS_MAX:
        raise bad_data(
            f"{field} has {operations} operators, parentheses and commas; use at most "
            f"{bounds.OPERATIONS_MAX}, and =~ with alternatives instead of many selectors",
            field,
        )
    return Query(_parsed("".join(parts), field), regexes)


def parse_selector(text: str) -> Selection:
    """Parse a `match[]`.

    Raises:
        Refused: 400, it is not an instant selector without offset.
    """
    query = parse(text, "match[]")
    selector = query.root
    if not isinstance(selector, syntax.VectorSelector) or selector.offset is not None:
        raise bad_data(f"match[]={text!r:.80} is not a selector like speed{{…}}", "match[]")
    return query.selection(selector)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Kinds and texts of the parts; a string after =~ or !~ is a `pattern`."""
    is_pattern = False
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        yield "pattern" if is_pattern and kind == "string" else kind, match[0]
        if kind not in ("space", "comment"):
            is_pattern = kind == "regex"


def _literal(quoted: str, field: str) -> str:
    literal = _parsed(quoted, field)
    assert isinstance(literal, syntax.StringLiteral)
    return literal.val


def _parsed(text: str, field: str) -> syntax.Expr:
    try:
        return syntax.parse(text)
    except ValueError as error:
        raise bad_data(f"{field} is not valid PromQL: {error}", field) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust; it is not an `Exception`
            raise
        raise bad_data(f"{field} cannot be parsed: {error}", field) from None
