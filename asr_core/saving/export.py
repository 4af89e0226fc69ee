"""Plain models as files for other tools: ``torch.export`` programs (.pt2) and ONNX.

Each file is read back and compared with the eager model at several batch sizes (and at several
image sizes, for networks that take any) before it replaces an older one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_core.asr.parametrization import gated_layers
from asr_core.errors import InputError, ParityError
from asr_core.saving.files import atomic_path
from asr_core.verify.divergence import worst
from asr_core.verify.export_divergence import onnx_values, program_divergence, pt2_values
from asr_core.verify.parity import ParityReport, check_parity, evaluating

TOLERANCE = 1e-4
"""Relative: other kernels round differently."""

INPUT, OUTPUT = "images", "outputs"
BATCHES = (1, 2, 3, 5)
_LARGEST = 16384
_ONNX = ("onnx", "onnxscript", "onnxruntime")

Inside = Iterator[tuple[str, Tensor]]
"""The outputs of the modules inside a program."""


def export_pt2(
    path: Path | str,
    model: nn.Module,
    example: Tensor,
    *,
    size_step: int | None = None,
    tolerance: float = TOLERANCE,
) -> ParityReport:
    """Write ``model`` in eval mode as a ``torch.export`` program with a dynamic batch.

    Args:
        path: the .pt2 file; replaced only by a file that passed its check.
        model: a plain model of one tensor; not changed.
        example: (N, …) with N of 2 or more, on the model's device and of its dtype.
        size_step: for models that take images (N, C, H, W) of any size: both sides become dynamic,
            in multiples of this, like the sides of ``example``.
        tolerance: greatest difference relative to the greatest output.

    Returns:
        The worst figures over all shapes that were run.

    Raises:
        InputError: the model has gates (fuse it first), or cannot be exported.
        ParityError: the file gives other outputs than the model; ``path`` is as before.
        OSError: the folder cannot be written, or the disk is full.
    """
    _refuse_gates(model)
    program = _program(model, example, size_step)
    with atomic_path(path) as temporary:
        data = io.BytesIO()  # torch's file writer ends the process if the disk is full
        torch.export.save(program, data)
        temporary.write_bytes(data.getbuffer())
        del data
        run: Any = torch.export.load(temporary).module()
        return _checked(run, partial(pt2_values, run), model, example, size_step, tolerance)


def export_onnx(
    path: Path | str,
    model: nn.Module,
    example: Tensor,
    *,
    size_step: int | None = None,
    tolerance: float = TOLERANCE,
) -> ParityReport:
    """Write ``model`` in eval mode as ONNX with a dynamic batch, checked in onnxruntime.

    The arguments, result and errors are those of :func:`export_pt2`. The graph's input is
    ``images``, its first output ``outputs``. The weights are inside the file (at most 2 GB).

    Raises:
        InputError: as :func:`export_pt2`; or a package of the extra ``export`` is missing, the
            model is in half precision, which cannot be checked that closely, or onnxruntime lacks
            one of its operators for float64.
    """
    require_onnx()
    _refuse_gates(model)
    _refuse_half(model)
    onnxruntime = importlib.import_module("onnxruntime")
    with _quiet(), evaluating(model):
        try:
            program: Any = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(_dimensions(example, size_step),),
            )
        except Exception as error:  # each stage of the exporter raises its own kind
            raise _not_exportable(model, "torch.onnx", error) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with atomic_path(path) as temporary:
        program.save(temporary, external_data=False)
        try:
            session = onnxruntime.InferenceSession(
                str(temporary), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many kinds
            raise _not_exportable(model, "onnxruntime", error) from error

        def run(inputs: Tensor) -> list[Tensor]:
            outputs = session.run(None, {INPUT: inputs.cpu().numpy()})
            return [torch.from_numpy(output) for output in outputs]

        def inside(inputs: Tensor) -> Inside:
            graph = program.exported_program.graph
            return onnx_values(temporary, graph, {INPUT: inputs.cpu().numpy()})

        return _checked(run, inside, model, example, size_step, tolerance)


def require_onnx() -> None:
    """Refuse ONNX export if a package that it needs is missing.

    Raises:
        InputError: naming the packages and the extra that brings them.
    """
    missing = [name for name in _ONNX if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX export needs {', '.join(missing)}: pip install 'robust-asr[export]'"
        )


class _Runner(nn.Module):
    """An exported program as a module that the parity check can call."""

    def __init__(self, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        # In a tuple: registered as a child, an exported module would refuse a change of mode.
        self._run = (run,)

    def forward(self, inputs: Tensor) -> Any:
        return self._run[0](inputs)


def _refuse_gates(model: nn.Module) -> None:
    gated = [name for name, _ in gated_layers(model)]
    if gated:
        raise InputError(
            f"{gated[0]!r} has a gate, which the graph would hold: fuse_asr the model first"
        )


def _refuse_half(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise InputError(
                f"{name!r} is of type {tensor.dtype}; ONNX files are checked in full precision: "
                "convert the model first (model.float())"
            )


def _dimensions(example: Tensor, size_step: int | None) -> dict[int, Any]:
    dim: Any = torch.export.Dim
    dimensions: dict[int, Any] = {0: dim("batch", min=1)}
    if size_step is None:
        return dimensions
    for axis, name in ((2, "height"), (3, "width")):
        # The least side that survives reflection padding and two halvings.
        least = max(1, -(-16 // size_step))
        part = f"{name}_over_{size_step}" if size_step > 1 else name
        dimension = dim(part, min=least, max=_LARGEST // size_step)
        dimensions[axis] = size_step * dimension if size_step > 1 else dimension
    return dimensions


def _program(model: nn.Module, example: Tensor, size_step: int | None) -> Any:
    with _quiet(), evaluating(model):
        try:
            return torch.export.export(
                model, (example,), dynamic_shapes=(_dimensions(example, size_step),)
            )
        except Exception as error:  # each stage of the exporter raises its own kind
            raise _not_exportable(model, "torch.export", error) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporters' warnings, which are not about the model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _not_exportable(model: nn.Module, what: str, error: Exception) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return InputError(
        f"{type(model).__name__} cannot be exported with a dynamic batch ({what}): {reason}"
    )


def _shapes(example: Tensor, size_step: int | None) -> Iterator[tuple[int, ...]]:
    _, *sample = example.shape
    for index, batch in enumerate(BATCHES):
        if size_step is None:
            yield (batch, *sample)
        else:
            channels, height, width = sample
            yield (batch, channels, height + index * size_step, width + 2 * index * size_step)


def _checked(
    run: Callable[[Tensor], Any],
    inside: Callable[[Tensor], Inside],
    model: nn.Module,
    example: Tensor,
    size_step: int | None,
    tolerance: float,
) -> ParityReport:
    random = torch.Generator("cpu").manual_seed(0)
    reports = []
    for shape in _shapes(example, size_step):
        inputs = torch.rand(shape, generator=random).to(example)
        try:
            report = check_parity(model, _Runner(run), inputs, tolerance=tolerance)
        except ParityError:
            raise
        except Exception as error:  # torch and onnxruntime raise many kinds
            raise _not_exportable(model, f"inputs {shape}", error) from error
        if not report.ok:
            where = _place(model, inputs, inside, tolerance)
            raise ParityError(
                f"the file and the model part at inputs {shape}: {report.message}{where}"
            )
        reports.append(report)
    return worst(reports)


def _place(
    model: nn.Module, inputs: Tensor, inside: Callable[[Tensor], Inside], tolerance: float
) -> str:
    """The end of a message: where the outputs first differ, if the program shows it."""
    try:
        where = program_divergence(model, inputs, inside(inputs), tolerance=tolerance)
    except Exception:  # the program does not show its values
        return ""
    place = repr(where) if where else "no single layer, only in the model as a whole"
    return f"; outputs first part at {place}"
