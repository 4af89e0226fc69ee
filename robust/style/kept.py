"""The pictures that a run keeps for its page: saved as they are made, one training seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from asr_core.saving.files import write_json
from robust.norm_noise import BatchNoise
from robust.report.grid import picture_of
from robust.style.plan import AttackPlan
from robust.style.results import CLEAN
from robust.style.run import Output

INDEX = "index.json"
SCHEMA = 1
QUALITY = 92
"""Of JPEG without chroma subsampling: no artefacts are seen, at saturated edges either."""
MOST_IMAGES = 200
"""Images whose pictures are kept."""


class KeptPictures:
    """Saves content images, and the outputs of the first training seed and the first draw.

    Files are named by the places of image, norm variant and severity, never by the names of images;
    ``index.json`` says what each shows. Pictures are not held in memory. Outputs may come from
    several threads.

    Args:
        plan: the run.
        folder: that takes the files; None keeps nothing.
    """

    def __init__(self, plan: AttackPlan, folder: Path | None) -> None:
        self._plan = plan
        self._folder = folder
        self._contents: dict[str, int] = {}
        self._seed = plan.training_seeds[0]

    def style(self, image: Tensor) -> None:
        """Save the style image (3, H, W)."""
        self._save("style.jpg", image)

    def content(self, name: str, image: Tensor) -> None:
        """Save a content image (3, H, W)."""
        if len(self._contents) < MOST_IMAGES:
            self._contents[name] = len(self._contents)
            self._save(f"{self._contents[name]:04d}.jpg", image)

    def output(self, output: Output) -> None:
        """Save an output if it is one that is kept."""
        place = self._contents.get(output.image)
        if place is None or output.training_seed != self._seed or output.draw:
            return
        name = self._name(place, output.norm, output.severity)
        if output.severity is None or name != self._name(place, output.norm, None):
            self._save(name, output.picture[0])

    def write_index(self, images: list[str]) -> None:
        """Write ``index.json``: the pictures of ``images`` that are there."""
        if self._folder is None:
            return
        entries: list[dict[str, Any]] = []
        for image in images:
            if image not in self._contents:
                continue
            for norm in self._plan.norms:
                for severity in (None, *self._plan.severities_of(norm)):
                    file = self._name(self._contents[image], norm, severity)
                    if (self._folder / file).is_file():
                        noise = severity.noise if severity else CLEAN
                        text = severity.text if severity else ""
                        entries.append(
                            {
                                "image": image,
                                "norm": norm,
                                "noise": noise,
                                "severity": text,
                                "file": file,
                            }
                        )
        contents = {n: f"{i:04d}.jpg" for n, i in self._contents.items() if n in images}
        index = {
            "schema": SCHEMA,
            "training_seed": self._seed,
            "style": "style.jpg",
            "contents": contents,
            "outputs": entries,
        }
        write_json(self._folder / INDEX, index)

    def _name(self, place: int, norm: str, severity: object) -> str:
        if norm == "in" and isinstance(severity, BatchNoise):
            severity = None  # companions cannot reach an instance norm
        at = 0 if severity is None else 1 + list[object](self._plan.severities).index(severity)
        return f"{place:04d}-{self._plan.norms.index(norm)}-{at}.jpg"

    def _save(self, name: str, picture: Tensor) -> None:
        if self._folder is not None:
            image: Image.Image = picture_of(picture)
            image.save(self._folder / name, quality=QUALITY, subsampling=0)
