"""What is installed: the files that pip may take, the holes that are known in them, and the bill of materials."""

from __future__ import annotations

import datetime
import importlib.util
import json
import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import certifi
import pytest

ROOT = Path(__file__).parent.parent
SUPPLY = ROOT / "supply"
TODAY = datetime.date(2026, 12, 1)


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"supply_{name}", SUPPLY / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit, hashes, sbom, wanted = (program(name) for name in ("audit", "hashes", "sbom", "wanted"))
PINS = audit.pins((ROOT / "constraints.txt").read_text())


def hole(name: str, **range_ends: str) -> dict:
    events = [{kind: version} for kind, version in range_ends.items()]
    package = {"name": name, "ecosystem": "PyPI"}
    return {"id": "PYSEC-1", "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]}


# ---- hashes


def test_every_pin_has_a_hash_in_the_file_that_make_installs_from():
    text = (SUPPLY / "hashed.txt").read_text()
    assert PINS.items() <= audit.pins(text).items()
    for entry in re.findall(r"^\S+==(?:.*\\\n)*.*", text, re.M):
        assert re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry)


def test_everything_that_we_ask_for_by_name_is_pinned():
    named = [*wanted.PROJECT["dependencies"], *wanted.PROJECT["optional-dependencies"]["dev"]]
    assert {re.split(r"[^\w.-]", name)[0].lower().replace("_", "-") for name in named} <= PINS.keys()


def test_wheels_for_our_platforms_are_listed_and_a_source_distribution_only_without_any():
    def file(name: str) -> dict:
        return {"url": f"https://index/{name}", "hashes": {"sha256": name}}

    ours, theirs = "a-1-cp312-cp312-manylinux_2_28_aarch64.whl", "a-1-cp310-cp310-win_amd64.whl"
    assert list(hashes.hashes({"wheels": [file(ours), file(theirs)], "sdist": file("a-1.tar.gz")})) == [ours]
    assert list(hashes.hashes({"sdist": file("a-1.tar.gz")})) == ["a-1.tar.gz"]


def test_no_path_and_no_host_of_a_machine_is_in_what_was_made_on_it():
    assert not re.search(r"://|^-|/opt|/home|/root", (SUPPLY / "hashed.txt").read_text(), re.M)


# ---- holes


@pytest.mark.parametrize(
    "version, ends, there",
    [
        ("1.9", {"introduced": "0", "fixed": "2.0"}, True),
        ("2.0", {"introduced": "0", "fixed": "2.0"}, False),
        ("2.0", {"introduced": "1.5", "last_affected": "2.0"}, True),
        ("2.0.1", {"introduced": "1.5", "last_affected": "2.0"}, False),
        ("1.4", {"introduced": "1.5"}, False),
        ("2026.10.19.post1", {"introduced": "0", "fixed": "2026.10.19"}, False),
    ],
)
def test_a_version_is_in_a_range_as_osv_means_it(version, ends, there):
    assert audit.affects(hole("a_b", **ends), "a-b", version) is there
    assert not audit.affects(hole("c", **ends), "a-b", version)


def a_snapshot(folder: Path, *holes: dict, accepted: str = "", pinned: str = "six==1.17.0\n") -> list[Path]:
    pins, snapshot, stay = folder / "pins.txt", folder / "advisories.json", folder / "accepted.toml"
    pins.write_text(pinned)
    snapshot.write_text(json.dumps({"made": "2026-11-30", "about": "", "vulns": holes}))
    stay.write_text(accepted)
    return [pins, snapshot, stay]


def test_pip_audit_finds_nothing_in_what_is_pinned_but_what_was_accepted_with_a_reason(capfd):
    files = SUPPLY / "hashed.txt", SUPPLY / "advisories.json", SUPPLY / "accepted.toml"
    assert audit.audit(*files, TODAY) == 0
    assert "No known vulnerabilities found, 3 ignored" in capfd.readouterr().err


@pytest.mark.parametrize("accepted, status", [("", 1), ('PYSEC-1 = "never called"', 0)])
def test_a_hole_in_a_pinned_version_fails_unless_it_is_accepted(tmp_path, capfd, accepted, status):
    files = a_snapshot(tmp_path, hole("six", introduced="0", fixed="1.18"), accepted=accepted)
    assert audit.audit(*files, TODAY) == status
    assert ("PYSEC-1 1.18" in capfd.readouterr().out) == bool(status)


def test_the_two_malicious_releases_of_litellm_are_known(tmp_path):
    files = a_snapshot(tmp_path, pinned="litellm==1.82.8\n")
    assert audit.audit(files[0], SUPPLY / "advisories.json", files[2], TODAY) == 1


def test_what_is_accepted_and_no_longer_there_fails_and_an_old_snapshot_is_only_said(tmp_path, capfd):
    files = a_snapshot(tmp_path, accepted='PYSEC-9 = "gone"')
    assert audit.audit(*files, TODAY) == 1
    assert "PYSEC-9 affects no pinned version any more: take it out" in capfd.readouterr().out
    assert audit.audit(*a_snapshot(tmp_path), TODAY + datetime.timedelta(days=365)) == 0
    assert "advisories.json is of 2026-11-30" in capfd.readouterr().out


def test_each_accepted_hole_has_a_reason():
    accepted = audit.tomllib.loads((SUPPLY / "accepted.toml").read_text())
    assert accepted and all(len(reason) > 40 for reason in accepted.values())


def test_the_bundle_of_certifi_has_no_root_of_emsign():
    context = ssl.create_default_context(cafile=certifi.where())
    assert "emSign" not in str(context.get_ca_certs())


@pytest.fixture
def osv() -> Iterator[str]:
    """A server like osv.dev: two pages on six, nothing on others."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            page = {"vulns": [hole("six", introduced="0") | {"id": asked.get("page_token", "A"), "details": "long"}]}
            page |= {} if "page_token" in asked else {"next_page_token": "B"}
            body = json.dumps(page if asked["package"]["name"] == "six" else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_snapshot_is_made_of_all_that_osv_says_of_each_package(tmp_path, osv):
    pins, snapshot, _ = a_snapshot(tmp_path, pinned="six==1.17.0\ntqdm==4.70.1\n")
    audit.refresh(pins, snapshot, TODAY, osv)
    found = json.loads(snapshot.read_text())
    assert (found["made"], [one["id"] for one in found["vulns"]]) == ("2026-12-01", ["A", "B"])
    assert "details" not in found["vulns"][0] and audit.affects(found["vulns"][0], "six", "1.17.0")


# ---- the bill of materials


def test_the_bill_of_materials_names_every_pin_and_the_weights_and_is_the_same_each_time():
    text = sbom.bom(ROOT)
    found = json.loads(text)
    assert text == sbom.bom(ROOT) and not {"serialNumber", "timestamp"} & {*found, *found["metadata"]}
    named = {one["name"]: one.get("version") for one in found["components"] if one["type"] == "library"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [f"{name}=={version}" for name, version in named.items()] == [line for line in lines if "==" in line]
    inside = {one["name"] for one in found["components"] if one["type"] == "machine-learning-model"}
    assert "ltgc_cli/embedded/clip/open_clip_model.safetensors" in inside
    assert len({one["bom-ref"] for one in found["components"]}) == len(found["components"])


def test_cyclonedx_reads_it():
    from cyclonedx.model.bom import Bom

    assert len(Bom.from_json(json.loads(sbom.bom(ROOT))).components) == len(json.loads(sbom.bom(ROOT))["components"])
