import copy
import itertools

import pytest
import torch
from by_hooks import multiply_outputs
from layer_cases import randomise
from representative import some_of
from torch import nn
from torchvision.models import VisionTransformer, resnet

from asr_core import fuse_asr, place
from asr_core.errors import InputError
from asr_core.models import BACKBONES, AsymmetricConv, mobilenet_v1, resnet_acnet, vit_s_16
from asr_core.placement.targets import select


def stages(numbers, last):
    return [f"layer{s}.{i}.{last}" for s, n in enumerate(numbers, 1) for i in range(n)]


def encoder(layers):
    ends = "self_attention.out_proj", "mlp.3"
    return [f"encoder.layers.encoder_layer_{i}.{end}" for i in range(layers) for end in ends]


def norms(block):
    """A block of RepVGG that changes the shape has no third branch."""
    return 2 if block in (0, 3, 7, 21) else 3


def repvgg_parameters():
    widths = [3, 48] + 2 * [48] + 4 * [96] + 14 * [192] + [1280]
    return 1281 * 1000 + sum(
        10 * width * out + 2 * norms(i) * out
        for i, (width, out) in enumerate(itertools.pairwise(widths))
    )


# Parameters at the number of classes: from the papers and torchvision's documentation, ResNet83
# and ACNet from ResNet164's 1,704,154 by what a block of width p has, 17p² + 12p and 6p² + 4p.
def bottleneck_parameters(planes, blocks, classes):
    """Convolutions and norms of a bottleneck ResNet, block by block."""
    width = planes[0]
    total = 27 * width + 2 * width
    for narrow in planes:
        wide = 4 * narrow
        total += width * wide + 2 * wide  # the first block's projection
        for _ in range(blocks):
            total += width * narrow + 9 * narrow**2 + narrow * wide + 4 * narrow + 2 * wide
            width = wide
    return total + width * classes + classes


EXPECTED = {
    "resnet11": (10, 1_704_154 - 17 * (17 * 5376 + 12 * 112), stages([1] * 3, "bn3")),
    "resnet56-half": (10, bottleneck_parameters((8, 16, 32), 6, 10), stages([6] * 3, "bn3")),
    "resnet29": (10, 1_704_154 - 15 * (17 * 5376 + 12 * 112), stages([3] * 3, "bn3")),
    "resnet11_gn": (10, 1_704_154 - 17 * (17 * 5376 + 12 * 112), stages([1] * 3, "bn3")),
    "resnet29_gn": (10, 1_704_154 - 15 * (17 * 5376 + 12 * 112), stages([3] * 3, "bn3")),
    "resnet83": (10, 1_704_154 - 9 * (17 * 5376 + 12 * 112), stages([9] * 3, "bn3")),
    "resnet164": (10, 1_704_154, stages([18] * 3, "bn3")),
    "resnet83_acnet": (10, 869_530 + 9 * (6 * 5376 + 4 * 112), stages([9] * 3, "bn3")),
    "resnet34": (1000, 21_797_672, stages([3, 4, 6, 3], "bn2")),
    "resnet50": (1000, 25_557_032, stages([3, 4, 6, 3], "bn3")),
    "resnet101": (1000, 44_549_160, stages([3, 4, 23, 3], "bn3")),
    "vgg19_bn": (
        10,
        20_040_522,
        [f"features.{i}" for i in (1, 4, 8, 11, 15, 18, 21, 24, 28, 31, 34, 37, 41, 44, 47, 50)],
    ),
    "repvgg_a0": (
        1000,
        repvgg_parameters(),
        [f"blocks.{i}.{bn}" for i in range(22) for bn in ("bn3", "bn1", "bn0")[: norms(i)]],
    ),
    "shufflenet_v2": (
        1000,
        2_278_604,
        [f"stage{s}.{i}.branch2.6" for s, n in ((2, 4), (3, 8), (4, 4)) for i in range(n)],
    ),
    "mobilenet_v1": (
        1000,
        4_231_976,
        [f"blocks.{i}.{bn}" for i in range(13) for bn in ("bn1", "bn2")],
    ),
    "vit_s_16": (1000, 22_050_664, encoder(12)),
    "vit_b_16": (1000, 86_567_656, encoder(12)),
    "vit_b_16_384": (1000, 86_859_496, encoder(12)),
}


KEPT = ("resnet11", "resnet50", "repvgg_a0", "mobilenet_v1", "vit_s_16")


def test_every_backbone_is_expected():
    assert set(EXPECTED) == set(BACKBONES)
    with pytest.raises(InputError, match=r"unknown backbone 'resnet38'\. Did you mean 'resnet83'"):
        BACKBONES["resnet38"]


@pytest.mark.parametrize("name", EXPECTED)
def test_positions_and_parameters(name):
    num_classes, parameters, positions = EXPECTED[name]
    backbone = BACKBONES[name]
    with torch.device("meta"):
        model = backbone.make(num_classes)
    assert sum(p.numel() for p in model.parameters()) == parameters
    modules = dict(model.named_modules(remove_duplicate=False))
    layers, refusals = select(modules, backbone.targets, ())
    assert list(layers) == positions
    assert not refusals


@pytest.mark.parametrize(
    "name", some_of(sorted(set(EXPECTED) - {"shufflenet_v2", "repvgg_a0"}), KEPT)
)
def test_the_paper_and_automatic_placement_agree(name):
    with torch.device("meta"):
        found = place(BACKBONES[name].make(10)).names
    # The paper leaves the stem of MobileNet alone.
    assert [n for n in found if n != "bn1"] == EXPECTED[name][2]


