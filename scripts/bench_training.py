"""What ASR costs in a training step and in inference, counted and timed beside the plain net.

Counted: operators, bytes from torch's allocator and, where valgrind is installed, instructions.
These repeat. Instructions are counted at small batches of a net that may be smaller, and a straight
line through them (a fixed cost and a cost per image) is extrapolated to the batch that is timed.

Timed: all variants in one process, in turns, in an order drawn anew each round. The clock is the
process's CPU time on one thread. "plain, again" is the plain net a second time: how far it is from
1 is the noise of the measurement. The two variables let glibc keep freed memory; otherwise a third
of the time goes to the kernel, which hands out the same pages again and again.

    export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1
    python scripts/bench_training.py [--rounds 9] [--batch 128] [--out docs/BENCHMARKS.md]

Writes a Markdown page to stdout and to --out, progress to stderr. What is measured is kept in
--state as it comes: the same command goes on where the last one was stopped, and measures anew
once asr_core, this script or torch has changed, or the file is deleted.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from step_counts import Step, allocated, count_here, instructions, line, operators
from torch import Tensor, nn

import asr_core
from asr_core import fuse_asr
from asr_core.attention import ATTENTIONS
from asr_core.files import write_json, write_text
from asr_core.fold.norms import fold_conv_bn
from asr_core.fold.pairs import conv_bn_pairs
from asr_core.models.backbones import BACKBONES
from asr_core.models.resnet_cifar import resnet_cifar
from asr_core.parametrization import gated_layers

CLASSES = 100
SIDE = 32
TRAINING, INFERENCE, GATES = "training step", "inference", "gates alone"
AGAIN = "plain, again"
BOUNDS = {
    (TRAINING, "ASR"): "≤ 1.02",
    (INFERENCE, "ASR, fused"): "1.00 ± 0.01",
    (INFERENCE, "ASR, folded"): "≤ 0.9",
}
COUNTS = ("operators", "bytes", "instructions")
STARTED = time.monotonic()


def say(text: str) -> None:
    """A line of progress."""
    print(f"[{time.monotonic() - STARTED:5.0f} s] {text}", file=sys.stderr, flush=True)


class OnTheOutput(nn.Module):
    """The published form: bn(x) × attention(ψ), a pass over the feature map."""

    def __init__(self, bn: nn.BatchNorm2d, attention: nn.Module, psi: Tensor) -> None:
        super().__init__()
        self.bn, self.attention, self.psi = bn, attention, nn.Parameter(psi)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x) * self.attention(self.psi)


def published(model: nn.Module) -> nn.Module:
    """``model`` in place, with the published form at the paper's positions."""
    for name, bn in list(model.named_modules()):
        if name.endswith(".bn3"):
            attention = ATTENTIONS["se"](bn.num_features)
            psi = torch.full((1, bn.num_features, 1, 1), 0.1)
            parent = model.get_submodule(name.removesuffix(".bn3"))
            parent.bn3 = OnTheOutput(bn, attention, psi)
    return model


def variants(depth: int) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """The models by name, those that are trained and those that only infer."""
    plain = resnet_cifar(depth, CLASSES)
    gated = copy.deepcopy(plain)
    BACKBONES["resnet164"].insert(gated, "se")
    for parameter in gated.parameters():  # away from the start, so that there is a gate to fuse
        parameter.data.add_(torch.randn_like(parameter), alpha=1e-3)
    fused = fuse_asr(gated).eval()
    folded = fold_conv_bn(fused, conv_bn_pairs(fused))
    trained = {
        "plain": plain,
        AGAIN: copy.deepcopy(plain),
        "SE, live": resnet_cifar(depth, CLASSES, attention="se"),
        "bn(x) × attention(ψ), as published": published(copy.deepcopy(plain)),
        "ASR": gated,
    }
    return trained, {"ASR, fused": fused, "ASR, folded": folded}


