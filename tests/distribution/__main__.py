"""`scripts/package`: build the wheel and the sdist, and try them with versions of Python."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import click
from support.processes import ROOT

from distribution import package

_OUT = ROOT / "dist"


@click.command(epilog="Example: scripts/package 3.11 3.12 3.13")
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
def main(versions: tuple[str, ...]) -> None:
    """Build into dist/, and install and run the wheel with each of these versions of Python.

    Without a version, with that of .venv. `python3.12` must be on the PATH for 3.12.
    """
    with tempfile.TemporaryDirectory(prefix="tributary-package-") as name:
        folder = Path(name)
        built = package.build(folder / "dist")
        wrong = package.differences(built)
        for line in wrong:
            click.echo(line, err=True)
        for version in versions or [f"{sys.version_info[0]}.{sys.version_info[1]}"]:
            click.echo(_try(version, folder / version, built.wheel))
        shutil.rmtree(_OUT, ignore_errors=True)
        _OUT.mkdir()
        for path in built:
            shutil.copy2(path, _OUT)
            click.echo(f"{path.stat().st_size / 1e6:.1f} MB {(_OUT / path.name).relative_to(ROOT)}")
    sys.exit(1 if wrong else 0)


def _try(version: str, folder: Path, wheel: Path) -> str:
    python = shutil.which(f"python{version}")
    if python is None:
        raise click.UsageError(f"python{version} is not on the PATH")
    folder.mkdir()
    (folder / "empty").mkdir()
    began_s = time.monotonic()
    try:
        programs = package.install(python, folder / "venv", wheel)
        installed_s = time.monotonic()
        found = package.try_out(programs, folder / "empty")
    except AssertionError as error:
        raise click.ClickException(f"Python {version}: {error}") from None
    return (
        f"ok: Python {version}: tributary {found} installed in {installed_s - began_s:.0f} s, "
        f"recorded, collected and stopped in {time.monotonic() - installed_s:.0f} s"
    )


main(prog_name="scripts/package")
