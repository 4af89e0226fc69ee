"""robust.style.kept: a run keeps the pictures of one training seed, by number, and says which."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from attack_folder import NORMS, QUICK, write_attack
from PIL import Image

from robust.norm_noise import BatchNoise
from robust.report.grid import picture_of
from robust.style.folder import PICTURES, AttackFolder
from robust.style.kept import KeptPictures
from robust.style.plan import AttackPlan
from robust.style.run import Output
from styletransfer.zoo import StyleCheckpoint


def plan() -> AttackPlan:
    networks = tuple(
        StyleCheckpoint("mosaic", norm, seed, Path(norm), "0") for norm in NORMS for seed in (3, 4)
    )
    return AttackPlan(networks, QUICK, draws=2, size=64)


def index_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    return json.loads((folder / "index.json").read_text())


def test_pictures_are_those_that_the_index_names(tmp_path: Path) -> None:
    kept = KeptPictures(plan(), tmp_path)
    generator = torch.Generator().manual_seed(0)
    made = {}
    for image in ("a/../b", "a"):
        kept.content(image, torch.rand(3, 64, 64, generator=generator))
        for norm in NORMS:
            for severity in (None, *QUICK):
                smooth = torch.rand(3, 1, 1, generator=generator).expand(3, 64, 64)
                made[image, norm, severity.text if severity else ""] = smooth
                kept.output(Output(image, norm, 3, severity, 0, smooth[None]))
    kept.write_index(["a/../b", "a"])
    entries = index_of(tmp_path)["outputs"]
    assert len(entries) == 2 * len(NORMS) * 4
    for each in entries:
        under = "" if each["norm"] == "in" else each["severity"]  # batches do not reach IN
        expected = np.asarray(picture_of(made[each["image"], each["norm"], under]), dtype=float)
        found = np.asarray(Image.open(tmp_path / each["file"]), dtype=float)
        assert abs(found - expected).max() <= 3
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*.jpg"))


def test_one_training_seed_and_one_draw_are_kept_and_only_of_finished_images(
    tmp_path: Path,
) -> None:
    kept = KeptPictures(plan(), tmp_path)
    picture = torch.rand(1, 3, 64, 64)
    kept.content("a", picture[0])
    kept.output(Output("a", "bn", 4, None, 0, picture))
    kept.output(Output("a", "bn", 3, BatchNoise(2), 1, picture))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000.jpg"]
    kept.output(Output("a", "bn", 3, BatchNoise(2), 0, picture))
    kept.write_index([])
    assert index_of(tmp_path)["outputs"] == []
    kept.write_index(["a"])
    assert [each["severity"] for each in index_of(tmp_path)["outputs"]] == ["2"]


def test_without_a_folder_nothing_is_kept() -> None:
    kept = KeptPictures(plan(), None)
    kept.style(torch.rand(3, 8, 8))
    kept.content("a", torch.rand(3, 8, 8))
    kept.output(Output("a", "bn", 3, None, 0, torch.rand(1, 3, 8, 8)))
    kept.write_index(["a"])


def test_a_failed_overwrite_keeps_the_pictures_of_the_earlier_run(tmp_path: Path) -> None:
    folder = write_attack(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (folder / PICTURES).iterdir()}
    place = AttackFolder(folder, overwrite=True)

    def fail() -> None:
        with place.claim(), place.pictures() as pictures:
            (pictures / "0000.jpg").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {path.name: path.read_bytes() for path in (folder / PICTURES).iterdir()} == before
