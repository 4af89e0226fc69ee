import pytest
from torch import nn

from asr_core.errors import TargetError
from asr_core.placement.targets import as_patterns, matches, select


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU()


def modules():
    net = nn.Sequential()
    net.stem = nn.Conv2d(3, 4, 1)
    net.layer1 = Block()
    net.layer2 = Block()
    net.norm = nn.LayerNorm([4, 4])
    net.attn = nn.MultiheadAttention(4, 2)
    return dict(net.named_modules(remove_duplicate=False))


def is_bn(module, name):
    return isinstance(module, nn.BatchNorm2d)


@pytest.mark.parametrize(
    ("targets", "exclude", "expected"),
    [
        ("layer1.bn", (), ["layer1.bn"]),
        (["layer2.bn", "stem"], (), ["stem", "layer2.bn"]),  # in the model's order
        (("layer1.bn",), (), ["layer1.bn"]),
        ("layer*.bn", (), ["layer1.bn", "layer2.bn"]),
        ("*.bn", "layer1.*", ["layer2.bn"]),
        ("layer?.[bc]*", (), ["layer1.conv", "layer1.bn", "layer2.conv", "layer2.bn"]),
        (is_bn, (), ["layer1.bn", "layer2.bn"]),
        (is_bn, lambda m, name: name.startswith("layer2"), ["layer1.bn"]),
        ([is_bn, "stem"], ["layer2.bn"], ["stem", "layer1.bn"]),
        ("attn", (), ["attn.out_proj"]),
        ("attn.out_proj", (), ["attn.out_proj"]),
        (["attn", "attn.*", "stem"], (), ["stem", "attn.out_proj"]),  # the same layer, once
        ("*", ["layer*", "attn"], ["stem"]),
    ],
)
def test_what_targets_mean(targets, exclude, expected):
    layers, _ = select(modules(), targets, exclude)
    assert list(layers) == expected


def test_globs_match_the_full_dotted_name():
    with pytest.raises(TargetError, match=r"'bn' matches no layer.*close matches: 'layer1\.bn'"):
        select(modules(), "bn", ())
    with pytest.raises(TargetError, match="matches no layer"):
        select(modules(), "ayer1.b", ())


@pytest.mark.parametrize(
    ("targets", "exclude", "message"),
    [
        ("layer3.bn", (), r"target 'layer3\.bn' matches no .*; close matches: 'layer2\.bn'"),
        (["stem", "nope*"], (), r"target 'nope\*' matches no .*; the 7 that can include 'stem', "),
        ("stem", "nope", "exclude 'nope' matches no layer"),
        ("stem", "stem", r"targets='stem' with exclude='stem' leave no layer"),
        ([], (), r"targets=\[\] .* leave no layer"),
        ("layer1.act", (), r"'layer1\.act' can take no gate: a ReLU has no output-channel param"),
        ("layer1", (), r"'layer1' can take no gate: a Block has no"),
        ("norm", (), r"'norm' can take no gate: it normalises over \(4, 4\)"),
        ("*.act", (), r"'\*\.act' matches no layer"),
        (lambda m, name: False, (), "is true for no layer that can take a gate"),
        (3, (), "3 is neither a module name or glob nor a callable"),
        (["stem", None], (), "None is neither"),
    ],
)
def test_patterns_that_mean_nothing_are_refused(targets, exclude, message):
    with pytest.raises(TargetError, match=message):
        select(modules(), targets, exclude)


def test_a_model_with_no_layer_at_all():
    with pytest.raises(TargetError, match="the model has none"):
        select({"": nn.Sequential()}, "conv", ())


def test_modules_meant_that_can_take_no_gate_are_reported():
    layers, refusals = select(modules(), "*", "layer2.*")
    assert {r.name for r in refusals} == {"layer1.act", "norm"}
    assert "layer1.bn" in layers
    (norm,) = [r for r in refusals if r.name == "norm"]
    assert "which axis holds the channels" in norm.reason


def test_lazy_layers_are_refused():
    net = nn.Sequential(nn.LazyConv2d(4, 1))
    with pytest.raises(TargetError, match="run one forward pass first"):
        select(dict(net.named_modules()), "0", ())


def test_patterns_and_matches():
    assert as_patterns("a.b") == ["a.b"]
    assert as_patterns(is_bn) == [is_bn]
    assert as_patterns(("a", is_bn)) == ["a", is_bn]
    names = dict.fromkeys(["a", "a.b", "a.bc", "A.b"], nn.Identity())
    assert matches("a", names) == ["a"]
    assert matches("a.*", names) == ["a.b", "a.bc"]
    assert matches("*b", names) == ["a.b", "A.b"]
    assert matches("a[.]b", {**names, "a[.]b": nn.Identity()}) == ["a[.]b"]  # exact comes first
