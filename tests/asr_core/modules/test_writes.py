"""Writes to what a gated layer shows as its weight: each changes a plain layer and raises here."""

import copy
import gc
import weakref

import pytest
import torch
from layer_cases import randomise, times
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

from asr_core import fuse_asr, insert_asr
from asr_core.errors import InputError, TargetError
from asr_core.modules.writes import Given

SHAPE = (4, 3, 3, 3)
LOST = r"'0': a 'weight' with a gate was written in place"
X = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def plain():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)
    ).double()
    randomise(model)
    return model


def gated():
    model = plain()
    insert_asr(model, targets=["0", "1", "3"])
    return model


def full(value):
    return torch.full(SHAPE, value, dtype=torch.float64)


def no_grad(write):
    def inside(read):
        with torch.no_grad():
            write(read)

    return inside


def inference(write):
    def inside(read):
        with torch.inference_mode():
            write(read)

    return inside


def decay(read):
    read().data = read().data * 0.5


def swap(read):
    torch.utils.swap_tensors(read(), nn.Parameter(full(3.0)))


def through_numpy(read):
    read().detach().numpy()[0] = 3.0


# Each takes a function that reads the weight anew each time, as code that knows no gates does.
WRITES = {
    "data.copy_": lambda read: read().data.copy_(full(3.0)),
    "data.zero_": lambda read: read().data.zero_(),
    "data.mul_": lambda read: read().data.mul_(2),
    "data.clamp_": lambda read: read().data.clamp_(-0.01, 0.01),
    "data renormalised": lambda read: read().data.copy_(torch.renorm(read().data, 2, 0, 0.1)),
    "data assigned": decay,
    "a slice of data": lambda read: read().data[1:3].fill_(3.0),
    "an element of data": lambda read: read().data.view(-1)[7:8].add_(1.0),
    "detached": lambda read: read().detach().zero_(),
    "numpy": through_numpy,
    "storage": lambda read: read().untyped_storage().fill_(0),
    "set_": no_grad(lambda read: read().set_(full(3.0))),
    "no_grad": no_grad(lambda read: read().zero_()),
    "no_grad, a view": no_grad(lambda read: read().transpose(0, 1)[0].zero_()),
    "no_grad, an item": no_grad(lambda read: read().__setitem__(0, 2.0)),
    "inference mode": inference(lambda read: read().zero_()),
    "inference mode, data": inference(lambda read: read().data.mul_(2)),
    "reads itself": no_grad(lambda read: read().copy_(read() * 2)),
    "reads itself in data": lambda read: read().data.copy_(read().data * 2),
    "reads itself in a norm": no_grad(lambda read: read().div_(read().norm())),
    "init": lambda read: nn.init.kaiming_uniform_(read()),
    "init, constant": lambda read: nn.init.zeros_(read()),
    "vector": lambda read: nn.utils.vector_to_parameters(torch.ones(108).double(), [read()]),
    "foreach": no_grad(lambda read: torch._foreach_mul_([read()], 2)),
    "foreach on data": lambda read: torch._foreach_add_([read().data], 2),
    "average": no_grad(lambda read: read().lerp_(full(0.0), 0.1)),
    "average of data": lambda read: read().data.mul_(0.9).add_(full(1.0), alpha=0.1),
    "swap": swap,
    "not a number": lambda read: read().data.fill_(float("nan")),
}


def write_and_run(write, model):
    """Some writes raise at once, at the second read of a chain; most at the forward."""
    write(lambda: model[0].weight)
    model(X)