def test_automatic_placement_gives_the_summed_branches_of_repvgg_one_gate():
    with torch.device("meta"):
        placement = place(BACKBONES["repvgg_a0"].make(10))
    assert sorted(placement.names) == sorted(EXPECTED["repvgg_a0"][2])
    blocks = [{name.rpartition(".")[0] for name in group} for group in placement.shared]
    assert all(len(block) == 1 for block in blocks)
    assert sum(map(len, placement.shared)) == len(placement.names)
    assert round(repvgg_parameters() / 1e6, 2) == 9.11  # the paper of RepVGG, in training


def test_shufflenet_gates_the_last_of_several_norms():
    with torch.device("meta"):
        model = BACKBONES["shufflenet_v2"].make(10)
    for name in EXPECTED["shufflenet_v2"][2]:
        branch = model.get_submodule(name.rpartition(".")[0])
        assert isinstance(branch[6], nn.BatchNorm2d)
        assert isinstance(branch[7], nn.ReLU)
        assert len(branch) == 8
    assert set(place(model).names) > set(EXPECTED["shufflenet_v2"][2])


# The large ones differ from smaller ones of the same class in depth and width alone.
RUN = [n for n in BACKBONES if 32 in BACKBONES[n].sizes and n != "resnet164"]
SMALLER = {
    "resnet34": lambda: resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], 7),
    "resnet50": lambda: resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], 7),
    "vit_s_16": lambda: VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=7),
}


@pytest.mark.parametrize("name", some_of([*RUN, *SMALLER], KEPT))
def test_insert_train_fuse_and_load(name):
    torch.manual_seed(0)
    backbone = BACKBONES[name]
    make = SMALLER.get(name, lambda: backbone.make(7))
    model = make()
    randomise(model, std=0.1)
    plain = copy.deepcopy(model).eval()
    keys = list(plain.state_dict())
    report = backbone.insert(model)
    x = torch.rand(2, 3, 32, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.functional.cross_entropy(model.train()(x), torch.tensor([1, 5]))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in report.parameters())
    optimizer.step()
    for parameter in report.parameters():
        nn.init.normal_(parameter)

    fused = fuse_asr(model.double(), example=x.double())
    for a, b in zip(fused.modules(), plain.modules(), strict=True):
        assert type(a) is type(b)
    assert list(fused.state_dict()) == keys
    make().load_state_dict(fused.state_dict(), strict=True)

    # What was trained besides the gates, without the gates, times v.
    state = {}
    for key, value in model.state_dict().items():
        stock = key.replace("parametrizations.", "").removesuffix(".original")
        if stock in keys:
            state[stock] = value
    plain = plain.double()
    plain.load_state_dict(state, strict=True)
    with torch.no_grad():
        stock = plain(x.double())
        wanted = multiply_outputs(plain, report.positions)(x.double())
        found = fused.eval()(x.double())
    assert found.shape == (2, 7)
    assert (found - wanted).abs().max() <= 1e-10 * wanted.abs().max()
    assert (stock - wanted).abs().max() > 1e-6 * wanted.abs().max()


@pytest.mark.parametrize("name", some_of([n for n in BACKBONES if 96 in BACKBONES[n].sizes], KEPT))
@pytest.mark.parametrize("size", [32, 96])
def test_sides_of_cifar_and_stl(name, size):
    with torch.device("meta"):
        logits = BACKBONES[name].make(10)(torch.rand(2, 3, size, size))
    assert logits.shape == (2, 10)


def test_vit_starts_where_the_paper_says():
    with torch.device("meta"):
        assert BACKBONES["vit_b_16_384"].make(3).image_size == 384
    model = vit_s_16(3, image_size=32)
    report = BACKBONES["vit_s_16"].insert(model)
    assert {p.gate.config["activation"] for p in report.positions} == {"tanh"}
    assert all((p == 1e-3).all() for p in report.parameters())
    other = BACKBONES["vit_s_16"].insert(vit_s_16(3, image_size=32), "srm", psi=0.5)
    assert all((p.gate.psi == 0.5).all() for p in other.positions)


def test_mobilenet_halves_the_side_four_times():
    model = mobilenet_v1(10)
    x = torch.rand(1, 32, 32, 32)
    assert model.blocks(x).shape == (1, 1024, 2, 2)
    strides = [block.conv1.stride[0] for block in model.blocks]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


@pytest.mark.parametrize("stride", [1, 2])
def test_an_asymmetric_convolution_is_one_square_one(stride):
    torch.manual_seed(0)
    block = AsymmetricConv(3, 4, stride=stride).double().eval()
    randomise(block)
    kernel, bias = torch.zeros(4, 3, 3, 3, dtype=torch.float64), 0
    for way, rows, columns in (
        ("square", slice(None), slice(None)),
        ("row", slice(1, 2), slice(None)),
        ("column", slice(None), slice(1, 2)),
    ):
        conv, bn = getattr(block, f"conv_{way}"), getattr(block, f"bn_{way}")
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        kernel[:, :, rows, columns] += conv.weight * scale[:, None, None, None]
        bias = bias + bn.bias - bn.running_mean * scale
    x = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    wanted = nn.functional.conv2d(x, kernel, bias, stride=stride, padding=1)
    assert (block(x) - wanted).abs().max() < 1e-12


def test_acnet_keeps_the_shape_of_the_plain_network():
    model = resnet_acnet(11, 10, attention="se")
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 10)
    assert sum(isinstance(m, AsymmetricConv) for m in model.modules()) == 3
