"""`ltgc doctor`: whether everything is in place on this machine, and how to fix what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltgc_cli import console, settings_file
from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Doctor, Storage
from ltgc_cli.text import counted

if TYPE_CHECKING:
    from ltgc_cli.doctor.checks import Check
    from ltgc_cli.doctor.models import Model
    from ltgc_cli.pipeline.stage import Ran

    Step = tuple[str, Callable[[], Check | Iterable[Check]]]


@command(app)
def doctor(config: Config) -> Ran:
    """Check whether everything is in place: Python, torch, the models configured, keys, disk, store.

    Each line says ok, note or problem, and each problem how to fix it. Of keys it says which variables are set, and
    no more. Without --ask nobody is asked anything. Exit status: 0 no problem; 1 a problem; 3 with --ask, where a
    provider or a server cannot be used.

    \b
    ltgc doctor
    LTGC_LLM=gpt-4o ltgc doctor --ask
    """
    from ltgc_cli.doctor.models import configured
    from ltgc_cli.pipeline.stage import Ran

    s = config[Doctor]
    specs: Any = {"lmm": s.lmm, "llm": s.llm, "t2i": s.t2i, "clip": s.clip}
    models = configured(specs, s.api_base, s.t2i_api_base, settings_file.load() or {})
    servers = {"--api-base": s.api_base, "--t2i-api-base": s.t2i_api_base} if s.ask else {}
    addresses = {flag: url for flag, url in servers.items() if url}
    found = _run(_steps(models, addresses, config[Storage].folder, s.ask))
    _show(found, s.json)
    problems = [check for check in found if check.state == "problem"]
    console.notice(f"doctor: {counted(len(problems), 'problem') if problems else 'no problems'}")
    return Ran(None, max((check.exit_code for check in problems), default=0))


def _steps(models: Iterable[Model], servers: Mapping[str, str], folder: Path, ask: bool) -> list[Step]:
    """Returns every check with what it is shown as while it runs."""
    from ltgc_cli.doctor import checks
    from ltgc_cli.doctor import models as m

    return [
        ("Python", checks.python),
        ("the settings", partial(checks.settings, settings_file.PATH)),
        ("the libraries", checks.libraries),
        ("the extras", checks.extras),
        ("torch, which takes seconds to import", checks.torch),
        ("torchvision", checks.torchvision),
        *((f"{model.name}, {model.spec}", partial(m.look, model)) for model in models),
        ("the disk", partial(checks.disk, folder)),
        ("the store", partial(checks.store, folder)),
        *((flag, partial(m.connected, flag, url)) for flag, url in servers.items()),
        *((f"{model.spec}, by a question", partial(m.ask, model)) for model in (m.to_ask(models) if ask else ())),
    ]


def _run(steps: Sequence[Step]) -> list[Check]:
    """Returns what the checks found, each once, without what looks like a key: libraries and providers repeat them."""
    from ltgc_cli.doctor.checks import Check
    from ltgc_cli.providers.secrets import scrubbed

    found: dict[Check, None] = {}  # two models of one provider have the same keys
    with console.progress("doctor", len(steps)) as progress:
        for title, step in steps:
            progress.advance(0, f"checking {scrubbed(title)}")
            result = step()
            for check in [result] if isinstance(result, Check) else result:
                found[check._replace(found=scrubbed(check.found), fix=scrubbed(check.fix))] = None
            progress.advance()
    return list(found)


def _show(checks: Sequence[Check], json: bool) -> None:
    """Prints the checks as a table, into a pipe too, for they are no records; with --json a line for each."""
    if not json:
        rows: list[tuple[str, str, str]] = []
        for check in checks:
            rows.append((check.state, check.name, check.found))
            rows += [("", "", f"fix: {check.fix}")] if check.fix else []
        console.table("", ("", "", ""), rows)
        return
    from json import dumps

    from ltgc_cli.pipeline.streams import Streams, writing

    with writing(Streams(json=True)) as write:
        for name, state, found, fix, _ in checks:
            line = {"kind": "check", "name": name, "state": state, "said": found, "mend": fix}
            write((dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode(errors="replace"))
