"""What holds between the modules of the package: no circle of imports, and no class name that means two things."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import ltgc_cli

ROOT = Path(ltgc_cli.__file__).parent.parent


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.glob("ltgc_cli/**/*.py")}


def imported(tree: ast.AST, modules: Mapping[str, object]) -> Iterator[str]:
    """The modules that one imports: at its top, inside a function, or for its types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in modules else node.module
                if found in modules:
                    yield found


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules of which each leads to every other by its imports."""
    reached: dict[str, set[str]] = {}
    for module in imports:
        reached[module] = set()
        ahead = [module]
        while ahead:
            new = imports[ahead.pop()] - reached[module]
            reached[module] |= new
            ahead += new
    groups = {frozenset(b for b in found if a in reached[b]) for a, found in reached.items() if a in found}
    return sorted(sorted(group) for group in groups)


WHOLE_FILES_READ = {
    "ltgc_cli.answers.rules", "ltgc_cli.cli.completion", "ltgc_cli.clip_tokens", "ltgc_cli.learn.datasets.names",
    "ltgc_cli.pipeline.evaluation.metric_records", "ltgc_cli.providers.prices", "ltgc_cli.report.page",  # a package's
    "ltgc_cli.unfinished",  # /proc
}  # fmt: skip


def test_files_that_a_person_or_a_store_names_are_read_by_what_waits_for_no_pipe():
    """That is `files.read_regular`: Path's own methods wait for a pipe for ever, and read a device without an end."""
    reading = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("read_bytes", "read_text")
    }
    assert reading == WHOLE_FILES_READ


def test_modules_that_lead_to_each_other_are_a_circle():
    modules = {
        "a": "def f():\n    from b import x",
        "b": "if TYPE_CHECKING:\n    import c",
        "c": "from a import y",
        "d": "import a, d.e",
        "d.e": "from d import g",
        "f": "from a import z",
    }
    imports = {name: set(imported(ast.parse(text), modules)) for name, text in modules.items()}
    assert circles(imports) == [["a", "b", "c"], ["d", "d.e"]]


def test_no_two_modules_import_each_other():
    imports = {name: set(imported(tree, TREES)) for name, tree in TREES.items()}
    found = [
        f"{name} imports {', '.join(sorted(imports[name].intersection(circle)))}"
        for circle in circles(imports)
        for name in circle
    ]
    assert not found, "\n".join(["modules in a circle:", *found])


def test_no_class_name_means_two_things():
    places: dict[str, list[str]] = {}
    for module, tree in sorted(TREES.items()):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    found = [f"{name}: {', '.join(modules)}" for name, modules in sorted(places.items()) if len(modules) > 1]
    assert not found, "\n".join(["classes of one name:", *found])
