"""`ltgc doctor`: whether everything is in place on this machine, and what mends what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ltgc_cli import console
from ltgc_cli.cli import SETTINGS_FILE, app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.text import counted

if TYPE_CHECKING:
    from ltgc_cli.doctor.checks import Check
    from ltgc_cli.doctor.models import Model


@app.command()
def doctor(
    ctx: typer.Context,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask", help="Ask each language model for one token, and connect to --api-base. Costs next to 0."
        ),
    ] = False,
    lmm: o.Lmm = "embedded",
    llm: o.Llm = "embedded",
    t2i: o.T2i = "embedded",
    clip: o.Clip = "embedded",
    api_base: o.ApiBase = None,
    t2i_api_base: o.T2iApiBase = None,
    json: o.Json = False,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Look whether everything is in place: Python, torch, the models configured, keys, disk, store.

    Each line says ok, note or problem, and each problem what mends it. Of keys it says which variables are set, and
    no more. Without --ask nobody is asked anything. Exit status: 0 no problem; 1 a problem; 3 with --ask, where a
    provider or a server cannot be used.

    \b
    ltgc doctor
    LTGC_LLM=gpt-4o ltgc doctor --ask
    """
    from ltgc_cli.doctor.models import configured

    console.configure(quiet=quiet)
    specs: Any = {"lmm": lmm, "llm": llm, "t2i": t2i, "clip": clip}
    models = configured(specs, api_base, t2i_api_base, ctx.find_root().default_map or {})
    servers = {"--api-base": api_base, "--t2i-api-base": t2i_api_base}
    checks = list(
        _checks(models, {flag: url for flag, url in servers.items() if url}, cache_dir or f.default_folder(), ask)
    )
    _show(checks, json)
    problems = [check for check in checks if check.state == "problem"]
    console.notice(f"doctor: {counted(len(problems), 'problem') if problems else 'no problems'}")
    return f.Ran(None, max((check.exit_code for check in problems), default=0))


def _checks(models: Iterable[Model], servers: dict[str, str], folder: Path, ask: bool) -> Iterator[Check]:
    """Returns what was found, scrubbed of what looks like a key: libraries and providers repeat them."""
    from ltgc_cli.doctor import checks as here
    from ltgc_cli.doctor import models as there
    from ltgc_cli.providers.secrets import scrubbed

    models = list(models)
    steps: list[tuple[str, Callable[[], Check | Iterable[Check]]]] = [
        ("Python", here.python),
        ("the settings", lambda: here.settings(SETTINGS_FILE)),
        ("the libraries", here.libraries),
        ("the extras", here.extras),
        ("torch, which takes seconds to import", here.torch),
        ("torchvision", here.torchvision),
        *((f"{model.name}, {model.spec}", partial(there.look, model)) for model in models),
        ("the disk", lambda: here.disk(folder)),
        ("the store", lambda: here.store(folder)),
    ]
    if ask:
        steps += [(flag, partial(there.connected, flag, url)) for flag, url in servers.items()]
        asked = {(model.spec, model.api_base): model for model in reversed(models) if there.is_asked(model)}
        steps += [(f"asking {one.spec}", partial(there.ask, one)) for one in reversed(asked.values())]
    seen = set()
    with console.progress("doctor", len(steps)) as progress:
        for title, step in steps:
            progress.advance(0, f"looking at {scrubbed(title)}")
            found = step()
            for check in [found] if isinstance(found, here.Check) else found:
                clean = check._replace(said=scrubbed(check.said), mend=scrubbed(check.mend))
                if clean not in seen:  # two models of one provider have the same keys
                    seen.add(clean)
                    yield clean
            progress.advance()


def _show(checks: Iterable[Check], json: bool) -> None:
    from json import dumps

    from ltgc_cli.pipeline.stage import Streams, writing

    checks = list(checks)
    with writing(Streams(json=json)) as write:
        for check in checks:
            line = {"kind": "check", **check._asdict()}
            line.pop("exit_code")
            write((dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode(errors="replace"))
    if console.is_terminal() and not json:
        rows: list[tuple[str, str, str]] = []
        for check in checks:
            rows.append((check.state, check.name, check.said))
            rows += [("", "", f"mend: {check.mend}")] if check.mend else []
        console.table("", ("", "", ""), rows)
