"""The bill of materials of the image that this program runs in, as CycloneDX 1.6.

`scripts/sbom IMAGE` runs it with the Python of the image, so it uses the standard library only.
Components are the installed Python packages, with the license that each states, and the Debian
packages of the base image.
"""

from __future__ import annotations

import json
import platform
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

_STATUS = Path("/var/lib/dpkg/status")
_OS_RELEASE = Path("/etc/os-release")
Component = dict[str, Any]


def document(image: str) -> dict[str, Any]:
    """The document about this file system."""
    root = {"type": "container", "name": image, "bom-ref": f"image:{image}"}
    components = sorted([*python_packages(), *debian_packages()], key=lambda each: each["bom-ref"])
    own = next((each for each in components if each["name"] == "tributary"), None)
    if own is not None:
        root["version"] = own["version"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": root,
        },
        "components": [python(), *components],
    }


def python() -> Component:
    """The interpreter itself."""
    version = platform.python_version()
    purl = f"pkg:generic/python@{version}"
    return {"type": "platform", "name": "python", "version": version, "purl": purl, "bom-ref": purl}


def python_packages() -> Iterator[Component]:
    """Each installed distribution."""
    for found in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        purl = f"pkg:pypi/{quote(name)}@{quote(found.version)}"
        component: Component = {
            "type": "library", "name": name, "version": found.version, "purl": purl,
            "bom-ref": purl,
        }  # fmt: skip
        stated = license_of(found.metadata)
        if stated:
            component["licenses"] = [stated]
        yield component


def license_of(fields: metadata.PackageMetadata) -> dict[str, Any] | None:
    """The license that the metadata of a package states; an expression of SPDX if it has one."""
    expression = fields.get("License-Expression")
    if expression:
        return {"expression": expression}
    for classifier in fields.get_all("Classifier") or ():
        if classifier.startswith("License :: "):
            return {"license": {"name": classifier.rpartition(" :: ")[2]}}
    text = (fields.get("License") or "").strip()
    return {"license": {"name": text.splitlines()[0][:100]}} if text else None


def debian_packages() -> Iterator[Component]:
    """Each package of the base image that is installed."""
    if not _STATUS.exists():
        return
    release = dict(re.findall(r'^(\w+)="?(.*?)"?$', _OS_RELEASE.read_text(), re.MULTILINE))
    for block in _STATUS.read_text().split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", block, re.MULTILINE))
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        distro = f"{release.get('ID', 'debian')}-{release.get('VERSION_ID', '')}"
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}"
        purl += f"?arch={fields['Architecture']}&distro={distro}"
        yield {
            "type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl,
        }  # fmt: skip


if __name__ == "__main__":
    json.dump(document(sys.argv[1]), sys.stdout, indent=1)
    print()
