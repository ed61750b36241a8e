"""The report of a stream: its records, with what the store knows of where they came from, as one HTML file.

A stream may have a million images: of each class the numbers are kept, and its lines on disk. Those of the classes that
the page shows are read again.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ltgc_cli import console, usage, written
from ltgc_cli.errors import InputError, LtgcError
from ltgc_cli.files import place_for_scratch, temporary
from ltgc_cli.manifest import Manifest
from ltgc_cli.pipeline import lineage
from ltgc_cli.pipeline.dry_run import real
from ltgc_cli.pipeline.looks import ClassImages, class_images, harmonised_to_see, looks_of
from ltgc_cli.providers.images import read as decoded
from ltgc_cli.records import Class, Group, Image, Record, evolve
from ltgc_cli.report import by_class, content, figures, judge_plots, neighbours, page, room, score_plots
from ltgc_cli.report.by_class import ClassLines
from ltgc_cli.report.content import ClassContent, Content, Origins
from ltgc_cli.report.room import Fit
from ltgc_cli.report.thumbnails import SEEN, SHARP, is_tile, mean_length, thumbnails
from ltgc_cli.settings import Report
from ltgc_cli.store import Store
from ltgc_cli.text import agreeing, counted
from ltgc_cli.usage import UsageSum

_LOOKED_AT, _EACH = 8, 4  # classes whose looks stand side by side, and the images of each look
_TRIES = 6  # at a page that is no larger than it may be


class _ClassNumbers(NamedTuple):
    """What is kept of each class: its numbers, and of its images how they scored."""

    content: ClassContent  # without its images and texts
    rows: tuple[Class, ...]
    size: room.ClassSize
    scores: Mapping[int, score_plots.ClassScores]
    rounds: Mapping[int, judge_plots.ClassRounds]
    costs: Mapping[tuple[str, ...], UsageSum]
    origins: Origins
    scale: str  # that its images were judged on
    images: ClassImages  # some, to look at beside each other


def write_report(given: Iterable[Record], target: written.Target, settings: Report) -> None:
    """Writes a stream's report as one HTML file.

    Raises InputError, before the stream is read, as `written.check`; for an empty stream; where a name is not known;
    and where the page is larger than it may be though it shows no image.
    """
    store = Store(target.store)
    written.check(target)
    with temporary(place_for_scratch(store.folder)) as path:
        lines, numbers = by_class.reduced(real(iter(given)), path, _numbers)
        if not lines.total:
            raise InputError("report found no records in its input; it shows what eval, filter or any stage wrote")
        _write(lines, numbers, store, target, settings)


def _numbers(group: Group) -> _ClassNumbers:
    found = content.class_content(group, {})
    return _ClassNumbers(
        content=found._replace(originals=(), generated=(), plain=(), rejected_descriptions=(), failures=()),
        rows=tuple(evolve(row) for row in group.rows if isinstance(row, Class)),
        size=room.size_of(found),
        scores=score_plots.class_scores(group.rows, {}),
        rounds=judge_plots.class_rounds(group.rows),
        costs=usage.sums(group.rows, ("stage", "model")),
        origins=content.origins(group.rows),
        scale=next((row.scale for row in group.rows if isinstance(row, Image) and row.scale), ""),
        images=class_images(group),
    )


def _write(
    lines: ClassLines, numbers: Mapping[int, _ClassNumbers], store: Store, target: written.Target, settings: Report
) -> None:
    runs, gap = lineage.trace(lines.sha256, store.folder)
    whole = content.whole_content(
        [own.content for own in numbers.values()],
        lines.others,
        _origins([*(own.origins for own in numbers.values()), content.origins(lines.others)]),
        settings.baseline,
    )
    if settings.class_:
        whole = content.only(whole, settings.class_)
    plots = _figures(lines, numbers, settings.baseline, store, runs)
    costs = _costs([*(own.costs for own in numbers.values()), usage.sums(lines.others, ("stage", "model"))])
    made = partial(
        _page,
        plots=plots,
        runs=[lineage.page_run(run) for run in runs],
        costs=usage.rows(costs) if costs else (),
        gap=gap,
        title=settings.title or page.TITLE,
        looks=_looks(lines, numbers, whole, store),
    )
    most = settings.size * 1e6
    if settings.class_:
        shown = _shown(lines, whole, Fit(SHARP))
        images = _thumbnails(shown, store, SHARP, {})
        data = made(shown, images)
    else:
        shown, images, data = _fitting(lines, whole, numbers, store, most, made)
    written.write(target, data)
    _notify(target.path, len(data), shown, images.values())


def _fitting(
    lines: ClassLines,
    whole: Content,
    numbers: Mapping[int, _ClassNumbers],
    store: Store,
    most: float,
    made: Callable[[Content, Mapping[str, str]], bytes],
) -> tuple[Content, dict[str, str], bytes]:
    """Returns what is shown, its images' addresses and the page: of no more than so many bytes, whatever it takes."""
    sizes = {label: own.size for label, own in numbers.items()}
    worth = room.by_worth(whole.classes)
    some = [sha256 for size in sizes.values() for sha256 in size.sample]
    lengths = {pixels: mean_length(some, store.get_object, pixels) for pixels in room.PIXELS}
    wanted = most
    known: dict[int, dict[str, str]] = {pixels: {} for pixels in room.PIXELS}
    for _ in range(_TRIES):
        fit = room.fitted(sizes, worth, lengths, wanted)
        shown = _shown(lines, whole, fit)
        images = known[fit.pixels] = _thumbnails(shown, store, fit.pixels, known[fit.pixels])
        data = made(shown, images)
        if len(data) <= most:
            return shown, images, data
        wanted *= 0.98 * most / len(data)  # what was reckoned was too little
    raise InputError(f"--size {most / 1e6:g}: the page has {len(data) / 1e6:.1f} MB with hardly an image on it")


