"""Looks up what `make` installs among known holes, without a network: pip-audit, asking a snapshot instead of osv.dev.

    make audit                              exit 1 where a pinned version has a hole that accepted.toml does not name
    python supply/audit.py refresh          the snapshot anew, where osv.dev can be reached

supply/advisories.json has entries in OSV's format (https://ossf.github.io/osv-schema/) and says when and from what it
was made; supply/accepted.toml has, for each hole that stays, why it does.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

SUPPLY = Path(__file__).parent
OSV = "https://api.osv.dev/v1/query"
OLD = datetime.timedelta(days=90)
KEPT = ("id", "aliases", "summary", "published", "modified", "withdrawn")

Advisory = Mapping[str, Any]


def pins(text: str) -> dict[str, str]:
    """Returns the version of each package in a constraints file.

    >>> pins("# ours\\nPyYAML==6.0.3 \\\\\\n    --hash=sha256:00\\n")
    {'pyyaml': '6.0.3'}
    """
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s\\;]+)", text, re.M)}


def affects(advisory: Advisory, name: str, version: str) -> bool:
    """Returns whether an advisory names this version, in its list or in a range."""
    mine = [entry for entry in advisory["affected"] if canonicalize_name(entry["package"]["name"]) == name]
    ranges = [one["events"] for entry in mine for one in entry.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
    listed = any(version in entry.get("versions", ()) for entry in mine)
    return listed or any(_within(events, Version(version)) for events in ranges)


def _within(events: list[dict[str, str]], version: Version) -> bool:
    inside = False
    for (kind, at), *_ in sorted((list(event.items()) for event in events), key=lambda event: Version(event[0][1])):
        if kind == "introduced" and version >= Version(at):
            inside = True
        elif (kind == "fixed" and version >= Version(at)) or (kind == "last_affected" and version > Version(at)):
            inside = False
    return inside


def serve(advisories: list[Advisory]) -> ThreadingHTTPServer:
    """Returns a server on this machine that answers as osv.dev does; close it by `shutdown`."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, version = asked["package"]["name"], asked["version"]
            body = json.dumps({"vulns": [one for one in advisories if affects(one, name, version)]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def audit(pinned: Path, snapshot: Path, accepted: Path, today: datetime.date) -> int:
    """Returns pip-audit's exit status; 1 too where something accepted is no longer there."""
    known = json.loads(snapshot.read_text(encoding="utf-8"))
    made = datetime.date.fromisoformat(known["made"])
    if today - made > OLD:
        print(f"{snapshot.name} is of {made}: python supply/audit.py refresh, where osv.dev can be reached")
    stay = tomllib.loads(accepted.read_text(encoding="utf-8"))
    here = pins(pinned.read_text(encoding="utf-8"))
    hit = {one["id"] for one in known["vulns"] if any(affects(one, *pin) for pin in here.items())}
    for gone in sorted(stay.keys() - hit):
        print(f"{accepted.name}: {gone} affects no pinned version any more: take it out")
    server = serve(known["vulns"])
    try:
        where = ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/"]
        how = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--requirement", str(pinned)]
        ignored = [word for name in stay for word in ("--ignore-vuln", name)]
        done = subprocess.run([sys.executable, "-m", "pip_audit", *where, *how, *ignored])
    finally:
        server.shutdown()
        server.server_close()
    return done.returncode or int(bool(stay.keys() - hit))


def all_of(name: str, osv: str) -> Iterator[dict[str, Any]]:
    """Yields what osv.dev knows of a package, in any version, without what we do not read."""
    asked: dict[str, Any] = {"package": {"name": name, "ecosystem": "PyPI"}}
    while True:
        request = urllib.request.Request(osv, json.dumps(asked).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        for one in answer.get("vulns", []):
            mine = [entry for entry in one["affected"] if entry.get("package", {}).get("ecosystem") == "PyPI"]
            yield {key: one[key] for key in KEPT if key in one} | {"affected": [_short(entry) for entry in mine]}
        if "next_page_token" not in answer:
            return
        asked["page_token"] = answer["next_page_token"]


def _short(entry: dict[str, Any]) -> dict[str, Any]:
    ranges = [one for one in entry.get("ranges", []) if one["type"] == "ECOSYSTEM"]
    package = {"name": entry["package"]["name"], "ecosystem": "PyPI"}
    return {"package": package, **({"ranges": ranges} if ranges else {"versions": entry.get("versions", [])})}


def refresh(pinned: Path, snapshot: Path, today: datetime.date, osv: str = OSV) -> None:
    """Writes the snapshot from what osv.dev knows of every pinned package today."""
    names = pins(pinned.read_text(encoding="utf-8"))
    found = {one["id"]: one for name in names for one in all_of(name, osv)}
    about = f"Everything that osv.dev knew of the {len(names)} packages of {pinned.name}, in any version."
    known = {"made": today.isoformat(), "about": about, "vulns": [found[name] for name in sorted(found)]}
    snapshot.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["audit", "refresh"], default="audit")
    files = SUPPLY / "hashed.txt", SUPPLY / "advisories.json"
    if parser.parse_args().what == "audit":
        return audit(*files, SUPPLY / "accepted.toml", datetime.date.today())
    try:
        refresh(*files, datetime.date.today())
    except OSError as error:
        sys.exit(f"osv.dev cannot be reached ({error}); {files[1].name} stays as it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
