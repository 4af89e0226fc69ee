"""Where an exported program differs first from its model.

The nodes of an exported graph say which modules they come from; the last one of a module gives its
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
    """The first module of which a program gives another output than the model.

    Args:
        model: the model, run in eval mode.
        inputs: what both were run on.
        values: the program's output of each module, by name, in its order.
        tolerance: greatest difference relative to the greatest absolute value of the model's.

    Returns:
        The dotted name, or None where no output of the same shape differs.
    """
    names = {name for name, _ in model.named_modules()}
    with torch.no_grad(), evaluating(model):
        outputs = outputs_of(model, (inputs,), names)
    shapes = {(name, output.shape) for name, output in outputs}
    # A module may end in another node than the one it gives, but hardly of the same shape.
    given = ((name, value) for name, value in values if (name, value.shape) in shapes)
    return first_difference(outputs, given, tolerance=tolerance)


def pt2_values(run: fx.GraphModule, inputs: Tensor) -> Iterator[Output]:
    """What the modules give inside a loaded ``torch.export`` program."""
    values: dict[str, Any] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            # A copy: an in-place ReLU behind would write into it.
            values[n.name] = value.detach().clone() if isinstance(value, Tensor) else None
            return value

    Recorder(run).run(inputs)
    for module, node in module_ends(run.graph):
        if values[node] is not None:
            yield module, values[node]


def onnx_values(path: Path, graph: fx.Graph, feed: dict[str, Any]) -> Iterator[Output]:
    """What the modules give inside an ONNX file, whose values have the names of ``graph``'s nodes.

    A value that the exporter's own folding took away is left out.
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
    """Pairs (module, node), the node being the last of those that come from the module.

    In the graph's order, a module before the ones around it. Modules that are called several
    times are left out, and the model itself.
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
