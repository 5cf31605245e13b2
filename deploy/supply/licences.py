"""The licence of every package in uv.lock, by what the installed packages say of themselves.

    .venv/bin/python -m deploy.supply.licences          # prints docs/licences.md
    .venv/bin/python -m deploy.supply.licences --sbom   # adds the licences to a CycloneDX document on standard input

Stops where a package says nothing that is known here: then look it up, and add it to `SAID`.
"""

import json
import re
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SPDX = {
    "Apache": "Apache-2.0", "Apache 2": "Apache-2.0", "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0", "MIT License": "MIT",
    "ISC License (ISCL)": "ISC", "ISC License": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip
"""What is written instead of an SPDX identifier, where that says which one is meant."""
SAID = {
    "colorama": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "python-stdnum": "LGPL-2.1-or-later",
    "saxonche": "MPL-2.0",
    "venusian": "LicenseRef-Repoze",
    "faust-streaming": "BSD-3-Clause",
    "mode-streaming": "BSD-3-Clause",
    "factur-x": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "iso4217": "LicenseRef-Public-Domain",
    "uvloop": "MIT OR Apache-2.0",
}
"""Looked up in the packages' own licence files: they say it in words alone, or are not installed on every system."""
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "EUPL-1.2", "ISC", "LGPL-2.1-or-later",
    "LicenseRef-Public-Domain", "LicenseRef-Repoze", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
}  # fmt: skip
"""May be used by a program under EUPL-1.2: those that ask for source ask for that of their own files."""


_PAGE = """\
# Licences

Plafond is under EUPL-1.2. This is what `uv.lock` brings; `make licences` writes the page anew, and a test tells when it
is not that of the lock file. None asks for the source of what only uses it: LGPL (python-stdnum) and MPL (certifi) ask
for that of their own files, which are used unchanged.

The program runs with {packages} packages; the others are for tests and checks alone. Its licences:
{licences}.

| package | version | licence | for |
| --- | --- | --- | --- |
{table}

What does not come with `uv.lock`: Kafka (Apache-2.0) and PostgreSQL (PostgreSQL licence), which run beside it; for
tests the jars that the poms in `deploy/local` name, veraPDF (GPL-3.0 or MPL-2.0) among them, and what
`deploy/local/focus/requirements.txt` names.
"""


class UnknownLicenceError(Exception):
    """A package does not say its licence in a form that is known here."""


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package; `at_run_time` tells that the program needs it, and not only its tests."""

    name: str
    version: str
    licence: str
    at_run_time: bool


def packages(lock: dict[str, Any]) -> list[Package]:
    """Return the packages of a lock file, without the project itself."""
    known = {each["name"]: each for each in lock["package"]}
    [project] = [each for each in known.values() if "editable" in each["source"]]
    needed = _reached(known, project.get("dependencies", []))
    return [
        Package(name, each["version"], licence(name), name in needed)
        for name, each in sorted(known.items())
        if each is not project
    ]


def _reached(known: dict[str, Any], dependencies: list[dict[str, Any]]) -> set[str]:
    """Return the packages that some need, and all that those need."""
    found: set[str] = set()
    waiting = [(each["name"], each.get("extra", [])) for each in dependencies]
    while waiting:
        name, extras = waiting.pop()
        wanted = list(known[name].get("dependencies", [])) if name not in found else []
        for extra in extras:
            wanted += known[name].get("optional-dependencies", {}).get(extra, [])
        found.add(name)
        waiting += [(each["name"], each.get("extra", [])) for each in wanted if each["name"] not in found]
    return found


def licence(name: str) -> str:
    """Return a package's licence as an SPDX expression; raises UnknownLicenceError."""
    if name in SAID:
        return SAID[name]
    try:
        found = _said(distribution(name))
    except PackageNotFoundError:
        found = []
    for each in found:
        expression = SPDX.get(each, each)
        if set(re.split(r" (?:AND|OR) ", expression)) <= ALLOWED:
            return expression
    raise UnknownLicenceError(f"{name} says {found or 'nothing'}: look its licence up, and add it to SAID or SPDX")


def _said(of: Distribution) -> list[str]:
    """Return what a package says, the clearest first: an expression, classifiers, free text."""
    classifiers = [each for each in of.metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    said = [of.metadata.get("License-Expression"), of.metadata.get("License")]
    return [each for each in [*said, *(name.rpartition(" :: ")[2] for name in classifiers)] if each]


def page(found: list[Package]) -> str:
    """Return docs/licences.md."""
    counts = Counter(each.licence for each in found if each.at_run_time)
    summary = [f"{name} {count}" for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]
    table = "\n".join(f"| {each.name} | {each.version} | {each.licence} | {_use(each)} |" for each in found)
    return _PAGE.format(packages=sum(counts.values()), licences=", ".join(summary), table=table)


def _use(package: Package) -> str:
    return "the program" if package.at_run_time else "tests"


def with_licences(document: dict[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX document in which each component has its licence."""
    components = [
        {**each, "licenses": [{"expression": licence(each["name"])}]} for each in document.get("components", [])
    ]
    project = {**document["metadata"]["component"], "type": "application", "licenses": [{"expression": "EUPL-1.2"}]}
    return {**document, "metadata": {**document["metadata"], "component": project}, "components": components}


def main() -> None:
    """Print the page, or the document that is given with licences."""
    if sys.argv[1:] == ["--sbom"]:
        json.dump(with_licences(json.load(sys.stdin)), sys.stdout, indent=1)
        return
    sys.stdout.write(page(packages(tomllib.loads((ROOT / "uv.lock").read_text("utf-8")))))


if __name__ == "__main__":
    main()
