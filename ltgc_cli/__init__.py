"""ltgc: long-tail recognition with generated images.

The stages are functions with the names of the commands, and every flag is a keyword:

    import ltgc_cli as ltgc

    described = ltgc.describe(data="digits-lt:0:100")
    filtered = ltgc.filter(ltgc.render(ltgc.reflect(ltgc.extend(described), k=20)))
    ltgc.eval(ltgc.mix_train(filtered, data="digits-lt:0:100"), data="digits-lt:0:100")

What is behind a name is imported when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ltgc_cli.errors import BudgetError, InputError, LtgcError, ProviderError
    from ltgc_cli.library import (
        Records,
        adapt,
        checkpoint,
        contact_sheet,
        cost,
        curves,
        describe,
        eval,
        evaluate,
        export,
        extend,
        filter,
        images,
        mix_train,
        predict,
        real_scores,
        reflect,
        render,
        write_report,
    )
    from ltgc_cli.report import figures

__all__ = [
    "BudgetError",
    "InputError",
    "LtgcError",
    "ProviderError",
    "Records",
    "adapt",
    "checkpoint",
    "contact_sheet",
    "cost",
    "curves",
    "describe",
    "eval",
    "evaluate",
    "export",
    "extend",
    "figures",
    "filter",
    "images",
    "mix_train",
    "predict",
    "real_scores",
    "reflect",
    "render",
    "write_report",
]

_WHERE = {
    "BudgetError": "errors",
    "InputError": "errors",
    "LtgcError": "errors",
    "ProviderError": "errors",
}
"""The module of each name that is not in `library`."""

if not TYPE_CHECKING:  # a type checker would take every name to exist

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in __all__:
            raise AttributeError(f"module 'ltgc_cli' has no attribute {name!r}")
        if name == "figures":
            return import_module("ltgc_cli.report.figures")
        return getattr(import_module(f"ltgc_cli.{_WHERE.get(name, 'library')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