def _shown(lines: ClassLines, whole: Content, fit: Fit) -> Content:
    """Returns the content with the images and texts of its classes, as far as there is room for them."""
    verdicts = content.verdicts_of(lines.others)

    def one(cls: ClassContent) -> ClassContent:
        if fit.sheets is not None and cls.label not in fit.sheets:
            return room.bare(cls)
        found = content.class_content(by_class.group_of(lines, cls.label, file, by_class.shown), verdicts)
        return room.cut(found._replace(method=cls.method, baseline=cls.baseline, tried=cls.tried), fit.most)

    with lines.path.open("rb") as file:
        listed = [cls for cls in whole.shown if fit.listed is None or cls.label in fit.listed]
        return whole._replace(shown=tuple(map(one, listed)))


def _thumbnails(shown: Content, store: Store, pixels: int, known: Mapping[str, str]) -> dict[str, str]:
    """Returns the address of each image that is shown; some may be known."""
    wanted = shown.images
    new = [sha256 for sha256 in wanted if sha256 not in known]
    with console.progress("report", len(new)) as progress:
        made = thumbnails(new, store.get_object, pixels, on_each=progress.advance)
    return {sha256: known.get(sha256) or made[sha256] for sha256 in wanted}


def _page(
    shown: Content,
    images: Mapping[str, str],
    *,
    plots: dict[str, str],
    runs: Sequence[page.PageRun],
    costs: Sequence[Sequence[str]],
    gap: str,
    title: str,
    looks: Sequence[page.ClassLooks],
) -> bytes:
    near = neighbours.neighbours(shown, images)
    alike = neighbours.figure(near)
    pieces = page.pieces(
        shown,
        images=images.__getitem__,
        figures=plots | ({"alike": figures.svg(alike)} if alike else {}),
        near=near,
        looks=looks,
        runs=runs,
        costs=costs,
        gap=gap,
        title=title,
    )
    data = bytearray()  # as text it would take up to four bytes a letter
    for piece in pieces:
        data += piece.encode(errors="replace")
    return bytes(data)


def _figures(
    lines: ClassLines, numbers: Mapping[int, _ClassNumbers], baseline: str, store: Store, runs: Sequence[Manifest]
) -> dict[str, str]:
    """Returns the plots that the stream has something for, as SVG by name."""
    classes = [row for own in numbers.values() for row in own.rows]
    measured = [*classes, *lines.others]
    made = {
        "accuracy": figures.accuracy(lines.others),
        "by_count": figures.by_count(measured, baseline),
        "gains": figures.gains(measured, baseline),
        "distribution": figures.distribution_drawn(
            classes, {label: own.content.accepted for label, own in numbers.items()}
        ),
        "scores": score_plots.drawn(_scores(lines, numbers, store, runs)),
        "confusion": figures.confusion(lines.others),
        "margins": figures.margins(lines.others),
        "rounds": judge_plots.rounds_drawn(
            {label: one for own in numbers.values() for label, one in own.rounds.items()}
        ),
        "curves": figures.curves(lineage.curves(lines.others, store.folder)),
    }
    return {name: figures.svg(figure) for name, figure in made.items() if figure is not None}