def training_step(model: nn.Module, images: Tensor, labels: Tensor) -> Step:
    """One step of the recipe's SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    loss = nn.CrossEntropyLoss()

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

    return step


def inference(model: nn.Module, images: Tensor) -> Step:
    @torch.inference_mode()
    def infer() -> Tensor:
        return model.eval()(images)

    return infer


def gates_alone(model: nn.Module) -> Step:
    """All that gates add to a step: v, its products, their gradients, the update of ψ and θ."""
    layers: list[Any] = [layer for _, layer in gated_layers(model)]
    own = [parameter for layer in layers for parameter in layer.asr.parameters()]
    optimizer = torch.optim.SGD(own, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    pixel = [torch.randn(1, layer.num_features, 1, 1) for layer in layers]

    def step() -> None:
        optimizer.zero_grad()
        for layer, x in zip(layers, pixel, strict=True):
            layer.eval()(x).sum().backward()
        optimizer.step()

    return step


def in_turns(
    steps: Mapping[str, Step],
    rounds: int,
    *,
    on_round: Callable[[dict[str, float]], object] = lambda seconds: None,
) -> dict[str, list[float]]:
    """CPU seconds of each step in each round, after a round that does not count.

    Args:
        steps: what takes turns, in an order drawn anew each round.
        rounds: how many count.
        on_round: called with the seconds of each round that counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        measured = {}
        for name in random.sample(list(steps), len(steps)):
            before = time.process_time()
            steps[name]()
            measured[name] = time.process_time() - before
        if turn:
            for name in steps:
                seconds[name].append(measured[name])
            on_round({name: measured[name] for name in steps})
    return seconds


def unit(what: str, name: str, batch: int) -> str:
    """What the count of one step is kept under."""
    return f"{what} / {name} / {batch}"


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(size, 3, SIDE, SIDE), torch.randint(CLASSES, (size,))


def counted_steps(depth: int, sizes: Sequence[int]) -> dict[str, Step]:
    """The steps that are counted at these batch sizes, by :func:`unit`."""
    torch.manual_seed(0)
    trained, only_infer = variants(depth)
    del trained[AGAIN]
    steps = {}
    for size in sizes:
        images, labels = batch_of(size)
        for name, model in trained.items():
            steps[unit(TRAINING, name, size)] = training_step(model, images, labels)
        for name, model in {**trained, **only_infer}.items():
            steps[unit(INFERENCE, name, size)] = inference(model, images)
    return steps


def count_under_valgrind(depth: str, sizes: str, *wanted: str) -> None:
    """What the process that callgrind runs does: count the ``wanted`` units, in their order."""
    torch.set_num_threads(1)
    steps = counted_steps(int(depth), [int(size) for size in sizes.split(",")])
    count_here({name: steps[name] for name in wanted})


def code_digest() -> str:
    """Of the code that decides what a step does."""
    here = Path(__file__).parent
    files = [*Path(asr_core.__file__).parent.rglob("*.py"), Path(__file__)]
    text = b"".join(path.read_bytes() for path in sorted([*files, here / "step_counts.py"]))
    return hashlib.sha256(text).hexdigest()[:16]


class Kept:
    """What was measured, in a file that is written again after each measurement.

    Args:
        path: the file; its content counts if it was measured ``of`` the same.
        of: what is measured.

    Attributes:
        counts: {operators, bytes or instructions: [first count of each unit, second]}.
        seconds: {what: [{variant: seconds}, one for each round]}.
        loads: the machine's load over a minute, at the end of each round.
    """

    def __init__(self, path: Path, of: Mapping[str, Any]) -> None:
        self.path, self.of = path, dict(of)
        self.counts: dict[str, list[dict[str, int]]] = {name: [{}, {}] for name in COUNTS}
        self.seconds: dict[str, list[dict[str, float]]] = {}
        self.loads: list[float] = []
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["of"] == self.of:
                self.counts, self.seconds = found["counts"], found["seconds"]
                self.loads = found["loads"]
                say(f"goes on with what {path} holds")
            else:
                say(f"measures anew: {path} is of other code or options")

    def save(self) -> None:
        names = ("of", "counts", "seconds", "loads")
        write_json(self.path, {name: getattr(self, name) for name in names})


