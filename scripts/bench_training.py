"""What ASR costs in a training step and in inference, counted and timed beside the plain net.

Counted: operators, bytes from torch's allocator and, where valgrind is installed, instructions.
These repeat. Instructions are counted at small batches of small nets, and what a step, a block, an
image, and a block for each image cost is fitted to them, for the net and batch that are timed.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from step_counts import Step, allocated, count_here, instructions, operators, plane
from torch import Tensor, nn

import asr_core
from asr_core import fuse_asr
from asr_core.asr.parametrization import gated_layers
from asr_core.attention import ATTENTIONS
from asr_core.fold.norms import fold_conv_bn
from asr_core.fold.pairs import conv_bn_pairs
from asr_core.models.backbones import BACKBONES
from asr_core.models.networks.resnet_cifar import resnet_cifar
from asr_core.saving.files import write_json, write_text

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
    order = random.Random()  # not of the seeds that draw the models
    for turn in range(rounds + 1):
        measured = {}
        for name in order.sample(list(steps), len(steps)):
            before = time.process_time()
            steps[name]()
            measured[name] = time.process_time() - before
        if turn:
            for name in steps:
                seconds[name].append(measured[name])
            on_round({name: measured[name] for name in steps})
    return seconds


Point = tuple[int, int]
"""Depth of the net and batch size."""


def unit(what: str, name: str, at: Point) -> str:
    """What the count of one step is kept under."""
    return " / ".join((what, name, *map(str, at)))


def batch_of(size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(size, 3, SIDE, SIDE), torch.randint(CLASSES, (size,))


def counted_steps(points: Iterable[Point]) -> dict[str, Step]:
    """The steps that are counted, by :func:`unit`."""
    torch.manual_seed(0)
    models = {depth: variants(depth) for depth, _ in points}
    steps = {}
    for depth, size in points:
        images, labels = batch_of(size)
        trained, only_infer = models[depth]
        for name, model in {**trained, **only_infer}.items():
            if name in trained and name != AGAIN:
                steps[unit(TRAINING, name, (depth, size))] = training_step(model, images, labels)
            if name != AGAIN:
                steps[unit(INFERENCE, name, (depth, size))] = inference(model, images)
    return steps


def count_under_valgrind(points: str, *wanted: str) -> None:
    """What the process that callgrind runs does: count the ``wanted`` units, in their order."""
    torch.set_num_threads(1)
    steps = counted_steps([point(text) for text in points.split(",")])
    count_here({name: steps[name] for name in wanted})


def point(text: str) -> Point:
    """The point of "11x2": ResNet11 at batch 2."""
    depth, batch = map(int, text.split("x"))
    if depth < 11 or depth % 9 != 2 or batch < 1:
        raise ValueError(f"{text!r} is not a depth of 9n + 2 and a batch size, as 11x2")
    return depth, batch


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


def count(kept: Kept, at: Point) -> None:
    """Operators and bytes of each step, twice."""
    steps = counted_steps([at])
    for turn in range(2):
        found = kept.counts["operators"][turn], kept.counts["bytes"][turn]
        for done, (name, step) in enumerate(steps.items(), start=1):
            if name not in found[1]:
                step()
                found[0][name] = sum(operators(step).values())
                found[1][name] = allocated(step)
                kept.save()
                say(f"operators and bytes, {turn + 1} of 2: {done} of {len(steps)} ({name})")


def count_instructions(kept: Kept, points: Sequence[Point]) -> None:
    """Instructions of each step at ``points``, in two processes, the second in reverse order."""
    code = "import sys; from bench_training import count_under_valgrind as f; f(*sys.argv[1:])"
    names = list(counted_steps(points))
    for turn, order in enumerate((names, names[::-1])):
        found = kept.counts["instructions"][turn]
        missing = [name for name in order if name not in found]
        if missing:
            nets = ",".join(f"{depth}x{batch}" for depth, batch in points)
            say(f"instructions, {turn + 1} of 2: {len(missing)} steps; valgrind takes minutes")
            for name, number in instructions(code, [nets, *missing], say=say):
                found[name] = number
                kept.save()
                done = len(missing) - sum(name not in found for name in missing)
                say(f"instructions, {turn + 1} of 2: {done} of {len(missing)} ({name})")


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


def by_variant(counts: Mapping[str, int], what: str, at: Point) -> dict[str, int]:
    """The counts of ``what`` there."""
    found = {}
    for key, number in counts.items():
        of, name, *there = key.split(" / ")
        if of == what and there == [str(number) for number in at]:
            found[name] = number
    return found


def counted_table(what: str, kept: Kept, at: Point) -> str:
    """Operators, bytes, and their ratios to plain."""
    of, size = (by_variant(kept.counts[name][0], what, at) for name in ("operators", "bytes"))
    body = []
    for name in size:
        cells = [f"{of[name]}", f"{of[name] / of['plain']:.3f}"]
        cells += [f"{size[name] / 1e6:.1f}", f"{size[name] / size['plain']:.4f}"]
        body.append([name, *cells])
    return rows([what, "operators", "ratio", "MB", "ratio"], body)


def fits(kept: Kept, what: str, points: Sequence[Point]) -> dict[str, Callable[..., float]]:
    """(blocks in each stage, batch) -> instructions, of each variant."""
    counts = {at: by_variant(kept.counts["instructions"][0], what, at) for at in points}
    return {
        name: plane({(blocks(depth), size): counts[depth, size][name] for depth, size in points})
        for name in counts[points[0]]
    }


def blocks(depth: int) -> int:
    return (depth - 2) // 9


def instruction_table(what: str, kept: Kept, points: Sequence[Point], to: Point) -> str:
    """Millions of instructions at ``points`` (ratio to plain), and what the fit says of ``to``."""
    n, batch = blocks(to[0]), to[1]
    fitted = fits(kept, what, points)
    counts = [by_variant(kept.counts["instructions"][0], what, at) for at in points]
    body = []
    for name, fit in fitted.items():
        cells = [f"{of[name] / 1e6:.1f} ({of[name] / of['plain']:.4f})" for of in counts]
        cells += [f"{fit(n, 0) / 1e6:.0f}", f"{(fit(n, 1) - fit(n, 0)) / 1e6:.1f}"]
        ratio = fit(n, batch) / fitted["plain"](n, batch)
        body.append([name, *cells, f"{ratio:.4f}", BOUNDS.get((what, name), "")])
    head = [f"ResNet{depth}, batch {size}" for depth, size in points]
    model = [f"ResNet{to[0]}: fixed", "per image", f"ratio at batch {batch}"]
    return rows([what, *head, *model, "bound"], body)


def repeats(kept: Kept, name: str) -> float:
    """The largest relative difference between the two counts of a unit's ratio to plain."""
    worst = 0.0
    for key in kept.counts[name][0]:
        what, _, *at = key.split(" / ")
        plain = " / ".join((what, "plain", *at))
        first, second = (counts[key] / counts[plain] for counts in kept.counts[name])
        worst = max(worst, abs(second / first - 1))
    return worst


