"""asr_core.fold: what is folded, next to what is not."""

import pytest
import torch
from fold_blocks import (
    FOLDED,
    IMAGES,
    TOLERANCE,
    AsksBias,
    AsksClass,
    Block,
    C,
    Held,
    difference,
    hook,
    made,
)
from timm.layers import BatchNormAct2d
from torch import nn

from asr_core import fold_conv_bn, fold_model, fold_report
from asr_core.errors import InputError, ParityError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(weight|spectral)_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:folded .* blocks and batch norms"),
]


@pytest.fixture(autouse=True)
def _double():
    """From the start: a conversion would untie what is shared."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", FOLDED)
@torch.no_grad()
def test_it_is_folded(name):
    """Also without an example, except where that has to show how many axes there are."""
    make, shape, axes = FOLDED[name]
    model = made(make)
    x = torch.randn(shape)
    assert model(x).std() > 0
    for example in (x, None):
        report = fold_report(model, example=example)
        assert len(report.pairs) == (example is not None or axes is None)
        assert difference(model, report.model, x) <= TOLERANCE
    if axes is not None:
        assert "pass an example input" in report.left[0].reason
    assert difference(model, fold_model(model, example=x), x) <= TOLERANCE


def test_an_activation_of_the_norms_own_stays_where_it_was():
    model = made(lambda: Block(bn=BatchNormAct2d(C, act_layer=nn.PReLU)))
    folded = fold_model(model)
    assert isinstance(folded.bn, nn.Sequential)
    assert folded.bn.act is not model.bn.act
    assert [key for key in folded.state_dict() if key.startswith("bn")] == ["bn.act.weight"]


def test_modules_in_lists_of_the_users_own():
    """The forward calls what a list holds: the folded layer has to be the same object."""
    model = made(Held)
    report = fold_report(model)
    assert report.pairs == [("conv", "bn")]
    assert report.model.kept[0] is report.model.also["a"] is report.model.conv
    assert isinstance(report.model.kept[1], nn.Identity)
    assert difference(model, report.model, torch.randn(IMAGES)) <= TOLERANCE


def test_all_that_can_be_is_folded_where_something_cannot():
    model = made(lambda: nn.Sequential(Block(), hook("bn"), Block()))
    x = torch.randn(IMAGES)
    with pytest.warns(UserWarning, match=r"folded 2 of 3 .*: '1\.bn': it has hooks"):
        folded = fold_model(model, example=x)
    assert difference(model, folded, x) <= TOLERANCE
    report = fold_report(model)
    assert report.changed == {"0.conv", "2.conv"}
    assert repr(report).splitlines()[:2] == ["0 blocks merged", "2 batch norms folded"]


def test_one_that_the_forward_asks_about_keeps_no_other():
    model = made(lambda: nn.Sequential(Block(), AsksClass(), AsksBias(), Block()))
    report = fold_report(model)
    assert report.pairs == [("0.conv", "0.bn"), ("3.conv", "3.bn")]
    assert [left.name for left in report.left] == ["1.bn", "2.bn"]
    assert difference(model, report.model, torch.randn(IMAGES)) <= TOLERANCE


def test_containers_that_end_between_the_two_are_among_the_changed():
    class Wrapped(Block):
        def __init__(self):
            super().__init__(conv=nn.Sequential(nn.Conv2d(C, C, 1)))

    model = made(Wrapped)
    head = nn.Linear(C, 3)
    nn.init.zeros_(head.weight)  # so that what is inside is compared as well
    whole = nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    report = fold_report(whole, example=torch.randn(IMAGES))
    assert report.changed == {"0.conv", "0.conv.0"}


def test_hooks_on_all_modules():
    model = made(Block)
    handle = nn.modules.module.register_module_forward_hook(lambda m, args, output: None)
    try:
        (left,) = fold_report(model).left
    finally:
        handle.remove()
    assert "hooks on all modules" in left.reason
    assert fold_report(model).left == ()


def test_a_layer_that_runs_with_other_tensors():
    """``functional_call`` inside a forward puts them in for one call."""

    class Swapped(Block):
        def __init__(self):
            super().__init__()
            self.spare = [torch.randn(C, C, 3, 3)]

        def forward(self, x):
            y = torch.func.functional_call(self.conv, {"weight": self.spare[0]}, (x,))
            return self.bn(y)

    model = made(Swapped)
    (left,) = fold_report(model).left
    assert "is changed by the forward itself" in left.reason


def test_models_that_cannot_be_traced_take_named_pairs_that_an_example_proves():
    class Branching(Block):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    class Wrong(Branching):
        def forward(self, x):
            return self.bn(self.conv(x).relu()) if x.sum() > 0 else x

    x = torch.rand(IMAGES)
    pairs = [("conv", "bn")]
    model = made(Branching)
    folded = fold_conv_bn(model, pairs, example=x)
    assert isinstance(folded.bn, nn.Identity)
    assert difference(model, folded, x) <= TOLERANCE
    with pytest.raises(InputError, match=r"Branching cannot be traced .* with an example"):
        fold_conv_bn(model, pairs)
    with pytest.raises(ParityError, match="outputs differ"):
        fold_conv_bn(made(Wrong), pairs, example=x)


def test_named_pairs_that_are_no_neighbours():
    model = made(lambda: nn.Sequential(Block(), Block()))
    with pytest.raises(InputError, match=r"'1.bn' into '0.conv': it normalises .* '1.conv'"):
        fold_conv_bn(model, [("0.conv", "1.bn")])
    with pytest.raises(InputError, match=r"'0.act' into '0.conv': it is no batch norm"):
        fold_conv_bn(model, [("0.conv", "0.act")])
    pair = ("0.conv", "0.bn")
    assert difference(model, fold_conv_bn(model, [pair, pair]), torch.randn(IMAGES)) <= TOLERANCE


@torch.no_grad()
def test_weights_in_one_memory_or_of_inference_mode():
    """No folded tensor is written in place."""
    expanded = made(Block)
    expanded.conv.weight = nn.Parameter(torch.randn(1, C, 3, 3).expand(C, C, 3, 3))
    with torch.inference_mode():
        built = made(Block)
    x = torch.randn(IMAGES)
    for model in (expanded, built):
        report = fold_report(model, example=x)
        assert report.pairs == [("conv", "bn")]
        assert difference(model, report.model, x) <= TOLERANCE
        assert isinstance(report.model.conv.weight, nn.Parameter)
