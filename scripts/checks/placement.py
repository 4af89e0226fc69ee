"""ASR through the models of torchvision and timm, one after the other: docs/PLACEMENT.md.

    python scripts/checks/placement.py [NAME ...]

Each gets random weights and statistics, gates by targets="auto" with random v, and is fused. The
columns: positions and refusals; the greatest difference of outputs, relative to the greatest
output in float32, of the gated and of the fused model from a plain copy whose layers' outputs are
multiplied by v; the same for the plain copy itself, to show that the gates do something. Then the
fused state dict is loaded strictly into a stock model. Names are torchvision's, or timm:NAME.
Without any all are checked, one line each is kept in runs/placement.jsonl, those there already are
not run again, and the page is written. Ends with 1 where a difference is over the tolerance or a
model fails. The largest takes 8 GB.
"""

from __future__ import annotations

import argparse
import collections
import copy
import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import ShiftedWindowAttention

from asr_core import Report, fuse_asr, insert_asr
from asr_core.asr.shared import SharedGate
from asr_core.errors import InputError
from asr_core.graph.activations import is_activation
from asr_core.saving.files import write_text
from robust.report.table import Table

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "runs" / "placement.jsonl"
PAGE = ROOT / "docs" / "PLACEMENT.md"
TOLERANCE = 1e-5
HEAD = ("model", "positions", "kinds", "gated", "fused", "ungated", "refused")
SIDES = {"inception_v3": 96, "maxvit_t": 224}
# These read the weight of the layer that is gated without calling it.
READERS = (nn.MultiheadAttention, ShiftedWindowAttention)
# The smallest of each of timm's modules, without those over 100 million parameters, and a few that
# are often used.
TIMM = """
beit_base_patch16_224 cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 convnext_atto
cpubone_nano crossvit_tiny_240 cs3darknet_focus_s csatv2 cspnext_tiny davit_tiny
deit_tiny_patch16_224 densenet121 dla46x_c dpn48b ecaresnet50d_pruned edgenext_xx_small
efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientvim_m1 efficientvit_b0
efficientvit_m0 ese_vovnet19b_slim_dw fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny
ghostnet_050 gmlp_ti16_224 halonet_h1 hardcorenas_b hgnetv2_b0 hiera_tiny_224 hrnet_w18_small
iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small
legacy_seresnet18 legacy_xception levit_128s lowformer_b0 mobilenetv3_small_050
mobilenetv4_conv_small mobilenetv5_base mobileone_s0 mobilevit_xxs mvitv2_tiny
naflexvit_base_patch16_parfac_gap nasnetalarge nest_tiny nextvit_small nfnet_l0 pit_ti_224
pnasnet5large poolformerv2_s12 pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002 repghostnet_050
repvgg_a0 repvit_m1 res2next50 resnest14d resnet18 resnetv2_18 resnetv2_50 rexnet_100
sam2_hiera_tiny samvit_base_patch16_224 selecsls42 sequencer2d_s seresnet18 shvit_s1
skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_cr_tiny_224
swinv2_tiny_window8_256 test_byobnet test_coatnet test_convnext test_efficientnet
test_mambaout test_nfnet test_resnet test_vit test_vit_relpos tiny_vit_5m_224
tnt_s_legacy_patch16_224 tresnet_m twins_svt_small visformer_tiny vit_tiny_patch16_224
vit_tiny_patch16_dinov3_qkvb vit_tiny_r_s16_p8_224 vitamin_small_224 volo_d1_224 xception41p
xcit_nano_12_p8_224
""".split()  # noqa: SIM905


