"""Checkpoints of the public ``fast_neural_style`` example, of any age, with made-up weights.

The oracle is that example's network written out in plain calls, on images of [0, 255].
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asr_core.errors import CheckpointError
from asr_core.saving.checkpoint import sha256
from styletransfer.zoo import StyleCheckpoint, describe, load_network

WIDTH, BLOCKS = 8, 5


def conv_shapes() -> dict[str, tuple[int, int, int]]:
    """Output channels, input channels and kernel of every convolution."""
    w = WIDTH
    blocks = {f"res{i}.conv{j}": (4 * w, 4 * w, 3) for i in range(1, BLOCKS + 1) for j in (1, 2)}
    return {
        "conv1": (w, 3, 9), "conv2": (2 * w, w, 3), "conv3": (4 * w, 2 * w, 3),
        **blocks,
        "deconv1": (2 * w, 4 * w, 3), "deconv2": (w, 2 * w, 3), "deconv3": (3, w, 9),
    }  # fmt: skip


def norm_widths() -> dict[str, int]:
    w = WIDTH
    blocks = {f"res{i}.in{j}": 4 * w for i in range(1, BLOCKS + 1) for j in (1, 2)}
    return {"in1": w, "in2": 2 * w, "in3": 4 * w, **blocks, "in4": 2 * w, "in5": w}


def public_state(*, old: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, (outputs, inputs, kernel) in conv_shapes().items():
        scale = (2 / (inputs * kernel**2)) ** 0.5
        shape = (outputs, inputs, kernel, kernel)
        state[f"{name}.conv2d.weight"] = scale * torch.randn(shape, generator=generator)
        state[f"{name}.conv2d.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    for name, width in norm_widths().items():
        state[f"{name}.weight"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.bias"] = 0.5 * torch.randn(width, generator=generator)
        if old:  # PyTorch 0.3 kept them, and never used them
            state[f"{name}.running_mean"] = 9 * torch.ones(width)
            state[f"{name}.running_var"] = 9 * torch.ones(width)
    # the last layer's output fills the range of [0, 255] and leaves it here and there
    state["deconv3.conv2d.weight"] *= 60
    state["deconv3.conv2d.bias"] += 128
    return state


def example_in_plain_calls(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 255] to the same, before any clamping."""
    s = {name: tensor.double() for name, tensor in state.items()}

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = s[f"{name}.conv2d.weight"]
        p = weight.shape[-1] // 2
        x = F.pad(x, (p, p, p, p), mode="reflect")
        return F.conv2d(x, weight, s[f"{name}.conv2d.bias"], stride=stride)

    def norm(x: Tensor, name: str) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=0)
        scale, shift = s[f"{name}.weight"], s[f"{name}.bias"]
        x = (x - mean) / (variance + 1e-5).sqrt()
        return x * scale[:, None, None] + shift[:, None, None]

    def up(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    y = norm(conv(x.double(), "conv1"), "in1").relu()
    y = norm(conv(y, "conv2", 2), "in2").relu()
    y = norm(conv(y, "conv3", 2), "in3").relu()
    for i in range(1, BLOCKS + 1):
        inner = norm(conv(y, f"res{i}.conv1"), f"res{i}.in1").relu()
        y = y + norm(conv(inner, f"res{i}.conv2"), f"res{i}.in2")
    y = norm(conv(up(y), "deconv1"), "in4").relu()
    y = norm(conv(up(y), "deconv2"), "in5").relu()
    return conv(y, "deconv3")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["candy.pth", "candy.model"])
def test_a_public_checkpoint_gives_the_examples_pictures(
    tmp_path: Path, name: str, old: bool
) -> None:
    path = tmp_path / name
    torch.save(public_state(old=old), path)
    network, meta = load_network(path)
    x = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1)).double()
    wanted = example_in_plain_calls(public_state(), 255 * x)
    with torch.no_grad():
        found = network.double()(x)
    assert torch.allclose(found, (wanted / 255).clamp(0, 1), atol=1e-9)
    assert found.std() > 0.05
    assert wanted.min() < 0, "clamping takes part"
    assert ((found > 0) & (found < 1)).double().mean() > 0.05
    assert network.config == {
        "norm": "in", "width": WIDTH, "blocks": BLOCKS, "head": "linear", "attention": "se",
        "upsample": "nearest",
    }  # fmt: skip
    assert (meta["style"], meta["seed"]) == ("candy", 0)


def test_its_description_names_the_file_and_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "candy.pth"
    torch.save(public_state(), path)
    assert describe(path) == StyleCheckpoint("candy", "in", 0, path, sha256(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.conv2d.weight": None}, r"it has no conv1\.conv2d\.weight"),
        ({"conv1.conv2d.weight": torch.ones(8)}, r"it has no conv1\.conv2d\.weight"),
        ({"conv1.conv2d.weight": torch.ones(0, 3, 9, 9)}, r"it has no conv1\.conv2d\.weight"),
        ({"res3.in1.weight": None}, r"another architecture: missing: res3\.in1\.weight$"),
        ({"res6.in1.weight": torch.ones(32)}, r"another architecture: missing: res6"),
        ({"head.weight": torch.ones(1)}, r"unexpected: head\.weight$"),
        ({"in1.weight": torch.ones(9)}, r"in1\.weight \(9,\) torch\.float32 for \(8,\)"),
    ],
)
def test_another_architecture_is_refused(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    state = {name: t for name, t in {**public_state(), **change}.items() if t is not None}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path / "x.pth")


def test_statistics_in_use_are_not_dropped(tmp_path: Path) -> None:
    """A batch norm's, under the same names, tells itself by the batches that it counted."""
    state = public_state(old=True)
    state |= {f"{name}.num_batches_tracked": torch.tensor(5) for name in norm_widths()}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"unexpected: in1\.num_batches_tracked"):
        load_network(tmp_path / "x.pth")
