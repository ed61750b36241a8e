"""CLIP as a judge: the ports that score an image against a text, and find the text or image of many that it is nearest
to."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import msgspec

from ltgc_cli.errors import InputError, Refused
from ltgc_cli.ports import Compare, Comparison, Match, NearestClass, Score
from ltgc_cli.providers import torch_setup
from ltgc_cli.providers.clip.open_clip import BATCH, NOTICE, Loaded, encode_texts, features, identity, load
from ltgc_cli.providers.images import decode
from ltgc_cli.providers.opened import ClipOptions, Encode, Notice, Objects, Opened, Port, with_notice

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import torch
    from PIL.Image import Image

_KEEP = 4096  # features remembered between calls: 8 MB of 512 numbers each
_LISTS = 4  # lists of texts remembered: 16 MB for 8,000 texts of 512 numbers each
_DECODERS = 8

K = TypeVar("K")
V = TypeVar("V")


def open_score(spec: str, options: ClipOptions) -> Opened[Score]:
    """Returns the port that scores with this model, which is loaded when it is first used."""
    model = _shared(spec, options)

    def score(matches: Sequence[Match]) -> list[float | Exception]:
        with model.lock:
            images = model.images([match.image for match in matches])
            texts = model.texts([match.text for match in matches])
        answers: list[float | Exception] = []
        for match in matches:
            image = images[match.image]
            # Six decimals: the rest of a float32 depends on the batch that it was computed in.
            answers.append(image if isinstance(image, Refused) else round(float(image @ texts[match.text]), 6))
        return answers

    return _opened(spec, score, options)


def open_compare(spec: str, options: ClipOptions) -> Opened[Compare]:
    """Returns the port that finds an image's nearest other text, or image, with the model that `open_score` has.

    What a score port has just seen is not computed again. The port raises InputError for a list that holds nothing;
    an image of a list that cannot be read is left out.
    """
    model = _shared(spec, options)

    def compare(comparisons: Sequence[Comparison]) -> list[NearestClass | Exception]:
        with model.lock:
            images = model.images([one.image for one in comparisons])
            lists = model.lists(list(dict.fromkeys((one.among, one.of == "images") for one in comparisons)))
        answers: list[NearestClass | Exception] = []
        for among, group in groupby(comparisons, key=lambda one: (one.among, one.of == "images")):
            together = list(group)
            for start in range(0, len(together), BATCH):
                part = together[start : start + BATCH]
                answers += nearest(lists[among], [images[one.image] for one in part], [one.own for one in part])
        return answers

    return _opened(spec, compare, options)


def open_encode(spec: str, options: ClipOptions) -> Opened[Encode]:
    """Returns the port that gives the features (d,) of images, by their sha256, to a judge in another process."""
    model = _shared(spec, options)

    def encode(images: Sequence[str]) -> list[Any]:
        with model.lock:
            seen = model.see(images)
        return [one if isinstance(one, Refused) else one.cpu().numpy() for one in seen]

    return Opened(identity(spec), encode)


def _opened(spec: str, port: Port, options: ClipOptions) -> Opened[Port]:
    opened = Opened(identity(spec), port)
    return with_notice(opened, options.notice, NOTICE) if spec == "embedded" else opened


class Listed(NamedTuple):
    """A list of texts, or of images by their sha256, and their features (n, d)."""

    texts: list[str]
    features: torch.Tensor


def nearest(
    listed: Listed, images: Sequence[torch.Tensor | Refused], own: Sequence[str]
) -> list[NearestClass | Exception]:
    """Returns for each image the one of the list with the largest cosine, its own left out; of equal ones the first.

    An image that was refused stays so; one whose own text is the only one of the list is refused.
    """
    import torch

    alone = Refused("there is no other text or image to compare with")
    good = [index for index, image in enumerate(images) if not isinstance(image, Refused)]
    answers: list[Any] = [image if isinstance(image, Refused) else alone for image in images]
    if not good or not listed.texts:
        return answers
    # Six decimals, as a score has: the rest of a float32 depends on the batch that it was computed in.
    cosines = (torch.stack([images[index] for index in good]) @ listed.features.T).round(decimals=6)  # type: ignore[misc]
    columns: dict[str, list[int]] = {}
    for column, text in enumerate(listed.texts):
        columns.setdefault(text, []).append(column)
    for row, index in enumerate(good):
        cosines[row, columns.get(own[index], [])] = -torch.inf
    highest = cosines.max(dim=1)
    for index, value, column in zip(good, highest.values.tolist(), highest.indices.tolist(), strict=True):
        if value > -torch.inf:
            answers[index] = NearestClass(text=listed.texts[column], cosine=round(value, 6))
    return answers


class _SharedModel:
    """A model that is loaded when it is first used, and what it has seen: score and compare share one.

    Its functions are for one thread at a time, the one that holds the lock.
    """

    def __init__(
        self, spec: str, objects: Objects, device: str | None, batch: int, encode: Encode | None, notice: Notice
    ) -> None:
        @cache
        def model() -> Loaded:
            return load(spec, torch_setup.device(device), notice)

        def seen(images: Sequence[str]) -> list[torch.Tensor | Refused]:
            if encode is None:
                return see(model(), images, objects, batch)
            import torch

            found = encode(images)
            # Copied: an array out of Ray's memory is not to be written to, and torch warns of such.
            return [one if isinstance(one, Refused) else torch.tensor(one, device=model().device) for one in found]

        def read(texts: Sequence[str]) -> list[torch.Tensor]:
            # One by one: a text's features, and so a score, do not depend on the texts that are asked with it.
            return [read_all(model(), [text])[0] for text in texts]

        def read_list(among: str, of_images: bool) -> Listed:
            named = _named(objects(among), among)
            if not of_images:
                return Listed(named, read_all(model(), named))
            import torch

            there = {name: one for name, one in self.images(named).items() if not isinstance(one, Refused)}
            return Listed(list(there), torch.stack(list(there.values())) if there else torch.empty(0))

        def read_lists(lists: Sequence[tuple[str, bool]]) -> list[Listed]:
            return [read_list(among, of_images) for among, of_images in lists]

        self.lock = threading.Lock()
        self.see = seen
        self.images = remembering(seen, _KEEP)
        self.texts = remembering(read, _KEEP)
        self.lists = remembering(read_lists, _LISTS)


def read_all(loaded: Loaded, texts: Sequence[str]) -> torch.Tensor:
    """Returns the features (n, d) of texts, of length 1: of a text of several lines the mean of theirs.

    So an ensemble of prompts is read (Radford et al., ICML 2021, section 3.1.4).
    """
    import torch

    parts = [text.split("\n") for text in texts]
    lines = encode_texts(loaded, [line for part in parts for line in part])
    if len(lines) == len(texts):
        return lines
    own = torch.split(lines, [len(part) for part in parts])
    means = [one.mean(dim=0) if len(one) > 1 else one[0] for one in own]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)


_in_use: WeakValueDictionary[tuple[object, ...], _SharedModel] = WeakValueDictionary()
"""The ports hold them: a model that no port needs any more is let go."""
_opening = threading.Lock()


def _shared(spec: str, options: ClipOptions) -> _SharedModel:
    key = (spec, options.objects, options.device, options.batch, options.encode)
    with _opening:
        shared = _in_use.get(key)
        if shared is None:
            shared = _in_use[key] = _SharedModel(*key, options.notice)
    return shared


def see(loaded: Loaded, images: Sequence[str], objects: Objects, batch: int = BATCH) -> list[torch.Tensor | Refused]:
    """Returns the features (d,) of images by their names, a Refused in the place of one that cannot be read.

    While the model has one batch, threads read, decode and resize the next one.
    """
    resize, normalised = _steps(loaded.preprocess, loaded.device)

    def encode(part: Sequence[Any]) -> torch.Tensor:
        return loaded.model.encode_image(normalised(part))

    from concurrent.futures import ThreadPoolExecutor

    def pixels(image: str) -> Any:
        try:
            return resize(decode(objects(image), image))
        except Refused as refused:
            return refused

    seen: list[torch.Tensor | Refused] = []
    with ThreadPoolExecutor(min(_DECODERS, os.cpu_count() or 1)) as pool:
        for part in _ahead(pool, pixels, images, batch):
            good = [one for one in part if not isinstance(one, Refused)]
            found = iter(features(loaded, encode, good, batch) if good else ())
            seen += [one if isinstance(one, Refused) else next(found) for one in part]
    return seen


def remembering(f: Callable[[Sequence[K]], Sequence[V]], keep: int) -> Callable[[Sequence[K]], dict[K, V]]:
    """Returns f as a function to a dict, that asks f only for what it has not seen among the latest `keep`."""
    memory: dict[K, V] = {}

    def ask(keys: Sequence[K]) -> dict[K, V]:
        new = list(dict.fromkeys(key for key in keys if key not in memory))
        if new:
            memory.update(zip(new, f(new), strict=True))
        found = {key: memory[key] for key in keys}
        for key in list(memory)[: max(0, len(memory) - keep)]:
            del memory[key]
        return found

    return ask


def _steps(preprocess: Any, device: str) -> tuple[Callable[[Image], Any], Callable[[Sequence[Any]], torch.Tensor]]:
    """Returns a model's preprocessing in two: an image to its pixels, for the threads that read; a batch to a tensor.

    Torch does the second step, for the whole batch and where the model is: it would take threads of its own in each
    of the threads that read.
    """
    import numpy
    import torch

    *resizing, to_tensor, normalise = getattr(preprocess, "transforms", [None, None])
    if (type(to_tensor).__name__, type(normalise).__name__) != ("MaybeToTensor", "Normalize"):
        return preprocess, lambda part: torch.stack(list(part)).to(device)

    def pixels(image: Image) -> Any:
        for step in resizing:
            image = step(image)
        return numpy.asarray(image)

    def normalised(part: Sequence[Any]) -> torch.Tensor:
        whole = torch.from_numpy(numpy.stack(part)).to(device).permute(0, 3, 1, 2).contiguous()
        return normalise(whole.to(torch.float32).div(255))

    return pixels, normalised


def _ahead(pool: ThreadPoolExecutor, f: Callable[[K], V], items: Sequence[K], batch: int) -> Iterator[list[V]]:
    """Returns f of the items in batches; the next batch is begun before one is handed out."""
    before: list[Future[V]] = []
    for start in range(0, len(items), batch):
        begun = [pool.submit(f, item) for item in items[start : start + batch]]
        if before:
            yield [future.result() for future in before]
        before = begun
    yield [future.result() for future in before]


def _named(data: bytes, among: str) -> list[str]:
    try:
        named = msgspec.json.decode(data, type=list[str])
    except msgspec.DecodeError:
        named = []
    if not named:
        raise InputError(f"{among[:12]}… in the store is no list of texts or images to compare with; run again")
    return named
