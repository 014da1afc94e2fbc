"""Packages import only the layers below them; roles never import each other."""

from __future__ import annotations

import ast
import graphlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"ingest", "aggregator", "bridge", "api", "jobs"}
# The bridge is another front end of the doors: the same rules for readings, caps and keys.
# Jobs read entries and compute aggregates with the code of the aggregator.
ALLOWED = {"bridge": {"ingest"}, "jobs": {"aggregator"}}
FILES = [
    path.relative_to(ROOT)
    for package in ("tributary", *sorted(ROLES))
    for path in sorted((ROOT / package).rglob("*.py"))
]


@cache
def nodes(path: Path) -> list[ast.AST]:
    """The imports of a file."""
    tree = ast.parse((ROOT / path).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def imported(path: Path) -> set[str]:
    """The top-level packages of the project that a file imports."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found & {"tributary", *ROLES}


def test_roles_import_only_tributary_and_themselves():
    """`tributary` imports no role: the command line loads records by the names in its list."""
    wrong = [
        f"{path} imports {name}"
        for path in FILES
        for name in imported(path)
        - {"tributary", path.parts[0]}
        - ALLOWED.get(path.parts[0], set())
    ]
    assert not wrong


# The packages in `tributary`: each may import those before it.
ORDER = (
    "model",
    "store",
    "history",
    "auth",
    "http",
    "operate",
    "process",
    "standalone",
    "cli",
)
# HTTP clients: they import no store, and each other only as listed here.
CLIENTS: dict[str, set[str]] = {"client": set(), "load": {"client"}, "simulate": {"client"}}
LOOSE = {"errors", "failpoints", "log", "settings"}  # below every package
# Exceptions, by module.
EXCEPTIONS: dict[str, set[str]] = {
    # writes files that only their owner may read
    "tributary/load/journal.py": {"tributary.standalone.private"},
    # pure functions that parse its values
    "tributary/settings.py": {
        "tributary.auth.browsers",
        "tributary.auth.cors",
        "tributary.history.url",
        "tributary.store.redis_url",
    },
}


def modules(path: Path) -> set[str]:
    """The modules and names of `tributary` that a file imports."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("tributary.")}


def below(package: str) -> set[str]:
    """The packages that a package may import."""
    if package in CLIENTS:
        return {*LOOSE, "model", package, *CLIENTS[package]}
    if package == "cli":
        return {*LOOSE, *ORDER, *CLIENTS, "__version__"}
    return {*LOOSE, "__version__", *ORDER[: ORDER.index(package) + 1]}


def test_packages_import_only_lower_layers():
    wrong = [
        f"{path} imports {name}"
        for path in FILES
        if path.parts[0] == "tributary"
        and (package := path.parts[1].removesuffix(".py")) in {*ORDER, *CLIENTS}
        for name in modules(path) - EXCEPTIONS.get(str(path), set())
        if name.split(".")[1] not in below(package)
    ]
    assert not wrong


def test_the_loose_modules_are_listed_and_import_only_pure_code():
    loose = {path.stem: path for path in FILES if path.parent == Path("tributary")}
    assert set(loose) == {*LOOSE, "__init__", "__main__"}
    wrong = [
        f"{loose[each]} imports {name}"
        for each in LOOSE
        for name in modules(loose[each]) - EXCEPTIONS.get(str(loose[each]), set())
        if name.split(".")[1] not in {*LOOSE, "model"}
    ]
    assert not wrong


def test_no_module_imports_the_command_line():
    inside = ("tributary/cli", "tributary/__main__.py")
    assert not [
        path
        for path in FILES
        if not path.is_relative_to(inside[0])
        and str(path) != inside[1]
        and any(f"{name}.".startswith("tributary.cli.") for name in modules(path))
    ]


def import_graph() -> dict[str, set[str]]:
    """Module → the modules that it imports, also inside functions and for type checking only."""
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        for node in nodes(path):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [each if each in names else node.module for each in full]
            else:
                continue
            graph[name] |= {each for each in found if each in names}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """Cycles of the graph, each broken up once it is found."""
    found = []
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            cycle = error.args[1]  # each module is imported by the next one
            found.append(" ← ".join(cycle))
            graph[cycle[1]].discard(cycle[0])
        else:
            return found


def test_no_modules_import_each_other_in_a_circle():
    found = cycles(import_graph())
    assert found == [], f"{len(found)} cycles"


def test_cycles_are_found():
    assert (
        len(cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a"}})) == 2
    )
