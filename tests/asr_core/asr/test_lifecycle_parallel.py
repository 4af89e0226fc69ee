"""Gated backbones under DistributedDataParallel, in one process and in two."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from small_backbones import CLASSES, STOCK_MODE, images, small
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from asr_core import fuse_asr

STEPS = 2
# Attention of its own and as part of a traced graph, a gate shared by branches, a frozen gate.
CASES = [
    ("resnet83", "both", {}),
    ("repvgg_a0", "asr", {"delta": 2}),
    ("mobilenet_v1", "both", {}),
    ("vit_s_16", "asr", {}),
    ("resnet34", "asr", {"attention": "const"}),
]


def meet(folder, rank, world):
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )


def train(model, inner, x, labels):
    """SGD on float64; BatchNorm on running statistics, so that halves of a batch make the whole."""
    optimizer = torch.optim.SGD(inner.parameters(), lr=0.01, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()


def batch():
    return images(4, dtype=torch.float64), torch.arange(4) % CLASSES


def half_of_the_batch(rank, folder):
    """One of two processes: train on half of the batch, fuse, and leave both in the folder."""
    torch.set_num_threads(1)
    meet(folder, rank, 2)
    for i, (name, mode, options) in enumerate(CASES):
        model = small(name, mode, seed=rank, **options).double().eval()  # rank 0's goes to both
        parallel = DistributedDataParallel(model)
        x, labels = batch()
        part = slice(2 * rank, 2 * rank + 2)
        train(parallel, model, x[part], labels[part])
        fused = fuse_asr(parallel)
        torch.save((model.state_dict(), fused.state_dict()), f"{folder}/{i}-{rank}.pt")
        model.train()(x)  # a forward by itself, between two of the wrapper's
        parallel.train()(x[part]).sum().backward()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    mp.spawn(half_of_the_batch, (str(tmp_path),), nprocs=2)
    for i, (name, mode, options) in enumerate(CASES):
        model = small(name, mode, seed=0, **options).double().eval()
        start = {key: value.clone() for key, value in model.state_dict().items()}
        train(model, model, *batch())
        (first, fused), (second, other) = (
            torch.load(tmp_path / f"{i}-{rank}.pt", weights_only=True) for rank in (0, 1)
        )
        for key, value in model.state_dict().items():
            assert torch.equal(first[key], second[key]), key
            assert torch.allclose(first[key], value, rtol=1e-8, atol=1e-10), key
        assert any(
            key.endswith("psi") and not torch.equal(first[key], start[key]) for key in first
        ) == (options.get("attention") != "const")
        stock = small(name, STOCK_MODE[mode], seed=1).double().eval()
        stock.load_state_dict(fused, strict=True)
        assert all(torch.equal(fused[key], other[key]) for key in fused)
        x = batch()[0]
        with torch.no_grad():
            wanted = model(x)
            assert (stock(x) - wanted).abs().max() <= 1e-8 * wanted.abs().max()


@pytest.fixture
def one_process(tmp_path):
    meet(tmp_path, 0, 1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [pytest.param(*case, marks=[pytest.mark.slow] if i else []) for i, case in enumerate(CASES)],
)
def test_an_average_is_fused_each_epoch_under_ddp(one_process, name, mode, options):
    model = small(name, mode, **options).train()
    parallel = DistributedDataParallel(model)
    averaged = AveragedModel(parallel, use_buffers=True)
    stock = small(name, STOCK_MODE[mode], seed=1).eval()
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.01)
    x = images(4)
    for _ in range(2):
        optimizer.zero_grad()
        parallel.train()(x).square().mean().backward()
        optimizer.step()
        averaged.update_parameters(parallel)
        stock.load_state_dict(fuse_asr(averaged).state_dict(), strict=True)
        with torch.no_grad():
            wanted = averaged.eval()(x)
            assert (stock(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.slow
def test_compiled_ddp(one_process):
    model = small("resnet83", "asr").train()
    compiled = torch.compile(DistributedDataParallel(model), backend="eager")
    compiled(images(4)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    stock = small("resnet83", "plain", seed=1).eval()
    stock.load_state_dict(fuse_asr(compiled).state_dict(), strict=True)
    with torch.no_grad():
        wanted = model.eval()(images())
        assert (stock(images()) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
