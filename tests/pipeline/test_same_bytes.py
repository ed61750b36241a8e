"""The same run leaves the same bytes, in another store too: how long it took is in the manifests alone."""

from __future__ import annotations

import json
from pathlib import Path

from trained import digits

COMMANDS = """
describe --data {data} -o described.jsonl
extend -i described.jsonl -n 1 -o extended.jsonl
render -i extended.jsonl --t2i blank -o rendered.jsonl
mix-train -i rendered.jsonl --data {data} --steps 11 --batch 8 --out checkpoint -o trained.jsonl
eval -i trained.jsonl --data {data} --zero-shot -o evaluated.jsonl
report -i evaluated.jsonl -o report.html
sheet -i evaluated.jsonl -o sheet.png
cost -i evaluated.jsonl --json -o cost.jsonl
predict --checkpoint checkpoint {data}/test/two -o predicted.jsonl
export --out exported -i rendered.jsonl --data {data}
"""
APART = ("store/answers", "store/checked", "store/written.txt")
"""The database, which has the times of its rows; what is known of files by their times and places."""


def files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, the manifests without what is a time in them."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(APART):
            data = path.read_bytes()
            if name.startswith("store/artifacts/") and path.suffix == ".json":
                data = json.dumps(json.loads(data) | {"seconds": 0}).encode()
            found[name] = data
    return found


def test_a_run_in_two_fresh_stores_leaves_the_same_bytes(forked, tmp_path):
    data = digits(tmp_path / "digits", test=1)
    made = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        for line in COMMANDS.strip().splitlines():
            ran = forked(*line.format(data=data).split(), LTGC_CACHE_DIR=str(folder / "store"))
            assert ran.code in (0, 1), ran.err
        for path in tmp_path.iterdir():
            if path.name not in ("digits", "first", "second", "store"):
                path.rename(folder / path.name)
        made.append(files(folder))

    first, second = made
    assert first.keys() == second.keys() and len(first) > 20
    assert [name for name in first if first[name] != second[name]] == []
