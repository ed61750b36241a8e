"""`ltgc report`: a run as one HTML file, to be looked at and shown to others."""

from __future__ import annotations

from ltgc_cli.cli.app import app
from ltgc_cli.cli.flags import command
from ltgc_cli.config import Config
from ltgc_cli.settings import Input, Report, Storage


@command(app)
def report(config: Config) -> None:
    """Show a run in one HTML file: accuracy, gains, every generated image with its score and history, cost.

    The file holds all that it shows: it opens from disk, fetches nothing, and can be sent to others.

    \b
    ltgc report -i eval.jsonl -o report.html
    ltgc eval -i trained.jsonl --data birds-test/ | ltgc report --title "Birds, first run"
    """
    from ltgc_cli.pipeline.report import write_report
    from ltgc_cli.pipeline.streams import Streams, reading
    from ltgc_cli.written import Target

    settings = config[Report]
    target = Target(settings.output, config[Storage].folder, tuple(config.named_paths()), settings.force)
    with reading(Streams(config[Input].input), "report") as given:
        write_report(given, target, settings)
