"""Style networks beside Gatys' optimisation: what is measured, kept, and said."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import picture

from asr_core.errors import CheckpointError, InputError
from robust.studies.gatys import measure
from robust.studies.gatys.measure import Kept, Measured
from robust.studies.gatys.page import as_good_as, study, table
from styletransfer.images.embedded import UNSEEN, held_out
from styletransfer.images.styles import style_image
from styletransfer.losses.embedded import EmbeddedLossNetwork
from styletransfer.losses.perceptual import LossTerms, PerceptualLoss
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network
from styletransfer.zoo import load_network, save_network

RECIPE = StyleRecipe(width=4, blocks=1, style_weight=5.0, tv_weight=2.0)


def network(path: Path, *, recipe: StyleRecipe = RECIPE, facts: bool = True) -> Path:
    said = {"recipe": recipe.as_dict()} if facts else {}
    save_network(path, new_network(recipe), style="blocks", seed=recipe.seed, facts=said)
    return path


@pytest.fixture
def networks(tmp_path: Path) -> list[Path]:
    bn = replace(RECIPE, norm="bn", seed=1)
    return [network(tmp_path / "in.safetensors"), network(tmp_path / "bn.safetensors", recipe=bn)]


def run(tmp_path: Path, networks: list[Path], **setting: object) -> list[dict[str, str]]:
    style = picture(tmp_path / "blocks.png", size=(64, 64))
    given = {"size": 64, "iterations": 3, "photographs": 2, "precision": "float32", **setting}
    study(tmp_path / "docs", runs=tmp_path / "runs", networks=networks, style=str(style), **given)
    with (tmp_path / "runs" / "gatys.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_measured(tmp_path: Path, networks: list[Path]) -> None:
    rows = run(tmp_path, networks)
    names = UNSEEN[:2]
    of_networks = [(n, norm, seed) for norm, seed in (("in", "0"), ("bn", "1")) for n in names]
    optimised = [(n, "", "0") for n in names for _ in (0, 3)]
    assert [(r["photograph"], r["norm"], r["seed"]) for r in rows] == [*of_networks, *optimised]
    content = held_out(names[0], size=64)
    loss = PerceptualLoss(EmbeddedLossNetwork(), style_image(str(tmp_path / "blocks.png"))[1])
    pictures = {0: load_network(networks[0])[0](content[None]).detach(), 4: content[None]}
    for index, stylised in pictures.items():
        terms = loss(stylised, content[None])
        total = terms.content + 5 * terms.style + 2 * terms.total_variation
        assert float(rows[index]["style"]) == pytest.approx(terms.style.item(), rel=1e-3)
        assert float(rows[index]["total"]) == pytest.approx(total.item(), rel=1e-3)
    assert float(rows[5]["total"]) < float(rows[4]["total"]), "three iterations and none"
    page = (tmp_path / "docs" / "results" / "gatys.md").read_text()
    assert "Total = 1 · content + 5 · style + 2 · total variation." in " ".join(page.split())
    assert "embedded" in page
    assert (tmp_path / "runs" / "blocks" / f"{names[0]}-003.png").exists()


def test_what_is_measured_is_kept(
    tmp_path: Path, networks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, networks[:1], photographs=1)
    made = []
    optimise = measure.optimised_pictures
    monkeypatch.setattr(
        measure, "optimised_pictures", lambda *a, **o: (made.append(1), optimise(*a, **o))[1]
    )
    assert run(tmp_path, networks[:1], photographs=1) == first
    assert made == []
    more = run(tmp_path, networks, photographs=2)
    assert made == [1], "the second photograph alone"
    assert [row for row in more if row in first] == first


@pytest.mark.slow
def test_other_options_do_not_take_what_is_there(tmp_path: Path, networks: list[Path]) -> None:
    run(tmp_path, networks, photographs=1)
    for changed, named in (({"iterations": 2}, "iterations"), ({"size": 68}, "size")):
        with pytest.raises(CheckpointError, match=f"differs in .*{named}"):
            run(tmp_path, networks, photographs=1, **changed)


def test_another_style_picture_or_loss_is_another_study(
    tmp_path: Path, networks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, networks, photographs=1)
    with monkeypatch.context() as patch:
        patch.setattr(measure, "style_picture", lambda network, style: held_out("cat", size=64))
        with pytest.raises(CheckpointError, match="differs in probe"):
            run(tmp_path, networks, photographs=1)
    compare = PerceptualLoss.compare
    monkeypatch.setattr(
        PerceptualLoss, "compare", lambda *a: LossTerms(*(2 * term for term in compare(*a)))
    )
    with pytest.raises(CheckpointError, match="differs in probe"):
        run(tmp_path, networks, photographs=1)


def test_networks_of_other_weights_are_not_compared(tmp_path: Path, networks: list[Path]) -> None:
    other = network(tmp_path / "x.safetensors", recipe=replace(RECIPE, style_weight=6.0))
    with pytest.raises(InputError, match=r"other weights.*5\.0.*6\.0"):
        run(tmp_path, [*networks, other])
    silent = network(tmp_path / "silent.safetensors", facts=False)
    with pytest.raises(InputError, match=r"silent.*does not say"):
        run(tmp_path, [silent])


def measured(total: float, **changed: object) -> Measured:
    return Measured(**{
        "content": 0.5, "style": total - 0.5, "total": total, "judged": total, "lpips": None,
        "seconds": 1.0, **changed,
    })  # fmt: skip


def test_as_good_as() -> None:
    curve = [4.0, 3.0, 2.0, 2.5, 1.0]
    assert [as_good_as(total, curve) for total in (5.0, 4.0, 3.5, 2.0, 1.5, 1.0)] == [
        0, 0, 1, 2, 4, 4
    ]  # fmt: skip
    assert as_good_as(0.9, curve) is None


def test_the_table_says_the_mean_and_the_range() -> None:
    curves = {
        name: Kept(
            identity={},
            pictures=[measured(totals[at], iterations=at, lpips=0.25) for at in (0, 3)],
            totals=totals,
        )
        for name, totals in {"a": [4.0, 3.0, 2.0, 1.0], "b": [8.0, 6.0, 4.0, 2.0]}.items()
    }
    networks = [
        *(("a", measured(2.0, norm="in", seed=s)) for s in (0, 1)),
        *(("b", measured(5.0, norm="in", seed=s)) for s in (0, 1)),
        ("a", measured(0.5, norm="bn")),
        ("b", measured(2.5, norm="bn")),
    ]
    head, _, *rows = table(curves, networks).markdown().splitlines()
    assert "total / that of 3" in head
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    by_name = {row[0]: row[1:] for row in cells if len(row) > 1}
    # the mean of the networks is 3.5, that of the curves 6, 4.5, 3, 1.5
    assert by_name["IN (2 seeds)"][-3:] == ["2", "2", "2.33"]
    assert by_name["BN (1 seed)"][-3:] == ["3", "3 to over 3", "1.00"]
    assert by_name["the photograph"][2:] == ["6.000", "0.250", "1", "", "", "4.00"]
    assert by_name["IN (2 seeds)"][3] == "", "LPIPS was not measured"


@pytest.mark.slow
def test_vgg16_in_bfloat16_comes_to_the_same(fetched: object) -> None:
    """On a small picture; the page says the difference of each study."""
    from styletransfer.gatys import optimise_picture
    from styletransfer.losses.vgg import VGGLossNetwork

    style = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), size=64)[0]
    loss = PerceptualLoss(VGGLossNetwork(fetched("vgg16")), style)  # type: ignore[operator]
    content = held_out("cat", size=64)
    ends = [
        optimise_picture(content, loss, replace(RECIPE, precision=p), iterations=12)[1][-1]
        for p in ("float32", "bfloat16")
    ]
    assert ends[0] == pytest.approx(ends[1], rel=0.02)
