"""asr_core.fold: what a graph does not show, kind by kind: the pair stays, the outputs too."""

import pytest
import torch
from fold_blocks import CONVS, LEFT, TOLERANCE, difference, made
from torch.nn.modules.batchnorm import _BatchNorm

from asr_core import fold_conv_bn, fold_model, fold_report
from asr_core.errors import InputError
from asr_core.fold import layer

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


@pytest.mark.parametrize("name", LEFT)
def test_it_is_left_alone_with_the_reason(name):
    make, shape, reason = LEFT[name]
    model = made(make)
    x = torch.randn(shape)
    for example in (x, None):
        report = fold_report(model, example=example)
        assert report.pairs == []
        (left,) = report.left
        assert difference(model, report.model, x) <= TOLERANCE
        if example is not None:
            assert reason in left.reason
            assert left.reason in repr(report)
            with pytest.warns(UserWarning, match="folded 0 of 1 .*left in place: '.*':"):
                fold_model(model, example=x)


def pair_of(model):
    names = {name: module for name, module in model.named_modules() if module is not model}
    bn = next(name for name, m in names.items() if isinstance(m, _BatchNorm))
    inside = [name for name in names if name.startswith("encoder.linear1")]
    convs = (name for name, m in names.items() if isinstance(m, CONVS))
    return (inside or [next(convs)])[0], bn


@pytest.mark.parametrize("name", LEFT)
def test_a_named_pair_is_refused(name):
    make, shape, reason = LEFT[name]
    model = made(make)
    conv, bn = pair_of(model)
    with pytest.raises(InputError, match=f"cannot fold {bn!r} into {conv!r}: ") as error:
        fold_conv_bn(model, [(conv, bn)], example=torch.randn(shape))
    assert reason in str(error.value)


# A formula does not fit, or the copy's own tensors and hooks happen to save it.
HARMLESS = {
    *("container", "linear before channels", "no batch, Conv2d", "no statistics", "tied"),
    *("pre_hook on conv", "parametrization on bn", "repeating", "reads a list"),
}
LOUD = {
    *("pruning on conv", "pruning on bn", "weight_norm", "spectral_norm", "new weight_norm"),
    *("orthogonal", "parametrization on conv", "reads statistics"),
}


@pytest.mark.parametrize("name", sorted(LEFT.keys() - HARMLESS))
def test_folded_all_the_same_it_would_be_wrong(monkeypatch, name):
    monkeypatch.setattr(layer, "unfit", lambda _: "")
    make, shape, _ = LEFT[name]
    model = made(make)
    inputs = (torch.randn(shape), True)[: 2 if name == "a flag" else 1]
    try:
        folded = layer.fold_pairs(model, [pair_of(model)])
        assert difference(model, folded, *inputs) > 1e-3
    except (KeyError, RuntimeError, AttributeError, TypeError):
        assert name in LOUD
