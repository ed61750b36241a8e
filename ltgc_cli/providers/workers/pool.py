"""The workers, seen from the process that asks them: `spread` makes a port of theirs that is called as any other.

Ray finds them a place, starts them again where one dies, asks it again what it had not answered, and carries the bytes.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

from ltgc_cli import image_formats
from ltgc_cli.errors import InputError, LtgcError, ProviderError
from ltgc_cli.ports import ImageRequest
from ltgc_cli.providers.clip import open_clip
from ltgc_cli.providers.opened import Keep, Notice, Objects, Opened, Port
from ltgc_cli.providers.t2i import pipelines
from ltgc_cli.providers.workers.joining import connect
from ltgc_cli.providers.workers.worker import Answered, Kind, PortWanted, Worker, version
from ltgc_cli.settings import Workers
from ltgc_cli.text import counted, one_line

EXTRA = "--engine ray needs one more package: pip install 'ltgc[ray]'"
_ENDED = "the workers were ended"
_LOCAL = ("litellm:", "replay:")  # specs that this process asks itself: for one rate and one budget, or from a file
_USUAL = 8  # workers that are kept busy where nobody said how many there are
_A_CORE = 8  # workers for each core of this machine: beyond that they do nothing but load their models for minutes
_AT_ONCE = 2  # batches that a worker has at once: it computes one while the images of the other are written and sent
_RETRIES = 2  # times that a batch is asked again whose worker died
_PLACE = 20.0  # seconds that a worker is waited for where everything is taken
_START = 120.0  # seconds that one has to start where there is room for it
_SILENT = 30.0  # seconds without an answer after which a worker is asked whether it is there, and that it has to say so


def spread(
    pool: Pool, kind: Kind, spec: str, opened: Opened[Port], *, objects: Objects, keep: Keep | None = None,
    **options: Any,
) -> Opened[Port]:  # fmt: skip
    """Returns the port that workers answer in the place of one that is opened here. Each call of it is one batch.

    objects, keep -- read and store the bytes of images; options -- how the model is loaded
    """
    given = tuple(sorted((name, _placed(name, value)) for name, value in options.items()))
    wanted = PortWanted(kind, _placed_spec(kind, spec), opened.model, given)

    def ask(requests: Sequence[Any]) -> Sequence[Any]:
        names = dict.fromkeys(name for request in requests for name in shown(request))
        answered = pool.answer(wanted, requests, [objects(name) for name in names])
        if isinstance(answered.answers, LtgcError):
            raise answered.answers
        for image in answered.images:
            assert keep is not None
            keep(image)
        return answered.answers

    port: Any = ask
    return Opened(opened.model, port)


def spreads(spec: str) -> bool:
    """Returns whether workers can answer for a model: one that runs where they do.

    >>> spreads("stabilityai/sd-turbo"), spreads("litellm:gpt-image-1")
    (True, False)
    """
    return not spec.startswith(_LOCAL)


def shown(request: ImageRequest | str) -> tuple[str, ...]:
    """Returns the objects, by sha256, that a request names: the image that it starts from; itself, where it is one."""
    if isinstance(request, str):
        return (request,)
    return (request.original,) if isinstance(request.original, str) else ()


def check(settings: Workers) -> None:
    """Raises InputError where Ray is not installed, or this machine is to start more workers than it can."""
    found = importlib.util.find_spec("ray")
    if found is None or found.origin is None:  # a folder of that name is no package
        raise InputError(EXTRA)
    cores = os.cpu_count() or 1
    if not settings.ray_address and (settings.workers or 0) > _A_CORE * cores:
        raise InputError(
            f"--workers {settings.workers}: this machine has {counted(cores, 'core')}, and starts {_A_CORE * cores} "
            "workers at the most; a cluster is joined with --ray-address"
        )


def calls_at_once(settings: Workers) -> int:
    """Returns how many batches are under way at once, so that every worker has its two."""
    return _AT_ONCE * (settings.workers or _USUAL)


class Pool:
    """The workers of one command. Ray is started, or its cluster joined, when the first question comes."""

    def __init__(self, settings: Workers, notice: Notice) -> None:
        check(settings)
        self._settings, self._notice = settings, notice
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._ray: Any = None
        self._kind: Any = None  # what Ray makes workers of
        self._leave: Callable[[], None] = lambda: None
        self._coming: dict[Any, Any] = {}  # workers that are not there yet, by the answer that they are
        self._there: set[Any] = set()
        self._processes: dict[Any, str] = {}  # where each of them ran when it last answered
        self._free: SimpleQueue[Any] = SimpleQueue()  # each worker as often as it takes one more batch
        self._need = Need("CPU", 1.0)
        self._patience = _START
        self._calls = 0
        self._closed = threading.Event()

    def answer(self, wanted: PortWanted, requests: Sequence[Any], images: Sequence[bytes]) -> Answered:
        """Returns what a worker answers. Called from many threads.

        Raises ProviderError where no worker can be had, or each that was asked died of it.
        """
        with self._lock:
            self._calls += 1
        try:
            with self._opening:
                if self._ray is None:
                    self._open(cpu=dict(wanted.options).get("device") == "cpu")
            while True:
                worker = self._next()
                answered = self._asked(worker, wanted, requests, images)
                if answered is not None:
                    for text in answered.notices:
                        self._notice(text)
                    before = self._processes.setdefault(worker, answered.process)
                    if before != answered.process:
                        self._processes[worker] = answered.process
                        self._notice(f"ray: a worker died ({before}) and was started again; what it had is asked again")
                    return answered
        finally:
            with self._lock:
                self._calls -= 1

    def close(self) -> None:
        """Ends the workers, and Ray where it was started here."""
        self._closed.set()
        if self._opening.acquire(timeout=1):  # who waits for Ray to start waits no more
            self._opening.release()
        with self._lock:
            workers, self._there, self._coming = [*self._there, *self._coming.values()], set(), {}
        if self._ray is None:
            self._leave()  # Ray may be there, and what it was asked next have failed, or been interrupted
            return
        for worker in workers:
            with suppress(Exception):
                self._ray.kill(worker)
        until = time.monotonic() + 5
        while self._calls and time.monotonic() < until:  # who waits for one that has ended hears of it
            time.sleep(0.05)
        self._leave()

    def _open(self, *, cpu: bool) -> None:
        if self._closed.is_set():
            raise ProviderError(_ENDED)
        try:
            self._leave = connect(self._settings, self._closed)
        except LtgcError:
            self._closed.set()  # the other threads need not try it too
            raise
        import ray

        need = self._need = needed(self._settings, ray.cluster_resources(), cpu=cpu)
        room = need.places(ray.cluster_resources())
        count = self._settings.workers or max(room, 1)
        free = need.places(ray.available_resources())
        # Where Ray was started here nobody makes room; a cluster grows, and others' work on it ends.
        self._patience = _START if free else _PLACE if self._settings.ray_address else 0.0
        # A worker with a GPU takes no core: they would keep out each other where there are fewer cores than GPUs.
        gpu = need.of == "GPU"
        resources = {"num_gpus": need.amount if gpu else 0, "num_cpus": 0 if gpu else 1}
        self._kind = ray.remote(Worker).options(
            **resources,
            max_restarts=-1,
            max_task_retries=_RETRIES,
            max_concurrency=_AT_ONCE + 1,  # and one thread to say that it is there
            scheduling_strategy="SPREAD",
        )
        if 0 < room < count:
            self._notice(f"ray: there is room for {room} of {counted(count, 'worker')}; the others wait for theirs")
        for _ in range(count):
            self._hire()
        self._ray = ray

    def _hire(self) -> None:
        worker = self._kind.remote(image_formats.allowed())
        self._coming[worker.version.remote()] = worker

    def _next(self) -> Any:
        """Returns a worker that takes a batch, as soon as there is one."""
        began = time.monotonic()
        while True:
            self._welcome()
            with suppress(Empty):
                return self._free.get(timeout=0.2)
            if self._closed.is_set():
                raise ProviderError(_ENDED)
            if not self._there and time.monotonic() - began > self._patience:
                raise ProviderError(_no_place(self._need, *self._resources()))

    def _resources(self) -> tuple[Mapping[str, float], Mapping[str, float]]:
        return self._ray.cluster_resources(), self._ray.available_resources()

    def _welcome(self) -> None:
        """Lets workers that have started begin. Raises ProviderError for one that cannot start."""
        with self._lock:
            ready, _ = self._ray.wait([*self._coming], timeout=0) if self._coming else ((), ())
            for sign in ready:
                worker = self._coming.pop(sign)
                try:
                    there = self._ray.get(sign)
                except self._ray.exceptions.RayError as error:
                    raise ProviderError(
                        f"a worker cannot start: {_why(error)}; install the same ltgc[ray] on every machine"
                    ) from None
                if there != version():
                    raise ProviderError(
                        f"a worker has ltgc {there}, and this is {version()}; install the same one on every machine"
                    )
                self._there.add(worker)
                for _ in range(_AT_ONCE):
                    self._free.put(worker)

    def _asked(
        self, worker: Any, wanted: PortWanted, requests: Sequence[Any], images: Sequence[bytes]
    ) -> Answered | None:
        """Returns a worker's answer, None where the worker was lost for good: its machine is gone."""
        if worker not in self._there:
            return None
        answer = worker.answer.remote(wanted, requests, images)
        while not self._ray.wait([answer], timeout=_SILENT)[0]:
            if not self._ray.wait([worker.version.remote()], timeout=_SILENT)[0]:
                self._replace(worker)
                return None
        try:
            answered: Answered = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of ours
        except self._ray.exceptions.RayError as error:
            if worker not in self._there and not self._closed.is_set():
                return None
            raise ProviderError(
                f"a worker died {_RETRIES + 1} times of the same {counted(len(requests), 'request')} ({_why(error)}); "
                "set --batch lower where the memory ran out"
            ) from None
        self._free.put(worker)
        return answered

    def _replace(self, worker: Any) -> None:
        """Gives up a worker that cannot be started again where it was, and asks Ray for another one."""
        with self._lock:
            if worker not in self._there or self._closed.is_set():
                return
            self._there.remove(worker)
            with suppress(Exception):
                self._ray.kill(worker)
            self._hire()
        self._notice("ray: a worker is lost, and its machine with it; the others go on with what it had")


