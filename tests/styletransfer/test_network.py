"""styletransfer.network: Johnson's network, the public example's names, one norm or another."""

import contextlib
import math
import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_core import fuse_asr
from asr_core.errors import InputError
from styletransfer.network import NORMS, StyleNetwork
from styletransfer.recipe import StyleRecipe
from styletransfer.train import new_network

GATED = ["bn+asr", "bn+frozen", "bn+const"]


def public_names(blocks: int) -> list[str]:
    """State-dict names of ``TransformerNet`` in pytorch/examples' fast_neural_style, in order."""
    layers = ["conv1.conv2d", "in1", "conv2.conv2d", "in2", "conv3.conv2d", "in3"]
    for block in range(1, blocks + 1):
        layers += [f"res{block}.{part}" for part in ("conv1.conv2d", "in1", "conv2.conv2d", "in2")]
    layers += ["deconv1.conv2d", "in4", "deconv2.conv2d", "in5", "deconv3.conv2d"]
    return [f"{layer}.{tensor}" for layer in layers for tensor in ("weight", "bias")]


def tiny(norm: str, *, seed: int = 0, attention: str = "se") -> StyleNetwork:
    recipe = StyleRecipe(norm=norm, seed=seed, width=4, blocks=1, attention=attention)
    return new_network(recipe)


def convolutions(network: nn.Module) -> list[Tensor]:
    return [
        tensor
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
        for tensor in (layer.weight, layer.bias)
        if tensor is not None
    ]


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


# --- the architecture -----------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [5, 3, 0])
def test_the_names_are_those_of_the_public_example(blocks: int) -> None:
    assert list(StyleNetwork("in", width=8, blocks=blocks).state_dict()) == public_names(blocks)


@pytest.mark.parametrize(
    ("width", "blocks", "count"),
    # STYLE_RECIPE's counts, and that of the public checkpoints
    [(8, 3, 71_523), (16, 3, 276_675), (32, 3, 1_087_875), (32, 5, 1_679_235)],
)
def test_the_parameters_are_as_many_as_published(width: int, blocks: int, count: int) -> None:
    network = StyleNetwork("in", width=width, blocks=blocks)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_a_norm_follows_every_convolution_but_the_last() -> None:
    network = tiny("in")
    norms = [layer for layer in network.modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == len([m for m in network.modules() if isinstance(m, nn.Conv2d)]) - 1
    assert all(norm.affine and not norm.track_running_stats for norm in norms)


@pytest.mark.parametrize("norm", ["bn", *GATED])
def test_batch_norms_stand_where_instance_norms_stand(norm: str) -> None:
    instance = {n for n, m in tiny("in").named_modules() if isinstance(m, nn.InstanceNorm2d)}
    network = tiny(norm)
    assert {n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)} == instance
    assert not [m for m in network.modules() if isinstance(m, nn.InstanceNorm2d)]


@pytest.mark.parametrize("head", ["sigmoid", "linear"])
@pytest.mark.parametrize("norm", NORMS.names())
def test_the_shape_is_kept_and_the_range_is_that_of_images(norm: str, head: str) -> None:
    torch.manual_seed(0)
    network = StyleNetwork(norm, width=4, blocks=1, head=head)
    if head == "linear":  # as trained: pictures that fill the eight-bit range
        nn.init.normal_(network.deconv3.conv2d.weight, std=10)
        nn.init.constant_(network.deconv3.conv2d.bias, 128)
    for mode in (True, False):
        output = network.train(mode)(images(2, 3, 36, 48))
        assert output.shape == (2, 3, 36, 48)
        assert output.min() >= 0
        assert output.max() <= 1
        assert output.std() > 0, "a blank picture would pass the range check"


def test_the_linear_head_works_in_eight_bit_units() -> None:
    """Without norms in the way: scaled in by 255, scaled out by 255, clamped."""
    network = StyleNetwork("in", width=4, blocks=0, head="linear").eval()
    seen: list[Tensor] = []
    network.conv1.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    network.deconv3.register_forward_hook(lambda module, args, output: output * 0 + 300)
    x = images(1, 3, 16, 16)
    assert torch.equal(network(x), torch.ones(1, 3, 16, 16))
    assert torch.equal(seen[0], x * 255)


