"""One attack run, from a plan to a run folder."""

from __future__ import annotations

import contextlib
import html
import importlib
import io
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import torch
from PIL import Image
from torch import Tensor

from asr_core.errors import InputError
from robust.environment import environment
from robust.parallel import map_in_order, one_thread_each
from robust.report.table import Table
from robust.style.folder import METRICS, AttackFolder
from robust.style.kept import KeptPictures
from robust.style.measure import Measures
from robust.style.plan import AttackPlan
from robust.style.report import answers, details, table
from robust.style.results import Results, Row
from robust.style.run import Output, StyleAttack
from robust.style.samples import Samples
from robust.style.summary import summarise
from styletransfer.images import embedded
from styletransfer.images.read import PathLike, find_images, read_images

_QUICK_PICTURES = ("astronaut", "cat", "coffee", "yurt")


NO_LPIPS = "not measured: `robust weights get lpips-alex` fetches what it takes"


@dataclass(frozen=True, repr=False)
class AttackResult:
    """Numbers, the answer and the pictures of an attack; a notebook shows it as its table.

    Attributes:
        summary: headlines, means with 95 % intervals and shares, as in ``summary.json``.
        grid: some of the pictures, a row per network and noise.
        skipped: unreadable files in folders of images, and why.
        folder: that the run was written to; None for none.
        measurements: the text of ``metrics.csv`` where there is no folder.
    """

    summary: dict[str, Any]
    grid: Image.Image
    skipped: dict[str, str]
    folder: AttackFolder | None = None
    measurements: str = ""

    @property
    def table(self) -> Table:
        """The means: each norm variant clean and under two severities a noise."""
        return table(self.summary)

    @property
    def details(self) -> Table:
        """Means with intervals, of more metrics, and of every severity."""
        return details(self.summary)

    @property
    def headline(self) -> str:
        """The answer in a sentence, or one for each noise."""
        return " ".join(self.summary["headlines"])

    @property
    def answers(self) -> dict[str, list[str]]:
        """A sentence for each share of IN's advantage, by situation (clean, each attack)."""
        return answers(self.summary)

    def frame(self) -> Any:
        """Every measurement as a pandas DataFrame, with the columns of ``metrics.csv``.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise InputError("frame() needs pandas: pip install 'robust-asr[notebook]'") from None
        source = io.StringIO(self.measurements)
        return pandas.read_csv(
            source if self.folder is None else self.folder.path / METRICS,
            keep_default_na=False,
            na_values={"draw": [""], "value": ["nan"]},
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def _repr_html_(self) -> str:
        return f"<p><strong>{html.escape(self.headline)}</strong></p>\n{self.table.html()}"


@dataclass(frozen=True)
class AttackJob:
    """A run that is ready to start: nothing but the folder has been made yet."""

    plan: AttackPlan
    folder: AttackFolder | None
    measures: Measures
    style: Tensor
    images: tuple[PathLike, ...]
    full: bool
    max_pixels: int
    device: torch.device
    command: list[str]

    @property
    def announcement(self) -> str:
        """What the run takes, in one line."""
        plan = self.plan
        count = self._image_count
        severities = ", ".join(f"{s.noise} {s.text}" for s in plan.severities)
        draws = "one draw each" if plan.draws == 1 else f"{plan.draws} draws each"
        return (
            f"style {plan.networks[0].style}: {count} images × {', '.join(plan.norms)} × "
            f"{len(plan.training_seeds)} training seeds; {severities}; "
            f"{draws}{'' if self.full else ' (--full takes more)'}; "
            f"loss network: {self.loss_network}{'' if self.measures.lpips else '; no LPIPS'}"
        )

    @property
    def loss_network(self) -> str:
        """The name of the loss network."""
        name: str = self.measures.loss.network.name
        return name

    @property
    def total(self) -> int:
        """Pictures that the run stylises, for progress; skipped files count until they are met."""
        return self._image_count * self.plan.outputs_per_image

    def run(
        self,
        *,
        on_output: Callable[[str], None] = lambda image: None,
        on_skip: Callable[[Path, str], None] = lambda path, reason: None,
    ) -> AttackResult:
        """Run, and write the folder's files, if there is a folder.

        Args:
            on_output: called with the image's name after each stylised picture.
            on_skip: called with each unreadable file in a folder, and why.

        Raises:
            InputError: another process holds the folder.
            KeyboardInterrupt: after what was finished has been written; it says how much that is.
        """
        skipped: dict[str, str] = {}

        def skip(path: Path, reason: str) -> None:
            skipped[str(path)] = reason
            on_skip(path, reason)

        samples = Samples(self.plan, self.style, every_severity=self.full)

        stream = self._pictures(skip)
        stream = itertools.chain([next(stream)], stream)  # bad input shows before files are made
        with contextlib.nullcontext() if self.folder is None else self.folder.claim():
            return self._run(stream, samples, skipped, on_output)

    def _run(
        self,
        stream: Iterator[tuple[str, Tensor]],
        samples: Samples,
        skipped: dict[str, str],
        on_output: Callable[[str], None],
    ) -> AttackResult:
        started = datetime.now(UTC)
        interrupt: KeyboardInterrupt | None = None
        with self._measurements() as file, self._kept_folder() as place:
            results = Results(file)
            kept = KeptPictures(self.plan, place)
            kept.style(self.style)
            try:
                self._measure(stream, results, samples, kept, on_output)
            except KeyboardInterrupt as error:
                if not results.images:
                    raise
                interrupt = error
            kept.write_index(results.images)
        facts = {
            "command": self.command,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
            "interrupted": interrupt is not None,
            "images": results.images,
            "skipped": skipped,
            "loss_network": self.loss_network,
            "loss_precision": "bfloat16" if self.measures.lower else "float32",
            "lpips": "AlexNet, version 0.1" if self.measures.lpips else NO_LPIPS,
            **self.plan.as_dict(),
            "environment": environment(self.device),
        }
        summary = summarise(results, self.plan.objective, loss_network=self.loss_network)
        grid = samples.draw(title=self._title, footnote=self._footnote)
        if self.folder is not None:
            self.folder.write(summary, facts, grid)
        if interrupt is not None:
            if self.folder is not None:
                interrupt.args = (
                    f"{self.folder.path} keeps the {len(results.images)} finished images",
                )
            raise interrupt
        text = file.getvalue() if isinstance(file, io.StringIO) else ""
        return AttackResult(summary, grid, skipped, self.folder, text)

    def _measurements(self) -> AbstractContextManager[TextIO]:
        if self.folder is None:
            return contextlib.nullcontext(io.StringIO(newline=""))
        return self.folder.measurements()

    def _kept_folder(self) -> AbstractContextManager[Path | None]:
        return contextlib.nullcontext() if self.folder is None else self.folder.pictures()

    def _measure(
        self,
        pictures: Iterator[tuple[str, Tensor]],
        results: Results,
        samples: Samples,
        kept: KeptPictures,
        on_output: Callable[[str], None],
    ) -> None:
        stop = threading.Event()

        def seen(output: Output) -> None:
            if stop.is_set():
                raise InterruptedError
            samples.output(output)
            kept.output(output)
            on_output(output.image)

        def measure(attack: StyleAttack, item: tuple[str, Tensor]) -> list[Row]:
            return attack.rows(*item, on_output=seen)

        def seen_first() -> Iterator[tuple[str, Tensor]]:
            for name, image in pictures:
                samples.content(name, image)
                kept.content(name, image)
                yield name, image

        pool = embedded.pool(size=self.plan.size)[1]
        with one_thread_each() as cores, contextlib.ExitStack() as stack:
            count = min(cores, self._image_count) if self.device.type == "cpu" else 1
            workers = []
            for _ in range(count):
                workers.append(StyleAttack(self.plan, self.measures, pool, device=self.device))
                stack.enter_context(workers[-1].statistics())
            try:
                for rows in map_in_order(measure, workers, seen_first()):
                    results.add(rows)
            except BaseException:
                stop.set()  # the threads that still run end at their next picture
                raise

    @property
    def _image_count(self) -> int:
        return len(find_images(self.images)) if self.images else len(self._held_out)

    @property
    def _held_out(self) -> tuple[str, ...]:
        return embedded.UNSEEN if self.full else _QUICK_PICTURES

    def _pictures(self, on_skip: Callable[[Path, str], None]) -> Iterator[tuple[str, Tensor]]:
        if not self.images:
            return ((n, embedded.held_out(n, size=self.plan.size)) for n in self._held_out)
        return read_images(
            self.images,
            on_skip=on_skip,
            max_pixels=self.max_pixels,
            size=self.plan.size,
            crop=True,
        )

    @property
    def _title(self) -> str:
        noises = ", ".join(dict.fromkeys(severity.noise for severity in self.plan.severities))
        return f"{self.plan.networks[0].style}: {noises} noise"

    @property
    def _footnote(self) -> str:
        return (
            f"training seed {self.plan.training_seeds[0]}, first draw of seed {self.plan.seed}; "
            f"clean: {self.plan.statistics} statistics (IN: instance)"
        )
