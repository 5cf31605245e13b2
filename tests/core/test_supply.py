"""What the program is made of: every file has its hash, every package its licence, and the pages say what the lock file says."""

import json
import os
import re
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.supply.licences import ALLOWED, UnknownLicenceError, licence, packages, page, with_licences

ROOT = Path(__file__).parents[2]
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
UV = ROOT / ".cache" / "uv" / "bin" / "uv"
needs_uv = pytest.mark.skipif(not UV.exists(), reason="uv is not in .cache: run `make setup`")


def test_every_file_of_the_lock_has_its_hash():
    for each in LOCK["package"]:
        if "editable" in each["source"]:
            continue
        files = [*each.get("wheels", []), *([each["sdist"]] if "sdist" in each else [])]
        assert files, each["name"]
        for file in files:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]), each["name"]


@pytest.mark.parametrize("name", ["uv", "focus"])
def test_every_requirement_has_its_hash(name: str):
    text = (ROOT / "deploy" / "local" / name / "requirements.txt").read_text("utf-8")
    lines = [
        line for line in re.sub(r"\\\n", "", text).splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert lines
    assert [line for line in lines if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_the_page_of_licences_is_that_of_the_lock():
    assert (ROOT / "docs" / "licences.md").read_text("utf-8") == page(packages(LOCK)), "run `make licences`"


def test_what_runs_is_told_from_what_tests():
    found = {each.name: each.at_run_time for each in packages(LOCK)}
    assert found["asyncpg"]
    assert found["starlette"], "FastAPI needs it"
    assert not found["pytest"]
    assert not found["kubernetes-validate"]


def test_a_licence_that_is_not_known_is_an_error():
    assert licence("asyncpg") in ALLOWED
    with pytest.raises(UnknownLicenceError, match="not-there says nothing"):
        licence("not-there")


@needs_uv
def test_the_bill_of_materials_has_every_package_with_hashes_and_licence():
    command = [UV, "export", "--quiet", "--frozen", "--no-dev", "--format", "cyclonedx1.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    bill = with_licences(json.loads(done.stdout))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["name"] == "plafond"
    there = {each["name"]: each for each in bill["components"]}
    assert {(each.name, each.version) for each in packages(LOCK) if each.at_run_time} == {
        (each["name"], each["version"]) for each in there.values()
    }
    for name, each in there.items():
        assert each["purl"] == f"pkg:pypi/{name}@{each['version']}"
        assert each["licenses"] == [{"expression": licence(name)}]
        hashes = [found for file in each["externalReferences"] for found in file["hashes"]]
        assert hashes
        assert {found["alg"] for found in hashes} == {"SHA-256"}


@needs_uv
def test_a_database_that_cannot_be_reached_is_said():
    done = look_up("http://127.0.0.1:9")
    assert done.returncode == 3
    assert "NOTHING was checked" in done.stderr


@needs_uv
def test_what_the_database_knows_is_told():
    with database({}) as url:
        clean = look_up(url)
    assert clean.returncode == 0, clean.stdout
    with database({"certifi": "GHSA-test-0001"}) as url:
        found = look_up(url)
    assert found.returncode == 1, found.stdout
    assert "GHSA-test-0001" in found.stdout


def look_up(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "deploy" / "supply" / "vulnerabilities.sh", "--service-url", url],
        env=os.environ | {"UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@contextmanager
def database(known: dict[str, str]) -> Iterator[str]:
    """Answer as OSV does, with one vulnerability of each package that is known to have one."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names = [each["package"].get("name") or each["package"]["purl"] for each in asked["queries"]]
            self._say({
                "results": [
                    {"vulns": [{"id": known[name], "modified": "2026-01-01T00:00:00Z"}]} if name in known else {}
                    for name in names
                ]
            })  # fmt: skip

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            self._say({
                "id": name, "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z", "summary": "a test",
                "affected": [{"package": {"ecosystem": "PyPI", "name": "certifi"}, "ranges": [
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}],
            })  # fmt: skip

        def _say(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