def count(kept: Kept, depth: int, batch: int) -> None:
    """Operators and bytes of each step at the batch that is timed, twice."""
    steps = counted_steps(depth, [batch])
    for turn in range(2):
        found = kept.counts["operators"][turn], kept.counts["bytes"][turn]
        for done, (name, step) in enumerate(steps.items(), start=1):
            if name not in found[1]:
                step()
                found[0][name] = sum(operators(step).values())
                found[1][name] = allocated(step)
                kept.save()
                say(f"operators and bytes, {turn + 1} of 2: {done} of {len(steps)} ({name})")


def count_instructions(kept: Kept, depth: int, sizes: Sequence[int]) -> None:
    """Instructions of each step at ``sizes``, in two processes, the second in reverse order."""
    code = "import sys; from bench_training import count_under_valgrind as f; f(*sys.argv[1:])"
    names = list(counted_steps(depth, sizes))
    for turn, order in enumerate((names, names[::-1])):
        found = kept.counts["instructions"][turn]
        missing = [name for name in order if name not in found]
        if missing:
            arguments = [str(depth), ",".join(map(str, sizes)), *missing]
            say(f"instructions, {turn + 1} of 2: {len(missing)} steps; valgrind takes minutes")
            for name, number in instructions(code, arguments, say=say):
                found[name] = number
                kept.save()
                say(f"instructions, {turn + 1} of 2: {len(found)} of {len(names)} ({name})")


def take_turns(kept: Kept, what: str, steps: Mapping[str, Step], rounds: int) -> None:
    """The rounds that are missing of ``rounds``."""
    done = kept.seconds.setdefault(what, [])

    def keep(seconds: dict[str, float]) -> None:
        done.append(seconds)
        kept.loads.append(os.getloadavg()[0])
        kept.save()
        say(f"{what}: round {len(done)} of {rounds}, {sum(seconds.values()):.1f} s")

    if len(done) < rounds:
        say(f"{what}: round {len(done)} of {rounds}, warming up")
        in_turns(steps, rounds - len(done), on_round=keep)


def measure_time(kept: Kept, depth: int, batch: int, rounds: int) -> None:
    """Seconds of each step, and of the gates alone."""
    torch.manual_seed(0)
    images, labels = batch_of(batch)
    trained, only_infer = variants(depth)
    infer = {name: inference(m, images) for name, m in {**trained, **only_infer}.items()}
    last = images.to(memory_format=torch.channels_last)
    for name, model in (("plain", trained["plain"]), ("ASR, folded", only_infer["ASR, folded"])):
        copied = copy.deepcopy(model).to(memory_format=torch.channels_last)
        infer[f"{name}, channels last"] = inference(copied, last)
    train = {name: training_step(m, images, labels) for name, m in trained.items()}
    take_turns(kept, TRAINING, train, rounds)
    take_turns(kept, INFERENCE, infer, 3 * rounds)
    take_turns(kept, GATES, {GATES: gates_alone(trained["ASR"])}, 3 * rounds)


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- ", "|---")


def timed_table(what: str, rounds: Sequence[Mapping[str, float]]) -> str:
    """A ratio is the median of the rounds' ratios to plain, and of the minima."""
    body = []
    for name in rounds[0]:
        values = [seconds[name] for seconds in rounds]
        ratios = [seconds[name] / seconds["plain"] for seconds in rounds]
        fastest = min(values) / min(seconds["plain"] for seconds in rounds)
        cells = [f"{statistics.median(values):.3f}", f"{min(values):.3f}"]
        cells += [f"{statistics.median(ratios):.3f}", f"{fastest:.3f}"]
        body.append([name, *cells, BOUNDS.get((what, name), "")])
    return rows([what, "median s", "fastest s", "ratio, median", "ratio, fastest", "bound"], body)