@pytest.mark.parametrize("norm", ["in", "bn"])
def test_only_batch_norm_lets_pictures_of_a_batch_touch(norm: str) -> None:
    network = tiny(norm).train()
    x = images(3, 3, 32, 32)
    together, alone = network(x)[:1], network(x[:1])
    difference = (together - alone).abs().max()
    assert difference < 1e-5 if norm == "in" else difference > 1e-3


# --- gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", GATED)
def test_every_batch_norm_has_a_gate_and_nothing_else_has(norm: str) -> None:
    network = tiny(norm)
    gated = {name for name, m in network.named_modules() if parametrize.is_parametrized(m)}
    assert gated == {n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert len(gated) == 7  # 3 + 2 in the block + 2


def test_frozen_gates_are_those_of_asr_and_learn_nothing() -> None:
    asr, frozen = tiny("bn+asr", seed=3), tiny("bn+frozen", seed=3)
    assert asr.state_dict().keys() == frozen.state_dict().keys()
    for name, tensor in asr.state_dict().items():
        assert torch.equal(frozen.state_dict()[name], tensor), name
    plain = {name for name, _ in tiny("bn").named_parameters()}
    learned = {
        re.sub(r"parametrizations\.(weight|bias)\.original", r"\1", name)
        for name, parameter in frozen.named_parameters()
        if parameter.requires_grad
    }
    assert learned == plain, "what BN learns and nothing else"
    assert all(parameter.requires_grad for parameter in asr.parameters())


def test_plain_variants_have_no_gate() -> None:
    for norm in ("in", "bn"):
        assert not [m for m in tiny(norm).modules() if parametrize.is_parametrized(m)]


def test_the_control_starts_and_stays_at_the_sigmoid_of_a_tenth() -> None:
    network = tiny("bn+const")
    expected = 1 / (1 + math.exp(-0.1))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert torch.allclose(layer.weight, torch.full_like(layer.weight, expected))
            assert not layer.bias.any()
    plain = sum(p.numel() for p in tiny("bn").parameters())
    assert sum(p.numel() for p in network.parameters()) == plain, "it has nothing to learn"


def test_the_attention_learns_where_it_is_asked_to() -> None:
    plain, gated = dict(tiny("bn").named_parameters()), dict(tiny("bn+asr").named_parameters())
    extra = gated.keys() - plain.keys()
    assert sum(gated[name].numel() for name in extra) > 0
    network = tiny("bn+asr")
    network(images(2, 3, 32, 32)).square().mean().backward()
    gates = [p for name, p in network.named_parameters() if ".asr." in name]
    assert gates
    assert all(p.grad is not None and p.grad.isfinite().all() for p in gates)
    assert any(p.grad.any() for p in gates)


@pytest.mark.parametrize("attention", ["se", "ie", "srm", "spa", "eca", "cbam"])
def test_the_attention_can_be_chosen(attention: str) -> None:
    network = tiny("bn+asr", attention=attention)
    assert network.config["attention"] == attention
    assert network(images(2, 3, 32, 32)).isfinite().all()


@pytest.mark.parametrize("norm", GATED)
@pytest.mark.filterwarnings("ignore:no gate has changed")
def test_fused_it_is_the_plain_network(norm: str) -> None:
    network = tiny(norm).eval()
    fused = fuse_asr(network)
    assert list(fused.state_dict()) == list(tiny("bn").state_dict())
    x = images(1, 3, 32, 32)
    assert torch.allclose(fused(x), network(x), atol=1e-5)
    assert not torch.allclose(tiny("bn").eval()(x), network(x), atol=1e-3), "gates do something"


# --- initial weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["bn", *GATED])
@pytest.mark.parametrize("seed", [0, 1])
def test_all_variants_of_a_seed_start_from_the_same_convolutions(norm: str, seed: int) -> None:
    ours, instance = convolutions(tiny(norm, seed=seed)), convolutions(tiny("in", seed=seed))
    assert len(ours) == len(instance) == 16
    assert all(torch.equal(a, b) for a, b in zip(ours, instance, strict=True))


def test_seeds_differ() -> None:
    pairs = zip(convolutions(tiny("in", seed=0)), convolutions(tiny("in", seed=1)), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)


# --- bad arguments --------------------------------------------------------------------------------


def test_an_unknown_norm_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown norm 'ln'.*Known: in, bn, bn\+asr, "):
        StyleNetwork("ln")


@pytest.mark.parametrize("norm", NORMS.names())
def test_an_unknown_attention_is_an_error_whatever_the_norm(norm: str) -> None:
    with pytest.raises(InputError, match=r"unknown attention module 'sea'.*Did you mean 'se'"):
        StyleNetwork(norm, attention="sea")


def test_attention_that_needs_an_input_is_refused_as_a_gate() -> None:
    with pytest.raises(InputError, match="'dia' cannot be an ASR gate"):
        StyleNetwork("bn+asr", width=4, attention="dia")


@pytest.mark.parametrize("size", [{"width": 0}, {"blocks": -1}, {"width": -3}])
def test_sizes_out_of_range_are_refused(size: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"(width|blocks) is -?\d"):
        StyleNetwork("in", **size)


@pytest.mark.parametrize("option", ["head", "upsample"])
def test_an_unknown_choice_is_refused(option: str) -> None:
    with pytest.raises(InputError, match="tanh"):
        StyleNetwork("in", **{option: "tanh"})  # type: ignore[arg-type]


@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
def test_upsampling_is_torchs_own(upsample: str) -> None:
    made = StyleNetwork("bn", width=4, blocks=0, upsample=upsample).eval()  # type: ignore[arg-type]
    features = images(1, 16, 5, 6)
    doubled = nn.Upsample(scale_factor=2, mode=upsample)(features)
    wanted = made.deconv1.conv2d(made.deconv1.reflection_pad(doubled))
    assert torch.equal(made.deconv1(features), wanted)
    other = new_network(StyleRecipe(norm="bn", width=4, blocks=0, upsample="bilinear"))
    assert other.config["upsample"] == "bilinear"
    assert StyleNetwork("in").config["upsample"] == "nearest"


@pytest.mark.parametrize("shape", [(1, 16, 9, 10), (2, 16, 1, 1), (1, 16, 2, 3)])
def test_binomial_upsampling_smooths_the_bilinear_one(shape: tuple[int, ...]) -> None:
    """By [1 2 1] / 4 each way, borders repeated; the proportions are binomial coefficients."""
    made = StyleNetwork("bn", width=4, blocks=0, upsample="binomial").double().eval()
    seen: list[Tensor] = []
    made.deconv1.reflection_pad.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    features = images(*shape).double()
    with contextlib.suppress(RuntimeError):  # one pixel is too small for the padding that follows
        made.deconv1(features)
    twice = nn.functional.interpolate(features, scale_factor=2.0, mode="bilinear")
    padded = nn.functional.pad(twice, (1, 1, 1, 1), mode="replicate")
    wanted = nn.functional.avg_pool2d(nn.functional.avg_pool2d(padded, 2, 1), 2, 1)
    torch.testing.assert_close(seen[0], wanted, rtol=0, atol=1e-12)
    taps = torch.tensor([math.comb(5, k) for k in range(6)]) / 16
    assert torch.equal(made.deconv1.kernel[0, 0].float(), torch.outer(taps, taps))
    assert not any("kernel" in name for name in made.state_dict())


def test_binomial_upsampling_leaves_no_trace_of_the_pixel_pairs() -> None:
    """A slow wave has no fast part afterwards; the kinks of bilinear upsampling do."""
    wave = torch.sin(torch.arange(48) * 2 * torch.pi / 12)[:, None].expand(1, 16, 48, 8)

    def fast_share(upsample: str) -> float:
        made = StyleNetwork("bn", width=4, blocks=0, upsample=upsample)  # type: ignore[arg-type]
        seen: list[Tensor] = []
        made.deconv1.reflection_pad.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
        made.deconv1(wave)
        lines = seen[0][0, 0, 16:80, 4] * torch.hann_window(64)
        power = torch.fft.rfft(lines).abs().square()
        return (power[24:].sum() / power.sum()).item()

    assert fast_share("bilinear") > 1e-6
    assert fast_share("binomial") < 0.01 * fast_share("bilinear")
