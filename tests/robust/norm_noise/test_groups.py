"""batch_statistics by groups: many small batches in one forward, against one forward each."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError, TargetError
from robust.norm_noise import BatchNoise, ConstantNoise, Noise, batch_statistics


def net(affine: bool = True) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, affine=affine),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(6 * 16, 5),
        nn.BatchNorm1d(5),
    ).double()
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean.uniform_(-1, 1)
                for tensor in (layer.weight, layer.bias, layer.running_var):
                    if tensor is not None:
                        tensor.uniform_(0.5, 2)
    return model.eval()


def images(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 8, 8, generator=generator, dtype=torch.float64)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 5), st.integers(1, 4), st.booleans())
def test_one_forward_gives_what_a_forward_a_group_gives(
    size: int, groups: int, affine: bool
) -> None:
    model, x = net(affine), images(size * groups)
    with torch.no_grad(), batch_statistics(model):
        expected = torch.cat([model(part) for part in x.split(size)])
        whole = model(x)
    with torch.no_grad(), batch_statistics(model, size):
        found = model(x)
    assert torch.allclose(found, expected, atol=1e-12, rtol=0)
    if groups > 1:
        assert not torch.allclose(found, whole, atol=1e-3)


def test_groups_of_one_make_it_an_instance_norm() -> None:
    model = net()[:3]
    twin = copy.deepcopy(model)
    norm = nn.InstanceNorm2d(4, affine=True).double()
    norm.load_state_dict({"weight": model[1].weight, "bias": model[1].bias})
    twin[1] = norm
    with torch.no_grad(), batch_statistics(model, 1):
        assert torch.allclose(model(images(3)), twin(images(3)), atol=1e-12)


def test_a_gated_net_gives_what_the_fused_one_gives() -> None:
    model = net()
    insert_asr(model, targets="4", create_affine=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("psi"):
                parameter.normal_(generator=torch.Generator().manual_seed(3))
    plain = fuse_asr(model)
    with torch.no_grad():
        with batch_statistics(model, 3):
            gated = model(images(6))
        with batch_statistics(plain, 3):
            assert torch.equal(plain(images(6)), gated)
        assert not torch.allclose(plain(images(6)), gated, atol=1e-3)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_before_afterwards(fails: bool) -> None:
    model = net()
    before, output = copy.deepcopy(model.state_dict()), model(images(4))
    try:
        with batch_statistics(model, 2):
            model(images(4))
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(images(4)), output)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_batch_that_is_no_multiple_is_refused() -> None:
    model = net()
    with (
        pytest.raises(InputError, match="5 images is no multiple of groups of 2"),
        batch_statistics(model, 2),
    ):
        model(images(5))
    with pytest.raises(InputError, match="0 images cannot share"), batch_statistics(model, 0):
        pass


def test_a_norm_with_a_forward_of_its_own_is_refused_and_nothing_is_changed() -> None:
    class Norm(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    model = nn.Sequential(nn.BatchNorm2d(3), Norm(3)).eval()
    with pytest.raises(TargetError, match="'1' is a Norm"), batch_statistics(model, 2):
        pass
    assert model[0].running_mean is not None
    assert not model[0]._forward_hooks


def test_without_batch_norm_nothing_changes() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)).double()
    with batch_statistics(model, 2):
        found = model(images(4))
    assert torch.equal(found, model(images(4)))


@pytest.mark.parametrize("batch_is_outside", [True, False])
def test_other_noise_comes_after_the_groups_whichever_context_is_outside(
    batch_is_outside: bool,
) -> None:
    model, x = net()[:2], images(6)
    severities = [BatchNoise(2), ConstantNoise(0.5, 0.3)]
    first, second = severities if batch_is_outside else reversed(severities)
    features, norm = model[0](x), model[1]
    expected = []
    for part in features.split(2):
        variance, mean = torch.var_mean(part, (0, 2, 3), correction=0, keepdim=True)
        normal = (part - mean) / (variance + norm.eps).sqrt()
        weight, bias = (p.reshape(-1, 1, 1) for p in (norm.weight, norm.bias))
        expected.append(weight * (0.5 * normal + 0.3) + bias)
    with torch.no_grad(), Noise(model, first), Noise(model, second):
        assert torch.allclose(model(x), torch.cat(expected), atol=1e-12)
    assert "forward" not in vars(norm)