def by_variant(counts: Mapping[str, int], what: str, batch: int) -> dict[str, int]:
    """Of ``what`` at that batch size."""
    found = {}
    for key, number in counts.items():
        of, name, size = key.split(" / ")
        if (of, int(size)) == (what, batch):
            found[name] = number
    return found


def counted_table(what: str, kept: Kept, batch: int) -> str:
    """Operators, bytes, and their ratios to plain."""
    counts = {n: by_variant(kept.counts[n][0], what, batch) for n in ("operators", "bytes")}
    body = []
    for name in counts["bytes"]:
        of, size = counts["operators"], counts["bytes"]
        cells = [f"{of[name]}", f"{of[name] / of['plain']:.3f}"]
        cells += [f"{size[name] / 1e6:.1f}", f"{size[name] / size['plain']:.4f}"]
        body.append([name, *cells])
    return rows([what, "operators", "ratio", "MB", "ratio"], body)


def at(fixed_and_slope: tuple[float, float], size: float) -> float:
    """The line's value at a batch size."""
    fixed, slope = fixed_and_slope
    return fixed + slope * size


def lines(kept: Kept, what: str, sizes: Sequence[int]) -> dict[str, tuple[float, float]]:
    """(fixed, per image) instructions of each variant."""
    counts = {size: by_variant(kept.counts["instructions"][0], what, size) for size in sizes}
    names = counts[sizes[0]]
    return {name: line({size: counts[size][name] for size in sizes}) for name in names}


def instruction_table(what: str, kept: Kept, sizes: Sequence[int], batch: int) -> str:
    """Millions of instructions at ``sizes``, the line through them, and what it says of others."""
    fits = lines(kept, what, sizes)
    body = []
    for name, fit in fits.items():
        cells = []
        for size in sizes:
            counts = by_variant(kept.counts["instructions"][0], what, size)
            cells += [f"{counts[name] / 1e6:.1f}", f"{counts[name] / counts['plain']:.4f}"]
        cells += [f"{fit[0] / 1e6:.1f}", f"{fit[1] / 1e6:.2f}"]
        cells += [f"{at(fit, batch) / at(fits['plain'], batch):.4f}"]
        body.append([name, *cells, BOUNDS.get((what, name), "")])
    head = [cell for size in sizes for cell in (f"batch {size}", "ratio")]
    return rows(
        [what, *head, "fixed", "per image", f"ratio at {batch}, by the line", "bound"], body
    )


def repeats(kept: Kept, name: str) -> float:
    """The largest relative difference between the two counts of a unit's ratio to plain."""
    first, second = kept.counts[name]
    worst = 0.0
    for key in first:
        what, _, size = key.split(" / ")
        plain = unit(what, "plain", int(size))
        ratios = [counts[key] / counts[plain] for counts in (first, second)]
        worst = max(worst, abs(ratios[1] / ratios[0] - 1))
    return worst


def misfit(kept: Kept, what: str, sizes: Sequence[int]) -> float:
    """The largest relative distance of a count from its line."""
    fits, worst = lines(kept, what, sizes), 0.0
    for size in sizes:
        for name, number in by_variant(kept.counts["instructions"][0], what, size).items():
            worst = max(worst, abs(at(fits[name], size) / number - 1))
    return worst