def misfit(kept: Kept, what: str, points: Sequence[Point]) -> float:
    """The largest relative distance of a count from what the fit says there."""
    fitted, worst = fits(kept, what, points), 0.0
    for at in points:
        for name, number in by_variant(kept.counts["instructions"][0], what, at).items():
            worst = max(worst, abs(fitted[name](blocks(at[0]), at[1]) / number - 1))
    return worst


def counted_page(kept: Kept, to: Point, points: Sequence[Point]) -> list[str]:
    depth, batch = to
    page = [
        "## Counted",
        f"ResNet{depth}, batch {batch}: operators dispatched, and bytes taken from torch's "
        "allocator, freed again or not. Counted twice: the ratios differ by at most "
        f"{repeats(kept, 'operators'):.3%} and {repeats(kept, 'bytes'):.3%}.",
        *(counted_table(what, kept, to) for what in (TRAINING, INFERENCE)),
    ]
    if not kept.counts["instructions"][0]:
        return [*page, "Instructions were not counted."]
    fitted, n = fits(kept, TRAINING, points), blocks(depth)
    asr, plain = fitted["ASR"], fitted["plain"]
    # What vectors of twice the width could save at most: half of all that grows with the batch.
    halved = asr(n, batch / 2) / plain(n, batch / 2)
    fixed = 1 + (asr(n, 0) - plain(n, 0)) / plain(n, batch)
    off = max(misfit(kept, what, points) for what in (TRAINING, INFERENCE))
    return [
        *page,
        "Millions of instructions (ratio to plain), counted by callgrind in two processes, the "
        "second in reverse order; the ratios differ by at most "
        f"{repeats(kept, 'instructions'):.3%}. On a small batch the fixed cost of gates weighs "
        "more than in training, so what a step, a block, an image, and a block for each image cost "
        f"is fitted to the {len(points)} counts of a row, none of which is further than {off:.2%} "
        f"from the fit. The columns of ResNet{depth} are extrapolated from that: a model, not a "
        "count. A small error of a count is a large one there: gates do no work for each image (a "
        f"test counts it), and the fixed cost alone makes ASR's ratio {fixed:.4f}. Callgrind runs "
        "code for AVX2; with half the instructions for an image, which wider vectors may save, "
        f"the ratio by the fit would be {halved:.4f}.",
        *(instruction_table(what, kept, points, to) for what in (TRAINING, INFERENCE)),
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
        "--count-at",
        type=point,
        nargs="*",
        default=[(11, 2), (11, 4), (11, 8), (20, 2), (20, 8)],
        metavar="DEPTHxBATCH",
        help="where instructions are counted: two depths and two batch sizes, or more; none: not",
    )
    parser.add_argument("--state", type=Path, default=Path("runs/bench_training.json"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.batch < 1:
        parser.error("rounds and batch are 1 or more")
    options.count_at = sorted(set(options.count_at))
    several = (len({at[i] for at in options.count_at}) for i in range(2))
    if options.count_at and (len(options.count_at) < 4 or min(several) < 2):
        parser.error("a fit needs --count-at four nets, of two depths and two batch sizes or more")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    torch.set_num_threads(1)
    version = torch.__version__.split("+")[0]
    to, points = (options.depth, options.batch), options.count_at
    kept = Kept(options.state, {"of": list(to), "torch": version, "code": code_digest()})
    count(kept, to)
    if points and not (shutil.which("valgrind") and shutil.which("vgdb")):
        say("valgrind is not installed: no instructions are counted")
    elif points:
        count_instructions(kept, points)
    measure_time(kept, options.depth, options.batch, options.rounds)
    page = [
        "# What ASR costs",
        f"{SIDE}×{SIDE}, SE gates after each block's last BatchNorm, float32, one thread of "
        f"{os.cpu_count()} cores {platform.machine()}, torch {version}. Made by "
        "`scripts/bench_training.py`.",
        *counted_page(kept, to, points),
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
