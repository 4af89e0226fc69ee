"""Table 1: parameters of every variant against the paper's cells, and how speeds are compared."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from asr_core.asr.parametrization import gated_layers
from asr_core.errors import InputError
from asr_core.models import BACKBONES, build
from robust.bench.measure import DATA_SHAPES, bench, parameters, subject, variants
from robust.bench.table_one import TABLE_ONE

# As printed in the supplementary; columns are separated by tabs, of which one was missing.
PRINTED = r"""
Model	#P. (M)	Speed	#P. (M)	Speed	Model	#P. (M)	Speed	#P. (M)	Speed
ResNet164	1.73	1944	1.70	255	ResNet164	1.73	1944	1.70	255
+IE [31, 39]	1.74	1505 (\ 22.56%)	1.72	170 (\ 33.26%)	+SRM [29]	1.76	1387 (↓ 28.64%)	1.74	$162 (\downarrow 36.40\%)$
+CBAM [41]	1.93	793 (↓ 59.21%)	1.90	127 (↓ 50.23%)	+DIA [25]	1.95	1092 (\ 43.82%)	1.92	154 (↓ 39.61%)
+SE [19]	1.93	$1469 (\downarrow 24.42\%)$	1.91	173 (\ 32.08%)	+SPA [13]	3.86	$1080 (\downarrow 44.45\%)$	3.83	180 (↓ 29.36%)
+ASR (SE)	1.73	1942 (~ 0.00%)	1.70	255 (~ 0.00%)	+ASR (SPA))	1.73	1946 (~ 0.00%)	1.70	253 (~ 0.00%)
"""  # noqa: E501


def printed(data: str) -> dict[str, tuple[float, float, float]]:
    """{label: (millions of parameters, images a second, percent that it is slower)}."""
    found = {}
    first = {"cifar100": 1, "stl10": 3}[data]
    for line in PRINTED.strip().splitlines()[1:]:
        cells = line.split("\t")
        assert len(cells) == 10
        for half in (cells[:5], cells[5:]):
            # "ASR (SPA))" is the paper's own slip.
            label = re.sub(r"\+|\[.*\]|\s|\)(?=\))", "", half[0]).replace("ResNet164", "plain")
            speed, *slower = re.findall(r"\d+(?:\.\d+)?", half[first + 1])
            found[label] = (float(half[first]), float(speed), float(slower[0]) if slower else 0.0)
    return found


@pytest.mark.parametrize("data", ["cifar100", "stl10"])
def test_the_table_in_the_program_is_the_papers(data: str) -> None:
    ours = {label: (cell.parameters, cell.speed) for label, cell in TABLE_ONE[data].items()}
    assert ours == {label: cells[:2] for label, cells in printed(data).items()}
    for label, (_, speed, slower) in printed(data).items():
        if "ASR" not in label:  # those are "~ 0.00"
            # The paper's percentages are of speeds before they were rounded.
            assert 100 * (1 - speed / printed(data)["plain"][1]) == pytest.approx(slower, abs=0.2)


@pytest.mark.parametrize("data", ["cifar100", "stl10"])
def test_parameters_are_the_papers_cells(data: str) -> None:
    what = subject("resnet164", data)
    models, left_out = variants(what)
    assert not left_out
    assert list(models) == list(TABLE_ONE[data])
    counts = {label: round(parameters(model) / 1e6, 2) for label, model in models.items()}
    assert counts == {label: cells[0] for label, cells in printed(data).items()}
    assert len(set(counts.values())) >= 6, "they tell the modules apart"
    expected = {"cifar100": (100, 32), "stl10": (10, 96)}
    assert (what.num_classes, what.image_size) == expected[data]


class TestVariants:
    def test_fused_is_the_plain_model_and_live_is_not(self) -> None:
        models, _ = variants(subject("resnet11"))
        plain = build("resnet11", 100)
        for label, model in models.items():
            assert not model.training
            assert not list(gated_layers(model))
            keys = model.state_dict().keys()
            if label == "plain" or "ASR" in label:
                plain.load_state_dict(model.state_dict(), strict=True)
            else:
                assert keys > plain.state_dict().keys()

    def test_what_a_backbone_does_without_is_left_out_with_its_reason(self) -> None:
        models, left_out = variants(subject("mobilenet_v1"))
        assert list(left_out) == ["DIA"]
        assert "shares one cell" in left_out["DIA"]
        assert list(models) == ["plain", "IE", "CBAM", "SE", "SRM", "SPA", "ASR(SE)", "ASR(SPA)"]

    def test_models_of_others_take_attention_at_automatic_places(self) -> None:
        models, left_out = variants(subject("squeezenet1_1"))
        assert list(left_out) == ["DIA"]
        counts = {label: parameters(model) for label, model in models.items()}
        assert counts["ASR(SE)"] == counts["plain"] < counts["IE"] < counts["SE"] < counts["SPA"]

    def test_torchs_random_state_is_kept(self) -> None:
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        variants(subject("resnet11"))
        assert torch.equal(torch.rand(1), expected)

    def test_no_warning_of_gates_that_were_not_trained(
        self, recwarn: pytest.WarningsRecorder
    ) -> None:
        variants(subject("resnet11"))
        assert not [w for w in recwarn if "no gate has changed" in str(w.message)]


class TestSubject:
    @pytest.mark.parametrize("name", BACKBONES.names())
    def test_the_default_is_a_size_that_the_backbone_takes(self, name: str) -> None:
        what = subject(name)
        assert what.data
        assert what.image_size in BACKBONES[name].sizes
        assert what.image_size in DATA_SHAPES[what.data].sides
        assert what.num_classes == DATA_SHAPES[what.data].num_classes

    def test_data_sets_by_name(self) -> None:
        small = subject("vgg19_bn", "stl10")
        assert (small.num_classes, small.image_size) == (10, 96)
        assert subject("vit_b_16_384", "imagenet").image_size == 384
        assert subject("asr:resnet83").model == "resnet83"

    def test_models_of_others(self) -> None:
        what = subject("resnet18")
        assert (what.data, what.num_classes, what.image_size) == (None, None, 224)
        small = subject("resnet18", "cifar10")
        assert (small.num_classes, small.image_size) == (10, 32)
        assert small.build(mode="plain").fc.out_features == 10  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("model", "data", "message"),
        [
            ("resnet_164", None, "unknown model 'resnet_164'. Did you mean 'resnet164'? Known:"),
            ("resnet_164", None, "vit_b_16_384, a torchvision name, timm:NAME, or package"),
            ("resnet164", "cifar", "unknown data shape 'cifar'. Did you mean 'cifar10"),
            ("vit_s_16", "stl10", "vit_s_16 takes images of side 224, not those of stl10"),
            ("resnet83", "imagenet", "data shapes for it: cifar100, cifar10, stl10"),
        ],
    )
    def test_refusals(self, model: str, data: str | None, message: str) -> None:
        with pytest.raises(InputError) as raised:
            subject(model, data)
        assert message in str(raised.value)


class TestBench:
    @pytest.fixture
    def times(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
        times = {"plain": [1.0, 2.0, 4.0], "SE": [2.0, 2.0, 16.0], "ASR(SE)": [1.0, 1.0, 4.0]}

        def measured(models: Sequence[nn.Module], inputs: Tensor, **_: object) -> list[list[float]]:
            assert inputs.shape == (2, 3, 32, 32)
            assert len(models) == 3
            return list(times.values())

        monkeypatch.setattr("robust.bench.measure.timed", measured)
        return times

    def test_speeds_are_compared_within_a_round(self, times: dict[str, list[float]]) -> None:
        models: dict[str, nn.Module] = {label: nn.Identity() for label in times}
        plain, se, asr = bench(subject("resnet164"), models, batch_size=2, rounds=3)
        assert (plain.ratio, plain.lowest, plain.highest, plain.seconds) == (1, 1, 1, 2)
        # 1/2, 2/2, 4/16: the ratio of the medians would say 1.
        assert (se.ratio, se.lowest, se.highest, se.seconds) == (0.5, 0.25, 1, 2)
        assert (asr.ratio, asr.lowest, asr.highest) == (1, 1, 2)
        assert se.paper == (1.93, 1469)
        assert se.paper_ratio == pytest.approx(1 - 0.2442, abs=1e-3)
        assert plain.paper_ratio == 1

    @pytest.mark.parametrize(("name", "data"), [("resnet83", "cifar100"), ("resnet164", "cifar10")])
    def test_the_paper_has_one_network_on_two_data_sets(
        self, times: dict[str, list[float]], name: str, data: str
    ) -> None:
        models: dict[str, nn.Module] = {label: nn.Identity() for label in times}
        rows = bench(subject(name, data), models, batch_size=2, rounds=3)
        assert [(row.paper, row.paper_ratio) for row in rows] == [(None, None)] * 3

    def test_every_forward_is_told(self) -> None:
        what = subject("resnet11", "cifar10")
        plain = what.build(mode="plain").eval()
        told: list[None] = []
        rows = bench(
            what,
            {"plain": plain, "again": plain},
            batch_size=1,
            rounds=2,
            on_forward=lambda: told.append(None),
        )
        assert len(told) == 2 * 3
        assert [row.label for row in rows] == ["plain", "again"]
        assert all(row.seconds > 0 and row.lowest <= row.ratio <= row.highest for row in rows)
        assert rows[0].parameters == sum(p.numel() for p in plain.parameters())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"batch_size": 0}, "batch size is 0; it must be"),
            ({"rounds": -1}, "rounds is -1"),
        ],
    )
    def test_numbers_out_of_range(self, arguments: dict[str, int], message: str) -> None:
        with pytest.raises(InputError, match=message):
            bench(subject("resnet11"), {"plain": nn.Identity()}, **arguments)

    def test_a_model_that_takes_no_images(self) -> None:
        with pytest.raises(InputError, match=r"resnet11 does not take images of 32 × 32: .*shape"):
            bench(subject("resnet11"), {"plain": nn.Linear(7, 7)})