def _scores(
    lines: ClassLines, numbers: Mapping[int, _ClassNumbers], store: Store, runs: Sequence[Manifest]
) -> dict[int, score_plots.ClassScores]:
    """Returns the scores of each class, those of its real images too where the store has them."""
    found = {label: one for own in numbers.values() for label, one in own.scores.items()}
    judge = lineage.judge_of(lines.others, next((own.scale for own in numbers.values() if own.scale), ""), runs)
    if not (judge.clip and judge.scale):
        return found
    with lines.path.open("rb") as file:
        for label, own in numbers.items():
            if own.content.original_count:
                rows = by_class.group_of(lines, label, file, by_class.of_originals).rows
                real_ones = lineage.scores_of_originals(rows, store, judge).get(label)
                found[label] = replace(found[label], real=array("d", real_ones)) if real_ones else found[label]
    return found


def _looks(
    lines: ClassLines, numbers: Mapping[int, _ClassNumbers], whole: Content, store: Store
) -> list[page.ClassLooks]:
    """Returns the looks of the rarest classes that have generated images, where the stream has more than those."""
    there = looks_of(lines.others)
    images = {label: own.images for label, own in numbers.items()}
    unadapted = any(one.unadapted for one in images.values())
    if not (there.adapted or there.harmonised or unadapted):
        return []
    having = [cls for cls in whole.shown if images[cls.label].generated]
    chosen = sorted(having, key=lambda cls: (cls.real or 0, cls.label))[:_LOOKED_AT]
    harmonised = (
        harmonised_to_see(images, [cls.label for cls in chosen], store.get_object) if there.harmonised else None
    )
    found = []
    for cls in chosen:
        own, read = images[cls.label], store.get_object
        kinds = [("real", own.originals, read), ("as it comes", own.unadapted, read)][: 1 + unadapted]
        kinds.append(
            ("adapted" if there.adapted else "as it comes" if not unadapted else "generated", own.generated, read)
        )
        if harmonised:
            kinds.append(("harmonised", own.generated, partial(harmonised, cls.label)))
        looks = tuple(_look(name, hashes[:_EACH], get) for name, hashes, get in kinds)
        found.append(page.ClassLooks(cls.label, cls.name, looks))
    return found


def _look(name: str, hashes: Sequence[str], read: Callable[[str], bytes]) -> page.PageLook:
    """Returns some images in one look: each as a small one, or as the reason why it cannot be shown."""
    return page.PageLook(
        name, tuple(thumbnails(hashes, read, SEEN).values()), any(_is_small(one, read) for one in hashes)
    )


def _is_small(sha256: str, read: Callable[[str], bytes]) -> bool:
    try:
        return max(decoded(read(sha256)).size) <= SEEN // 2
    except (LtgcError, OSError):
        return False


def _origins(several: Sequence[Origins]) -> Origins:
    made = Counter[tuple[str, str, bool]]()
    for one in several:
        made.update(one.made)
    return Origins(made, sum(one.dollars for one in several), sum(one.unpriced for one in several))


def _costs(several: Sequence[Mapping[tuple[str, ...], UsageSum]]) -> dict[tuple[str, ...], UsageSum]:
    keys = dict.fromkeys(key for one in several for key in one)
    found: dict[tuple[str, ...], list[UsageSum]] = {key: [] for key in keys}
    for one in several:
        for key, own in one.items():
            found[key].append(own)
    return {key: usage.total(own) for key, own in found.items()}


def _notify(output: Path, size: int, shown: Content, addresses: Iterable[str]) -> None:
    left_out = sum(cls.left_out for cls in shown.shown)
    lost = sum(map(is_tile, addresses))
    text = f"report: {output}, {size / 1e6:.1f} MB" if size > 1e5 else f"report: {output}, {size / 1e3:.0f} kB"
    if left_out:
        text += f"; {counted(left_out, 'image')} {agreeing(left_out, 'was', 'were')} left out (--size, --class)"
    if lost:
        with_reason = agreeing(lost, "has the reason in its place", "have the reason in their place")
        text += f"; {counted(lost, 'image')} could not be read, and {with_reason} (is this the --cache-dir?)"
    console.notice(text)
