"""The few pictures of a run that its grid shows."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from robust.norm_noise import Severity
from robust.report.grid import Label, Picture, draw_grid, picture_of
from robust.style.plan import AttackPlan
from robust.style.run import Output

NORM_TITLES = {"in": "IN", "bn": "BN", "bn+asr": "BN+ASR", "bn+const": "BN+const"}
_MOST_IMAGES = 6
_MOST_ATTACKED = 2


class Samples:
    """Keeps the outputs of the first images, first training seed and first draw, for the grid.

    Args:
        plan: the run.
        every_severity: show all severities instead of a choice that fits on a page.
    """

    def __init__(self, plan: AttackPlan, *, every_severity: bool = False) -> None:
        self._plan = plan
        self._seed = plan.training_seeds[0]
        attacks = [severity for severity in plan.severities if not severity.is_control]
        self._shown: list[Severity] = list(plan.severities)
        if not every_severity:
            self._shown = _spread_out(attacks or list(plan.severities), _MOST_ATTACKED)
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
        for norm in self._plan.norms:
            for severity in (None, *self._shown):
                label = "clean" if severity is None else f"{severity.noise}, {severity.label}"
                rows.append(
                    (
                        (NORM_TITLES.get(norm, norm), label),
                        [self._outputs.get((name, norm, severity)) for name in names],
                    )
                )
        return draw_grid(rows, column_labels=names, title=title, footnote=footnote)


def _spread_out(severities: list[Severity], most: int) -> list[Severity]:
    """At most ``most`` of them, the first and the last among them."""
    if len(severities) <= most:
        return severities
    step = (len(severities) - 1) / (most - 1)
    return [severities[round(index * step)] for index in range(most)]
