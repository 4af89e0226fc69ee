"""torch.compile of gated backbones, in one graph, in both modes, and fusing behind it."""

import copy

import pytest
import torch
from representative import some_of
from small_backbones import KEPT, NAMES, STOCK_MODE, images, small

from asr_core import fuse_asr

# A few of their many gates show as much, and compile sooner.
FEWER = {
    "vgg19_bn": {"exclude": "features.??"},
    "repvgg_a0": {"exclude": ["blocks.2.*", "blocks.3.*", "blocks.4.*"]},
}


def gradients(model, output):
    model.zero_grad()
    output.square().sum().backward()
    return {key: p.grad.clone() for key, p in model.named_parameters()}


def assert_close(ours, theirs, tolerance=1e-4):
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max().clamp_min(1e-3)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def check_training(model, **options):
    """Compiled training gives eager training's outputs and gradients; fusing works behind it."""
    model.train()
    eager = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True, **options)
    ours, theirs = compiled(images()), eager(images())
    assert_close(ours, theirs)
    wanted, found = gradients(eager, theirs), gradients(model, ours)
    scale = max(gradient.abs().max() for gradient in wanted.values())
    assert any(key.endswith("psi") and gradient.any() for key, gradient in wanted.items())
    for key, gradient in wanted.items():
        assert (found[key] - gradient).abs().max() <= 1e-4 * scale, key
    return compiled


@pytest.mark.parametrize("name", some_of(NAMES, ["resnet83"]))
def test_training(name):
    compiled = check_training(small(name, "asr", **FEWER.get(name, {})), backend="eager")
    stock = small(name, "plain", seed=1)
    stock.load_state_dict(fuse_asr(compiled).state_dict(), strict=True)
    with torch.no_grad():
        assert_close(stock.eval()(images()), compiled._orig_mod.eval()(images()), 1e-5)


# Attention in the blocks, behind a shared gate, and in a traced graph.
@pytest.mark.parametrize("name", some_of(KEPT, ("repvgg_a0",)))
def test_inference(name):
    model = small(name, "both", **FEWER.get(name, {})).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    stock = small(name, STOCK_MODE["both"], seed=1).eval()
    stock.load_state_dict(fuse_asr(compiled).state_dict(), strict=True)
    with torch.inference_mode():
        wanted = model(images())
        assert_close(compiled(images()), wanted, 1e-5)
        assert_close(stock(images()), wanted, 1e-5)


@pytest.mark.slow
def test_training_through_the_compiled_backward():
    check_training(small("vit_s_16", "asr", delta=2), backend="aot_eager")


@pytest.mark.slow
def test_training_with_the_default_compiler():
    model = small("mobilenet_v1", "asr")
    model.blocks = model.blocks[:1]
    model.fc = torch.nn.Linear(64, 5)
    check_training(model)


def test_gates_move_under_the_compiled_step():
    """v is no constant of the graph: a step on ψ changes the next output."""
    model = small("mobilenet_v1", "asr").eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    before = compiled(images())
    optimizer = torch.optim.SGD([p for n, p in model.named_parameters() if ".asr." in n], lr=1.0)
    before.square().sum().backward()
    optimizer.step()
    after = compiled(images())
    assert not torch.allclose(after, before)
    assert_close(after, model(images()), 1e-5)
