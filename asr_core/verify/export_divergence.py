"""The first module where an exported program differs from its model.

The nodes of an exported graph name the modules they come from; the last one of a module gives its
output.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from asr_core.verify.divergence import first_difference
from asr_core.verify.parity import evaluating
from asr_core.verify.watch import Output, outputs_of


def program_divergence(
    model: nn.Module, inputs: Tensor, values: Iterable[Output], *, tolerance: float
) -> str | None:
    """The first module whose output on ``inputs`` differs between a program and ``model``.

    ``values`` are the program's outputs of its modules, in its order; ``tolerance`` is relative to
    the greatest absolute value of the model's. None if no output of the same shape differs.
    """
    names = {name for name, _ in model.named_modules()}
    with torch.no_grad(), evaluating(model):
        outputs = outputs_of(model, (inputs,), names)
    shapes = {(name, output.shape) for name, output in outputs}
    # A module's last node may not be its output, but then hardly has the same shape.
    given = ((name, value) for name, value in values if (name, value.shape) in shapes)
    return first_difference(outputs, given, tolerance=tolerance)


def pt2_values(run: fx.GraphModule, inputs: Tensor) -> Iterator[Output]:
    """The outputs of the modules inside a loaded ``torch.export`` program."""
    values: dict[str, Any] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            # A copy, because an in-place ReLU may follow.
            values[n.name] = value.detach().clone() if isinstance(value, Tensor) else None
            return value

    Recorder(run).run(inputs)
    for module, node in module_ends(run.graph):
        if values[node] is not None:
            yield module, values[node]


def onnx_values(path: Path, graph: fx.Graph, feed: dict[str, Any]) -> Iterator[Output]:
    """The outputs of the modules inside an ONNX file, whose values are named by ``graph``'s nodes.

    Values that the exporter folded away are left out.
    """
    onnx, onnxruntime = (importlib.import_module(name) for name in ("onnx", "onnxruntime"))
    model = onnx.load(path)
    outputs = [output.name for output in model.graph.output]
    given = [node.name for node in graph.output_node().all_input_nodes]
    renamed = dict(zip(given, outputs, strict=False))
    made = {name for node in model.graph.node for name in node.output}
    ends = [(module, renamed.get(node, node)) for module, node in module_ends(graph)]
    ends = [(module, value) for module, value in ends if value in made]
    values = list(dict.fromkeys(value for _, value in ends))
    added = [value for value in values if value not in outputs]
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in added)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    results = dict(zip(values, session.run(values, feed), strict=True))
    for module, value in ends:
        yield module, torch.from_numpy(results[value])


def module_ends(graph: fx.Graph) -> list[tuple[str, str]]:
    """Pairs of a module and the last node that comes from it, in the graph's order, inner first.

    Without modules that are called several times, and the model itself.
    """
    last: dict[str, tuple[int, int, str]] = {}
    again = {""}
    for index, node in enumerate(graph.nodes):
        stack = node.meta.get("nn_module_stack", {})
        for depth, (call, (name, _)) in enumerate(stack.items()):
            last[name] = (index, -depth, node.name)
            if "@" in call:  # the number of a later call
                again.add(name)
    return [
        (name, last[name][2]) for name in sorted(last, key=last.__getitem__) if name not in again
    ]
