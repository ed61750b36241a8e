"""The bill of materials (SBOM) of the wheel, as CycloneDX 1.6: what it was tested with, and the weights inside it.

    make sbom                dist/ltgc.cdx.json; the wheel has the same text as .dist-info/sboms/ltgc.cdx.json (PEP 770)

No time and no serial number is in it: the same tree makes the same bytes.
"""

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).parent.parent
NAME = "ltgc.cdx.json"


def package(line: str) -> dict[str, Any]:
    """Returns the component of a line of constraints.txt.

    >>> package("PyYAML==6.0.3")["purl"]
    'pkg:pypi/pyyaml@6.0.3'
    """
    name, _, version = line.partition("==")
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def weights(path: Path, package_folder: Path) -> dict[str, Any]:
    """Returns the component of a file of weights that lies in the wheel."""
    name = path.relative_to(package_folder.parent).as_posix()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    hashes = [{"alg": "SHA-256", "content": sha256}]
    return {"type": "machine-learning-model", "bom-ref": name, "name": name, "hashes": hashes}


def bom(root: Path) -> str:
    """Returns the SBOM of a tree, as JSON."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    purl = f"pkg:pypi/{project['name']}@{project['version']}"
    ours = {"type": "application", "bom-ref": purl, "name": project["name"], "version": project["version"]}
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    packages = [package(line) for line in lines if line and not line.startswith("#")]
    inside = [weights(path, root / "ltgc_cli") for path in sorted((root / "ltgc_cli").rglob("*.safetensors"))]
    licenses = [{"license": {"id": project["license"]}}]
    found = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**ours, "purl": purl, "licenses": licenses}},
        "components": [*packages, *inside],
        "dependencies": [{"ref": purl, "dependsOn": [one["bom-ref"] for one in packages]}],
    }
    return json.dumps(found, indent=1) + "\n"


class WithSbom(egg_info):
    """What setuptools says of a package, and its SBOM: a wheel's .dist-info is made of this folder."""

    def run(self) -> None:
        super().run()
        folder = Path(self.egg_info) / "sboms"
        folder.mkdir(exist_ok=True)
        (folder / NAME).write_text(bom(ROOT), encoding="utf-8")


if __name__ == "__main__":
    print(bom(ROOT), end="")