def counted_page(kept: Kept, options: argparse.Namespace) -> list[str]:
    page = [
        "## Counted",
        f"ResNet{options.depth}, batch {options.batch}: operators dispatched, and bytes taken from "
        "torch's allocator, freed again or not. Counted twice: the ratios differ by at most "
        f"{repeats(kept, 'operators'):.3%} and {repeats(kept, 'bytes'):.3%}.",
        *(counted_table(what, kept, options.batch) for what in (TRAINING, INFERENCE)),
    ]
    if not kept.counts["instructions"][0]:
        return [*page, "Instructions were not counted."]
    sizes = options.count_batches
    checked = ""
    if len(sizes) > 2:
        off = max(misfit(kept, what, sizes) for what in (TRAINING, INFERENCE))
        checked = f" No count is further than {off:.2%} from its line."
    fits = lines(kept, TRAINING, sizes)
    halved = [at(fits[name], options.batch / 2) for name in ("ASR", "plain")]
    return [
        *page,
        f"ResNet{options.count_depth}: millions of instructions, counted by callgrind at batch "
        f"{' and '.join(map(str, sizes))} in two processes, the second in reverse order; the "
        f'ratios differ by at most {repeats(kept, "instructions"):.3%}. "Fixed" and "per '
        'image" are those of the straight line through the counts, which is extrapolated to batch '
        f"{options.batch}: a model, not a count.{checked} Callgrind has no AVX-512; with half "
        f"the instructions an image, ASR's ratio would be {halved[0] / halved[1]:.4f}.",
        *(instruction_table(what, kept, sizes, options.batch) for what in (TRAINING, INFERENCE)),
    ]


def timed_page(kept: Kept, options: argparse.Namespace) -> list[str]:
    alone = statistics.median(seconds[GATES] for seconds in kept.seconds[GATES])
    plain = statistics.median(seconds["plain"] for seconds in kept.seconds[TRAINING])
    return [
        "## Timed",
        f"ResNet{options.depth}, batch {options.batch}; CPU seconds of one step, {options.rounds} "
        f"rounds in turns ({3 * options.rounds} of inference). A median ratio is over the rounds, "
        f'each against plain in the same round; "{AGAIN}" is the noise of the measurement. The '
        f"load of the machine was {statistics.median(kept.loads):.1f} in the median round, of "
        "which 1.0 is this measurement.",
        timed_table(TRAINING, kept.seconds[TRAINING]),
        "The gates alone, with their gradients and update, one pixel at a time: "
        f"{1000 * alone:.1f} ms, {alone / plain:.2%} of the plain step.",
        timed_table(INFERENCE, kept.seconds[INFERENCE]),
    ]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="timed rounds")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--depth", type=int, default=164)
    parser.add_argument(
        "--count-batches",
        type=int,
        nargs="*",
        default=[1, 2, 4],
        help="batch sizes at which instructions are counted, two or more; none: not counted",
    )
    parser.add_argument("--count-depth", type=int, default=83, help="the net that they are of")
    parser.add_argument("--state", type=Path, default=Path("runs/bench_training.json"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.batch < 1 or any(n < 1 for n in options.count_batches):
        parser.error("rounds and batch sizes are 1 or more")
    if len(set(options.count_batches)) == 1:
        parser.error("a line needs two batch sizes, --count-batches 2 4")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(1)
    version = torch.__version__.split("+")[0]
    of = {name: getattr(options, name) for name in ("batch", "depth", "count_depth")}
    kept = Kept(options.state, {**of, "torch": version, "code": code_digest()})
    count(kept, options.depth, options.batch)
    sizes = sorted(set(options.count_batches))
    if sizes and not (shutil.which("valgrind") and shutil.which("vgdb")):
        say("valgrind is not installed: no instructions are counted")
    elif sizes:
        count_instructions(kept, options.count_depth, sizes)
    measure_time(kept, options.depth, options.batch, options.rounds)
    page = [
        "# What ASR costs",
        f"{SIDE}×{SIDE}, SE gates after each block's last BatchNorm, float32, one thread of "
        f"{os.cpu_count()} cores {platform.machine()}, torch {version}. Made by "
        "`scripts/bench_training.py`.",
        *counted_page(kept, options),
        *timed_page(kept, options),
    ]
    text = "\n\n".join(page)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


def command(arguments: list[str] | None = None) -> int:
    """:func:`main`; what Ctrl-C or SIGTERM stops says how to go on, and 130 is returned."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(arguments)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(command())