@pytest.mark.filterwarnings("ignore:no gate has changed")
@pytest.mark.parametrize("name", WRITES)
def test_a_lost_write_raises_and_the_cure_does_what_it_does_to_a_plain_layer(name):
    write = WRITES[name]
    stock = plain()
    before = stock[0].weight.detach().clone()
    torch.manual_seed(1)
    write(lambda: stock[0].weight)
    assert not torch.equal(stock[0].weight, before)

    model = gated()
    kept = copy.deepcopy(model)
    with pytest.raises(InputError, match=LOST + r".*layer\.parametrizations\.weight\.original"):
        write_and_run(write, model)
    assert torch.equal(model[0](X), kept[0](X))  # said once, and nothing was changed

    original = model[0].parametrizations.weight
    torch.manual_seed(1)
    write(lambda: original.original)
    wanted = times(stock[0](X), model[0].asr.scale(), 1)
    assert torch.allclose(model[0](X), wanted, rtol=1e-12, atol=1e-12, equal_nan=True)
    fused = fuse_asr(model) if name != "not a number" else model
    assert torch.allclose(fused[0](X), wanted, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize(
    ("layer", "tensor", "write"),
    [
        ("1", "weight", lambda t: t.data.fill_(0.5)),
        ("1", "bias", lambda t: nn.init.ones_(t)),
        ("3", "bias", lambda t: nn.init.uniform_(t)),
        ("3", "weight", lambda t: t.data.t()[0].zero_()),
    ],
)
def test_every_tensor_with_a_gate_is_watched(layer, tensor, write):
    model = gated()
    write(getattr(model.get_submodule(layer), tensor))
    with pytest.raises(InputError, match=f"'{layer}': a '{tensor}' with a gate was written"):
        model(X)


def strict(model):
    return torch.export.export(model.eval(), (X,), strict=True)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace")
@pytest.mark.parametrize(
    "then",
    [
        lambda model: model(X),
        lambda model: model[0](X),
        lambda model: model[0].weight,
        lambda model: model.state_dict(),
        copy.deepcopy,
        AveragedModel,
        fuse_asr,
        lambda model: fuse_asr(model, inplace=True),
        lambda model: model[0].reparameterize(),
        lambda model: torch.export.export(model.eval(), (X,)),
        strict,
        lambda model: torch.jit.trace(model, X),
        # The compiler wraps it in an error of its own.
        lambda model: torch.compile(model, backend="eager", fullgraph=True)(X),
    ],
)
def test_whatever_comes_next_says_so(then):
    model = gated()
    model[0].weight.data.zero_()
    with pytest.raises(Exception, match=LOST):
        then(model)
    model(X)


class Bounded(nn.Module):
    """Bounds the norm of its layer's weights before each forward, as EEG networks do."""

    def __init__(self, inner, bound):
        super().__init__()
        self.inner, self.bound = inner, bound

    def forward(self, x):
        weight = self.inner[0].weight
        weight.data = torch.renorm(weight.data, 2, 0, self.bound)
        return self.inner(x)


def test_a_bound_that_a_parent_keeps_is_said_when_it_first_binds():
    with pytest.raises(InputError, match=LOST):
        Bounded(gated(), 0.1)(X)
    model = gated()
    assert torch.equal(Bounded(model, 1e9)(X), model(X))


def twice(model):
    """What a hook does in one forward is seen at the latest in the next."""
    return model(X), model(X)


@pytest.mark.parametrize("prepend", [False, True])
@pytest.mark.parametrize("register", ["register_forward_pre_hook", "register_forward_hook"])
@pytest.mark.parametrize("late", [False, True])
def test_a_bound_that_a_hook_keeps(register, prepend, late):
    def bind(module, *args):
        module.weight.data.renorm_(2, 0, 0.1)

    model = gated() if late else plain()
    getattr(model[0], register)(bind, prepend=prepend)
    if not late:
        insert_asr(model, targets="0")
    with pytest.raises(InputError, match=LOST):
        twice(model)


def test_a_hook_that_only_looks_is_free_to():
    model = gated()
    seen = []
    model[0].register_forward_pre_hook(lambda m, args: seen.append(m.weight.norm().item()))
    model[0].register_forward_hook(lambda m, args, out: seen.append(m.weight.norm().item()))
    for _ in range(2):
        model(X)
    assert len(seen) == 4


class OwnBound(nn.Conv2d):
    bound = 0.5

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, self.bound)
        return super().forward(x)


class OwnBoundInTraining(OwnBound):
    bound = 1e2  # looser than any start

    def forward(self, x):
        return super().forward(x) if self.training else nn.Conv2d.forward(self, x)


class NonNegative(nn.Linear):
    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(min=0)
        return super().forward(x)


@pytest.mark.parametrize(
    "layer", [OwnBound(3, 4, 3), OwnBoundInTraining(3, 4, 3), NonNegative(3, 4)]
)
def test_a_bound_that_the_layer_itself_keeps_is_refused_on_insertion(layer):
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    with pytest.raises(TargetError, match=f"{type(layer).__name__} .* writes to its parameters"):
        insert_asr(nn.Sequential(layer), targets="0")
    assert all(torch.equal(layer.state_dict()[key], value) for key, value in before.items())


def test_a_handle_that_was_kept_counts_as_long_as_it_lives():
    model = gated()
    handle = model[0].weight.data
    model(X)
    model(X)
    handle.mul_(2)
    with pytest.raises(InputError, match=LOST):
        model(X)
    model(X)


@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad])
def test_a_gradient_set_by_hand_is_lost(grad_mode):
    model = gated()
    with grad_mode():
        model[0].weight.grad = full(1.0)
    with pytest.raises(InputError, match=LOST):
        model(X)


@pytest.mark.filterwarnings("error")
def test_gradients_that_autograd_gives_are_no_write():
    model = gated()
    weight = model[0].weight
    weight.retain_grad()
    (weight.square().sum() + model(X).sum()).backward()
    assert torch.allclose(weight.grad, 2 * weight)
    with torch.no_grad():
        leaf = model[0].weight
    leaf.requires_grad_().square().sum().backward()
    model(X)


