"""The few pictures of a run that its grid shows."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import center_crop

from robust.norm_noise import BatchNoise, Severity
from robust.report.grid import CORNER, GROUP_COLOURS, Label, Picture, draw_grid, picture_of
from robust.style.names import COLOURED, NORM_TITLES
from robust.style.plan import AttackPlan
from robust.style.run import Output
from robust.style.situations import spread_out

COLOURS = {NORM_TITLES[norm]: GROUP_COLOURS[index] for index, norm in enumerate(COLOURED)}
"""Of each variant, whichever are shown."""

PAGE_WIDTH = 1000
"""Pixels: what a README shows without scaling."""

_MOST_IMAGES = 4
_MOST_ATTACKED = 2


class Samples:
    """Keeps the outputs of the first images, first training seed and first draw, for the grid.

    Args:
        plan: the run.
        style: the style image, (3, H, W) in [0, 1].
        every_severity: show all severities and controls instead of a choice that fits on a page.
    """

    def __init__(self, plan: AttackPlan, style: Tensor, *, every_severity: bool = False) -> None:
        self._plan = plan
        # a part, so that its strokes are seen at the scale of the pictures
        side = min(round(CORNER * plan.size), *style.shape[1:])
        self._style = picture_of(center_crop(style, [side, side]))
        self._seed = plan.training_seeds[0]
        attacks = [severity for severity in plan.severities if not severity.is_control]
        self._norms = plan.norms
        self._shown: list[Severity] = list(plan.severities)
        if not every_severity:
            if "bn+frozen" in plan.norms:  # the closer control of the two
                self._norms = [norm for norm in plan.norms if norm != "bn+const"]
            self._shown = [
                shown
                for noise in dict.fromkeys(s.noise for s in attacks or plan.severities)
                for shown in spread_out(
                    [s for s in attacks or plan.severities if s.noise == noise], _MOST_ATTACKED
                )
            ]
        self._contents: dict[str, Image.Image] = {}
        self._outputs: dict[tuple[str, str, Severity | None], Image.Image] = {}

    def content(self, name: str, image: Tensor) -> None:
        """Take a content image (3, H, W)."""
        if len(self._contents) < _MOST_IMAGES:
            self._contents[name] = picture_of(image)

    def output(self, output: Output) -> None:
        """Take an output if the grid shows it."""
        if (
            output.image in self._contents
            and output.training_seed == self._seed
            and output.draw == 0
            and (output.severity is None or output.severity in self._shown)
        ):
            key = output.image, output.norm, output.severity
            self._outputs[key] = picture_of(output.picture[0])

    def draw(self, *, title: str, footnote: str) -> Image.Image:
        """The grid: content, then each variant clean and attacked; one column an image."""
        names = list(self._contents)
        rows: list[tuple[Label, list[Picture]]] = [("content", list(self._contents.values()))]
        for norm in self._norms:
            for severity, label in self._rows_of(norm):
                pictures: list[Picture] = [
                    self._outputs.get((name, norm, severity)) for name in names
                ]
                rows.append(((NORM_TITLES.get(norm, norm), label), pictures))
        return draw_grid(
            rows,
            column_labels=names,
            title=title,
            footnote=footnote,
            width=PAGE_WIDTH,
            corner=("style", self._style),
            colours=COLOURS,
        )

    def _rows_of(self, norm: str) -> Iterator[tuple[Severity | None, str]]:
        """What is shown of a norm variant, and its label; batches don't reach an instance norm."""
        taken = self._plan.severities_of(norm)
        shown = [severity for severity in self._shown if severity in taken]
        noises = {severity.noise for severity in self._shown}
        if norm == "in":
            shown = [severity for severity in shown if severity.noise != BatchNoise.noise]
        yield None, "any n" if norm == "in" and noises == {BatchNoise.noise} else "clean"
        for severity in shown:
            several = len(noises) > 1
            yield severity, f"{severity.noise}, {severity.label}" if several else severity.label
