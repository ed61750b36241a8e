"""The commands that ask language and vision models: describe, extend, reflect."""

from __future__ import annotations

from typing import Annotated

import typer

from ltgc_cli.cli import app
from ltgc_cli.cli import flags as f
from ltgc_cli.cli import options as o
from ltgc_cli.errors import InputError


@app.command()
def describe(
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="DATA", help=o.DATA_HELP),
    ] = None,
    root: o.Root = None,
    classes: o.Classes = None,
    tail: Annotated[
        str,
        typer.Option(help="Classes with fewer training images than this are tail classes (our default); or: few (20)."),
    ] = "100",
    lmm: o.LmmAlone = "embedded",
    senses: o.Senses = None,
    disambiguate: Annotated[
        bool,
        typer.Option(
            "--disambiguate",
            help="Ask, for names that may mean several things, which is meant: one question per name, with images.",
        ),
    ] = False,
    image_size: o.ImageSize = 512,
    prompts: o.PromptsFile = None,
    dry_run: o.DryRun = False,
    max_cost: o.MaxCost = None,
    max_calls: o.MaxCalls = None,
    price: o.Price = None,
    half_price: o.HalfPrice = False,
    concurrency: o.Concurrency = 16,
    max_tokens: o.MaxTokens = None,
    time_limit: o.TimeLimit = 600.0,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Describe the original images of the tail classes, with a vision-language model (Prompt 1).

    Reads a data set (--data), or the class and image records of a stream. Writes class, image and description
    records. Asks one question per image of a tail class, and one per doubtful name with --disambiguate.

    \b
    ltgc describe --data digits-lt
    ltgc describe --data birds/ --tail few --lmm gpt-4o --dry-run          # what it will cost
    ltgc describe --data birds/ --tail few --lmm gpt-4o -o described.jsonl
    ltgc describe --data ImageNet_LT_train.txt --root imagenet/ --classes classes.csv --tail few -o described.jsonl
    """
    from ltgc_cli.pipeline import generate as plans

    if not data and not input and f.nothing_piped():
        raise InputError("describe has nothing to look at: name a data set, --data birds/")
    session = f.session(cache_dir, record, quiet, f.limits(dry_run, max_cost, max_calls, price), half_price=half_price)
    plan = plans.describing(
        session,
        data=f.source(data, root, classes) if data else None,
        tail=tail,
        lmm=lmm,
        prompts=f.prompts(prompts),
        asking=f.asking(concurrency, api_base, time_limit, max_tokens, image_size),
        senses=senses,
        disambiguate=disambiguate,
    )
    return f.finish(plan, f.streams(input, output, json, own=bool(data)), session)


@app.command()
def extend(
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class", "-c", metavar="NAME", help="Extend a class that is only named; stdin is not read. Repeatable."
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="New descriptions asked for per class.")] = 20,
    llm: o.Llm = "embedded",
    senses: o.Senses = None,
    prompts: o.PromptsFile = None,
    dry_run: o.DryRun = False,
    max_cost: o.MaxCost = None,
    max_calls: o.MaxCalls = None,
    price: o.Price = None,
    half_price: o.HalfPrice = False,
    concurrency: o.Concurrency = 16,
    max_tokens: o.MaxTokens = None,
    time_limit: o.TimeLimit = 600.0,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """List what the images of a class do not show, with a language model (Prompt 2).

    Reads class and description records, or takes names (--class). Writes more descriptions, and rejected records for
    lines of the answer that are none. Asks one question per tail class.

    \b
    ltgc extend --class "Trogon rufus"
    ltgc extend --class "Trogon rufus" --class crane -n 20 | jq -r .text
    ltgc extend -i described.jsonl -o extended.jsonl --llm gpt-4o
    """
    from ltgc_cli.pipeline import generate as plans

    if senses and not class_:
        raise InputError("--senses goes with --class here; for classes of a data set give it to ltgc describe")
    session = f.session(cache_dir, record, quiet, f.limits(dry_run, max_cost, max_calls, price), half_price=half_price)
    plan = plans.extending(
        session,
        names=class_ or [],
        llm=llm,
        want=n,
        prompts=f.prompts(prompts),
        asking=f.asking(concurrency, api_base, time_limit, max_tokens),
        senses=senses,
    )
    return f.finish(plan, f.streams(input, output, json, own=bool(class_)), session)


@app.command()
def reflect(
    k: Annotated[
        int,
        typer.Option(
            "-k",
            min=1,
            help="Descriptions per tail class, K_y. The paper: 100 iNaturalist, 300 ImageNet-LT, 800 Places-LT.",
        ),
    ] = 100,
    rounds: Annotated[
        int, typer.Option(min=1, help="Give a class up after so many rounds that add nothing (ours).")
    ] = 3,
    near: Annotated[
        float,
        typer.Option(min=0, max=1, help="Jaccard similarity of words from which a description repeats another (ours)."),
    ] = 0.8,
    llm: o.Llm = "embedded",
    prompts: o.PromptsFile = None,
    dry_run: o.DryRun = False,
    max_cost: o.MaxCost = None,
    max_calls: o.MaxCalls = None,
    price: o.Price = None,
    concurrency: o.Concurrency = 16,
    max_tokens: o.MaxTokens = None,
    time_limit: o.TimeLimit = 600.0,
    api_base: o.ApiBase = None,
    input: o.Input = None,
    output: o.Output = None,
    json: o.Json = False,
    record: o.RecordTo = None,
    cache_dir: o.CacheDir = None,
    quiet: o.Quiet = False,
) -> f.Ran:
    """Drop repeated descriptions and ask again until each tail class has K_y of them (Prompt 3).

    Reads class and description records. Writes new descriptions, and rejected records in place of repeats. Asks,
    per tail class, for up to 40 descriptions at once and then which of them repeat others, until there are enough.

    \b
    ltgc reflect -k 300 -i extended.jsonl -o reflected.jsonl
    ltgc reflect -k 100 -i extended.jsonl --llm gpt-4o --dry-run           # what it will cost
    ltgc extend --class crane --llm gpt-4o | ltgc reflect -k 50 --llm gpt-4o --max-cost 1
    """
    from ltgc_cli.pipeline import generate as plans

    session = f.session(cache_dir, record, quiet, f.limits(dry_run, max_cost, max_calls, price))
    plan = plans.reflecting(
        session,
        llm=llm,
        k=k,
        rounds=rounds,
        near=near,
        prompts=f.prompts(prompts),
        asking=f.asking(concurrency, api_base, time_limit, max_tokens),
    )
    return f.finish(plan, f.streams(input, output, json), session)
