"""A function on a CUDA device as a graph of its kernels, recorded once and then replayed.

A small network's kernels take less time than Python takes to launch them. A replay launches all of
them at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_WARM_UP = 3


class Recorded:
    """``function`` of one tensor, recorded for the shape at hand; another shape records it again.

    Args:
        function: of a tensor on a CUDA device. It gives tensors that depend on its argument and on
            ``module`` alone, never waits for the device, and has no effect but on the gradients and
            buffers of ``module``.
        module: its buffers are put back after the calls that warm the device up.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], module: nn.Module) -> None:
        self._function = function
        self._module = module
        self._input = torch.empty(0)
        self._output = torch.empty(0)
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        """What ``function`` gives; the next call overwrites it."""
        with torch.cuda.device(inputs.device):  # streams and graphs are of the current device
            if self._graph is None or inputs.shape != self._input.shape:
                self._graph = self._record(inputs)
            self._input.copy_(inputs)
            self._graph.replay()
        return self._output

    def _record(self, inputs: Tensor) -> torch.cuda.CUDAGraph:
        self._graph = None  # frees the memory of the graph of another shape
        self._input = inputs.clone()
        kept = [(buffer, buffer.clone()) for buffer in self._module.buffers()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._function(self._input)
        torch.cuda.current_stream().wait_stream(side)
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._output = self._function(self._input)
        return graph