@pytest.mark.parametrize(
    "value",
    [nn.Parameter(full(1.0)), full(1.0), None],
    ids=["parameter", "tensor", "none"],
)
def test_an_assignment_raises_at_once(value):
    model = gated()
    keys = list(model.state_dict())
    with pytest.raises(InputError, match=r"'0': a 'weight' with a gate was assigned to"):
        model[0].weight = value
    assert list(model.state_dict()) == keys
    model(X)
    model[0].extra = nn.Parameter(torch.ones(1))  # of another name, as always
    assert "0.extra" in model.state_dict()


def test_torch_itself_refuses_the_rest():
    model = gated()
    for error, write in [
        (ValueError, lambda layer: torch.optim.SGD([layer.weight], lr=0.1)),
        (RuntimeError, lambda layer: layer.weight.requires_grad_(False)),
        (AttributeError, lambda layer: delattr(layer, "weight")),
        (KeyError, lambda layer: layer.register_buffer("weight", full(1.0))),
        (TypeError, lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
        (InputError, lambda layer: torch.func.functional_call(layer, {"weight": full(0.0)}, X)),
    ]:
        with pytest.raises(error):
            write(model[0])
    model(X)


def test_what_takes_effect_as_on_a_plain_model():
    model, stock = gated(), plain()
    vector = torch.nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(torch.full_like(vector, 0.5), model.parameters())
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.fill_(0.5)
    assert torch.allclose(model[0](X), times(stock[0](X), model[0].asr.scale(), 1), atol=1e-12)


def test_reading_is_free_of_consequences():
    model = gated()
    wanted = model(X)
    for _ in range(3):
        model[0].weight.square().sum().backward()
        with torch.no_grad():
            model[0].weight.norm()
            model[0].weight.data.clone().zero_()
        with torch.inference_mode():
            model[0].weight.norm()
            assert torch.equal(model(X), wanted)
        assert torch.equal(model(X), wanted)
    model.load_state_dict(model.state_dict())
    model.float().double()(X)


def test_values_that_are_not_numbers_are_equal_to_themselves():
    model = gated()
    with torch.no_grad():
        model[0].parametrizations.weight.original[0] = float("nan")
    model[0].weight.norm()
    assert model[0](X).isnan().any()
    model(X)


def test_what_nobody_has_any_more_is_forgotten():
    given = Given()
    tensor = torch.rand(3)
    seen = weakref.ref(tensor)
    view = tensor[1:]
    given.add(tensor)
    del tensor
    for _ in range(2):
        assert not given.written()
        assert seen() is not None  # its memory can still be written to
    del view
    assert not given.written()
    gc.collect()
    assert seen() is None


def test_reads_of_a_training_loop_do_not_pile_up():
    model = gated()
    counts = []
    for _ in range(4):
        (model(X).sum() + model[0].weight.square().sum()).backward()
        counts.append(len(model[0].parametrizations.weight[0]._given._kept))
    assert counts == [1] * 4


class Count(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def test_a_training_step_compares_and_copies_nothing():
    """Its operators are those of the layers and of v × each tensor; a forward writes nothing."""
    model, stock = gated(), plain()
    steps = []
    for net in (model, stock):
        with Count() as count:
            net(X).sum().backward()
        steps.append(count.seen)
    extra = set(steps[0]) - set(steps[1])
    assert "aten.mul.Tensor" in extra
    assert not {op for op in extra if "equal" in op or "clone" in op or "copy" in op}
    assert all(not scale._given._kept for scale in scales_of(model))


def scales_of(model):
    for layer in (model[0], model[1], model[3]):
        for chain in layer.parametrizations.values():
            yield chain[0]


def test_under_transforms_of_functions():
    model = gated()
    layer = model[0]
    values = {name: value.detach() for name, value in layer.named_parameters()}

    def read(values):
        return torch.func.functional_call(Reader(layer), {f"0.{k}": v for k, v in values.items()})

    gradient = torch.func.grad(lambda v: read(v).square().sum())(values)
    layer.weight.square().sum().backward()
    name = "parametrizations.weight.original"
    assert torch.allclose(gradient[name], layer.parametrizations.weight.original.grad)
    many = {name: torch.stack([value, 2 * value]) for name, value in values.items()}
    assert torch.func.vmap(read)(many).shape == (2, *SHAPE)
    model(X)


class Reader(nn.Module):
    """Reads a layer's weight outside of the layer's forward."""

    def __init__(self, layer):
        super().__init__()
        self.add_module("0", layer)

    def forward(self):
        return self.get_submodule("0").weight * 1