class Need(NamedTuple):
    """What a worker takes, as Ray counts it."""

    of: Literal["CPU", "GPU"]
    amount: float

    def places(self, there: Mapping[str, float]) -> int:
        """Returns how many workers there is room for.

        >>> Need("GPU", 0.5).places({"GPU": 2.0}), Need("GPU", 1.0).places({"CPU": 4.0})
        (4, 0)
        """
        return int(there.get(self.of, 0.0) / self.amount + 1e-6)


def needed(settings: Workers, there: Mapping[str, float], *, cpu: bool = False) -> Need:
    """Returns what a worker takes: a GPU, or its share, where there are any; else a core.

    >>> needed(Workers(), {"CPU": 8.0, "GPU": 2.0}), needed(Workers(), {"CPU": 8.0})
    (Need(of='GPU', amount=1.0), Need(of='CPU', amount=1.0))
    """
    gpus = settings.num_gpus if settings.num_gpus is not None else float(bool(there.get("GPU")) and not cpu)
    return Need("GPU", gpus) if gpus else Need("CPU", 1.0)


def _no_place(need: Need, there: Mapping[str, float], free: Mapping[str, float]) -> str:
    name = {"CPU": "core", "GPU": "GPU"}[need.of]
    has, left = (f"{amounts.get(need.of, 0.0):g}" for amounts in (there, free))
    return (
        f"there is no room for a worker of Ray: it takes {need.amount:g} {name}, and of {has} in all {left} are free; "
        "end what holds them, or ask for less (--num-gpus, --device cpu)"
    )


def _why(error: Exception) -> str:
    """Returns what a person can make of an error of Ray's, whose texts have many lines: the last that says something.

    What a worker raised stands at the end of its traceback.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1] if lines else type(error).__name__, 200)


def _placed_spec(kind: Kind, spec: str) -> str:
    """Returns a spec that names the same model from any folder: a worker may run in another one."""
    return _placed("spec", spec) if kind == "generate" else open_clip.placed(spec)


def _placed(name: str, value: Any) -> Any:
    """Returns an option whose path, where it is one, is the same in any folder."""
    paths = name in ("spec", "lora", "t2i_config") and isinstance(value, str) and value not in ("embedded", "blank")
    return os.path.abspath(value) if paths and (os.path.exists(value) or pipelines.is_single_file(value)) else value