def build(name: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on how timm's files are called
        if name.startswith("timm:"):
            return timm.create_model(name.removeprefix("timm:"))
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(name, weights=None, **options)


def shape(name: str, model: Any) -> tuple[int, ...]:
    if name.startswith("timm:"):
        return tuple(model.pretrained_cfg["input_size"])
    side = SIDES.get(name, 224 if name.startswith("vit") else 64)
    return 3, side, side


def randomise(model: nn.Module, random: torch.Generator) -> None:
    """Statistics and parameters that start as zeros, ones or nearly nothing hide mistakes."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
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
        layer = parent if isinstance(parent, READERS) else model.get_submodule(p.name)
        own = next((child for child in layer.children() if is_activation(child)), None)
        v = p.gate.scale()

        def times(value: Any, v: Tensor = v, axis: int = p.axis) -> Any:
            if isinstance(value, tuple):
                return (times(value[0], v, axis), *value[1:])
            sizes = [1] * value.ndim
            sizes[axis] = -1
            return value * v.reshape(sizes)

        if p.side == "input":
            layer.register_forward_pre_hook(lambda module, args, f=times: (f(args[0]), *args[1:]))
        elif own is None:
            layer.register_forward_hook(lambda module, args, output, f=times: f(output))
        else:  # the gate stands before it
            own.register_forward_pre_hook(lambda module, args, f=times: f(args))


def check(name: str) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = build(name).eval()
    randomise(model, random)
    x = torch.rand(2, *shape(name, model), generator=random)
    plain = copy.deepcopy(model)
    report = insert_asr(model)
    for p in report.positions:
        if not isinstance(p.gate, SharedGate):
            p.gate.psi.data.normal_(0, 2, generator=random)
    stock, gated = outputs(plain, x), outputs(model, x)
    multiply_outputs(plain, report)
    wanted = outputs(plain, x)
    fuse_asr(model, inplace=True)
    scale = wanted.abs().max()
    fused = outputs(model, x)
    errors = [((out - wanted).abs().max() / scale).item() for out in (gated, fused, stock)]
    state = model.state_dict()
    del plain, model
    # Constructors that compute with tensors do so on the CPU.
    with torch.device("meta" if not name.startswith(("regnet", "timm:")) else "cpu"):
        fresh = build(name)
    fresh.load_state_dict(state, strict=True, assign=True)
    reasons = collections.Counter(
        re.sub(r"(?<=meet in )'[^']*'", "…", r.reason) for r in report.refusals
    )
    return {
        "positions": len(report.positions),
        "gates": sum(not isinstance(p.gate, SharedGate) for p in report.positions),
        "kinds": list(dict.fromkeys(p.kind for p in report.positions)),
        "refusals": dict(reasons),
        "errors": errors,
        "ok": errors[0] <= TOLERANCE and errors[1] <= TOLERANCE < errors[2],
    }


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """All that the model gives, side by side: distilled models have two heads."""
    found = model(x)
    return torch.cat(found, 1) if isinstance(found, tuple) else found


def attempt(name: str) -> dict[str, Any]:
    start = time.monotonic()
    try:
        with torch.no_grad():
            row = check(name)
    except InputError as error:
        row = {"ok": False, "failed": str(error)}
    except Exception as error:  # whatever a model raises: the next is checked all the same
        row = {"ok": False, "failed": f"{type(error).__name__}: {error}"}
    return {"name": name, **row, "seconds": round(time.monotonic() - start, 1)}


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = row["name"].removeprefix("timm:")
    if "failed" in row:
        return name, "—", "", "", "", "", row["failed"]
    gates = row["positions"] if row["gates"] == row["positions"] else f"{row['gates']} shared"
    count = f"{row['positions']}" if gates == row["positions"] else f"{row['positions']} ({gates})"
    refused = "; ".join(f"{count} × {reason}" for reason, count in row["refusals"].items())
    return name, count, ", ".join(row["kinds"]), *(f"{e:.1e}" for e in row["errors"]), refused


def page(rows: dict[str, dict[str, Any]]) -> str:
    parts = [
        "# Automatic placement on other people's models\n",
        "Made by `python scripts/checks/placement.py`, which says how. "
        f"torch {torch.__version__.split('+')[0]}, torchvision "
        f"{torchvision.__version__.split('+')[0]}, timm {timm.__version__}.\n",
        "Gated and fused: the greatest difference in output, relative to the greatest output, from "
        "a plain copy whose layers' outputs are multiplied by v (float32). Ungated: the same for "
        "the plain copy itself. Every fused state dict was loaded strictly into a stock model. "
        '"3 (1 shared)": three layers with one gate. Refused: branches without a gate, and why.\n',
    ]
    for title, timms in (("torchvision's classification models", False), ("timm", True)):
        mine = [row for name, row in rows.items() if name.startswith("timm:") is timms]
        fine = [row for row in mine if row["ok"]]
        failed = sum("failed" in row for row in mine)
        worst = max((max(row["errors"][:2]) for row in mine if "errors" in row), default=0.0)
        parts += [
            f"## {title}\n",
            f"{len(fine)} of {len(mine)} within {TOLERANCE:g} (the worst: {worst:.1e}); {failed} "
            f"without a place; {sum(bool(row.get('refusals')) for row in mine)} with refusals.\n",
            Table(HEAD, map(cells, mine), words=len(HEAD)).markdown(),
        ]
    return "\n".join(parts)


def main() -> int:
    known = torchvision.models.list_models(module=torchvision.models)
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all without any")
    names = parser.parse_args().names
    everything = [*known, *(f"timm:{name}" for name in TIMM)]
    rows: dict[str, dict[str, Any]] = {}
    if not names and ROWS.exists():
        found = map(json.loads, ROWS.read_text().splitlines())
        rows = {row["name"]: row for row in found}
    for name in names or everything:
        if name not in rows:
            rows[name] = attempt(name)
            if not names:
                ROWS.parent.mkdir(exist_ok=True)
                with ROWS.open("a") as file:
                    file.write(f"{json.dumps(rows[name])}\n")
        print(" | ".join(cells(rows[name])), f"{rows[name]['seconds']:.0f} s", flush=True)
    if not names:
        write_text(PAGE, page({name: rows[name] for name in everything}))
    return 0 if all(row["ok"] for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
