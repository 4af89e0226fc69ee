"""ASR through all of torchvision's classification models, one after the other, as a table.

    python scripts/check_torchvision.py [NAME ...]

Each gets random weights and statistics, gates by targets="auto" with random v, and is fused. The
columns: positions and refusals; the greatest difference of outputs, relative to the greatest
output in float32, of the gated and of the fused model from a plain copy whose layers' outputs are
multiplied by v; whether the fused state dict loads strictly into a stock model. Ends with 1 where
a difference is over 1e-5 or a model fails. The largest takes 8 GB.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import ShiftedWindowAttention

from asr_core import Report, fuse_asr, insert_asr

TOLERANCE = 1e-5
SIDES = {"inception_v3": 96, "maxvit_t": 224}
# These read the weight of the layer that is gated without calling it.
READERS = (nn.MultiheadAttention, ShiftedWindowAttention)


def build(name: str) -> nn.Module:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **options)


def randomise(model: nn.Module, random: torch.Generator) -> None:
    """Statistics and parameters that start as zeros, ones or nearly nothing hide mistakes."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=random)
            module.running_var.uniform_(0.5, 2, generator=random)
    for parameter in model.parameters():
        first = parameter.flatten()[0].item()
        if (parameter == first).all():
            low, high = (0.5, 1.5) if first else (-0.1, 0.1)
            parameter.uniform_(low, high, generator=random)


def multiply_outputs(model: nn.Module, report: Report) -> None:
    for p in report.positions:
        parent = model.get_submodule(p.name.rpartition(".")[0])
        reader = parent if isinstance(parent, READERS) else model.get_submodule(p.name)
        shape = [1, 1, 1, 1] if p.axis == 1 else [1]
        shape[p.axis] = -1
        v = p.gate.scale().reshape(shape)

        def times(module: nn.Module, args: object, output: object, v: Tensor = v) -> object:
            if isinstance(output, tuple):
                return (output[0] * v, *output[1:])
            return output * v

        reader.register_forward_hook(times)


def check(name: str) -> tuple[bool, str]:
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = build(name).eval()
    randomise(model, random)
    plain = copy.deepcopy(model)
    report = insert_asr(model)
    for p in report.positions:
        p.gate.psi.data.normal_(0, 2, generator=random)
    side = SIDES.get(name, 224 if name.startswith("vit") else 64)
    x = torch.rand(2, 3, side, side, generator=random)
    stock, gated = plain(x), model(x)
    multiply_outputs(plain, report)
    wanted = plain(x)
    fuse_asr(model, inplace=True)
    scale = wanted.abs().max()
    errors = [((out - wanted).abs().max() / scale).item() for out in (gated, model(x), stock)]
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        fresh = build(name)
    fresh.load_state_dict(model.state_dict(), strict=True, assign=True)
    ok = errors[0] <= TOLERANCE and errors[1] <= TOLERANCE < errors[2]
    kinds = ", ".join(dict.fromkeys(p.kind for p in report.positions))
    row = f"{len(report.positions):>9}  {len(report.refusals):>8}  {kinds:<20}  "
    return ok, row + "  ".join(f"{error:>8.1e}" for error in errors) + "  loads"


def main() -> int:
    known = torchvision.models.list_models(module=torchvision.models)
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all without any")
    names = parser.parse_args().names or known
    print(f"{'model':<20}  positions  refusals  {'kinds':<20}     gated     fused    ungated")
    failed = []
    for name in names:
        start = time.monotonic()
        try:
            with torch.no_grad():
                ok, row = check(name)
        except (ValueError, RuntimeError) as error:
            ok, row = False, f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - start
        print(f"{name:<20}  {row}  {seconds:.0f} s{'' if ok else '  FAILED'}", flush=True)
        failed += [] if ok else [name]
    print(f"{len(names) - len(failed)} of {len(names)} within {TOLERANCE:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
