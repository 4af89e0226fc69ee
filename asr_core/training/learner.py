"""Model, optimizer and averaged weights, trained one step at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from asr_core.errors import CheckpointError, InputError
from asr_core.models import Normalized
from asr_core.recipes import Recipe
from asr_core.saving.checkpoint import load_strictly
from asr_core.saving.optimizer_state import load_optimizer
from asr_core.training.config import DataFacts, TrainConfig
from asr_core.training.evaluate import top
from asr_core.training.model import new_model, seeded

if TYPE_CHECKING:
    from accelerate import Accelerator

    from asr_core.training.folder import LastState

Device = Literal["auto", "cpu"]


class Figures(NamedTuple):
    """Sums over the whole batch of a step, in all processes.

    Attributes:
        loss: cross-entropy, with the recipe's label smoothing.
        top1: images whose class has the greatest logit.
        top5: images whose class is among the greatest five.
        flagged: number of processes that asked to stop.
    """

    loss: float
    top1: float
    top5: float
    flagged: float


def new_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer; weight decay acts on every parameter, also ψ, as published."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    options: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, **options)
    return torch.optim.AdamW(parameters, betas=(recipe.momentum, 0.999), **options)


class Learner:
    """One process's share of a training run.

    Args:
        config: what to train, and how.
        data: facts of the data.
        accelerator: made for ``config``.

    Attributes:
        model: the model without wrappers, to be copied, hooked or fused.

    Raises:
        InputError: the batch cannot be split into so many parts, or as
            :func:`asr_core.training.model.new_model`.
    """

    def __init__(self, config: TrainConfig, data: DataFacts, accelerator: Accelerator) -> None:
        share, rest = divmod(config.recipe.batch_size, accelerator.num_processes)
        if rest or share < config.accumulate:
            raise InputError(
                f"a batch of {config.recipe.batch_size} images cannot be split among "
                f"{accelerator.num_processes} processes, in {config.accumulate} parts each; "
                "choose another batch size"
            )
        self._config = config
        self._accelerator = accelerator
        model = new_model(config, data).to(accelerator.device)
        if config.channels_last:
            model = model.to(memory_format=torch.channels_last)
        self.model: Normalized = model
        optimizer = new_optimizer(config.recipe, model)
        # In a shell, because Accelerate adds attributes, which copies of the model would keep.
        self._shell, self._optimizer = accelerator.prepare(nn.Sequential(model), optimizer)
        decay = config.recipe.ema
        self._average: AveragedModel | None = None
        if decay is not None:
            average = get_ema_multi_avg_fn(decay)
            self._average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    @property
    def evaluated(self) -> Normalized:
        """The model to evaluate and save: that with averaged weights, if there is one."""
        return self.model if self._average is None else cast(Normalized, self._average.module)

    def step(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        lr: float,
        at: tuple[int, int],
        noise: Callable[[], contextlib.AbstractContextManager[object]] | None = None,
        flagged: Callable[[], bool] = bool,
    ) -> Figures:
        """Learn from this process's share of a batch.

        Args:
            images: (n, 3, H, W) in [0, 1].
            labels: int64 (n,).
            lr: learning rate.
            at: epoch and step, which seed the draws inside the model.
            noise: makes the context of each forward pass.
            flagged: called at the end: whether this process asks all to stop.
        """
        accelerator, config = self._accelerator, self._config
        if config.channels_last:
            images = images.to(memory_format=torch.channels_last)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        # Makes the batch's mean of losses that are summed over parts and averaged over processes.
        scale = accelerator.num_processes * config.accumulate / config.recipe.batch_size
        sums = torch.zeros(4, device=images.device)
        self._shell.train()
        draws = seeded("step", config.seed, *at, accelerator.process_index, device=images.device)
        with draws:
            for part, classes in zip(
                images.tensor_split(config.accumulate),
                labels.tensor_split(config.accumulate),
                strict=True,
            ):
                with accelerator.accumulate(self._shell):
                    with noise() if noise else contextlib.nullcontext():
                        logits = self._shell(part).float()
                    loss = nn.functional.cross_entropy(
                        logits,
                        classes,
                        reduction="sum",
                        label_smoothing=config.recipe.label_smoothing,
                    )
                    accelerator.backward(loss * scale)
                    if accelerator.sync_gradients and config.recipe.clip is not None:
                        accelerator.clip_grad_norm_(self._shell.parameters(), config.recipe.clip)
                    self._optimizer.step()
                    self._optimizer.zero_grad(set_to_none=True)
                    hits = top(logits.detach()) == classes[:, None]
                    sums[0] += loss.detach()
                    sums[1] += hits[:, 0].sum()
                    sums[2] += hits.sum()
        if self._average is not None:
            self._average.update_parameters(self.model)
        sums[3] = float(flagged())
        # One small exchange per step, so that all processes decide alike.
        return Figures(*accelerator.reduce(sums, "sum").tolist())

    def anyone(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process; every process must call this."""
        mine = torch.tensor(float(flag), device=self._accelerator.device)
        return bool(self._accelerator.reduce(mine, "sum"))

    def share_buffers(self) -> None:
        """Give every process the first one's batch statistics; otherwise they differ."""
        if self._accelerator.num_processes > 1:
            from accelerate.utils import broadcast

            for buffer in [*self.model.buffers(), *self.evaluated.buffers()]:
                buffer.copy_(broadcast(buffer))

    def finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(p.isfinite().all()) for p in self.evaluated.parameters())

    def state(self) -> dict[str, Any]:
        """The state for :meth:`load_state`; tensors are shared, not copied."""
        scaler, average = self._accelerator.scaler, self._average
        return {
            "model": self.model.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "average": None if average is None else self.evaluated.model.state_dict(),
            "averaged": 0 if average is None else int(average.n_averaged),
        }

    def load_state(self, state: LastState, where: str) -> None:
        """Load a state of the same config.

        Raises:
            CheckpointError: beginning with ``where``: it does not fit the model or optimizer.
        """
        load_strictly(self.model.model, state.model, f"{where}: not the tensors of its own run")
        load_optimizer(self._optimizer, state.optimizer, where)
        if self._accelerator.scaler is not None:
            try:
                self._accelerator.scaler.load_state_dict(state.scaler)
            except (RuntimeError, KeyError, TypeError) as error:
                raise CheckpointError(f"{where}: no state of a gradient scaler: {error}") from None
        if self._average is not None:
            if state.average is None:
                raise CheckpointError(f"{where}: lacks the average of the weights")
            own = self.evaluated.model
            load_strictly(own, state.average, f"{where}: not the average of its own run")
            self._average.n_averaged.fill_(state.averaged)


def new_accelerator(
    config: TrainConfig, folder: Path, *, device: Device = "auto", tensorboard: bool = False
) -> Accelerator:
    """An accelerator for :func:`asr_core.training.train`, in one process or one of several.

    The environment set by ``torchrun`` or ``accelerate launch`` decides.

    Args:
        config: decides precision, accumulation and compilation.
        folder: the run's folder; TensorBoard's events go into its subfolder "tensorboard".
        device: "auto", the machine's accelerator or else the CPU; or "cpu".
        tensorboard: write events.

    Raises:
        InputError: fp16 on a CPU, TensorBoard is not installed, or the launcher's processes do
            not find each other.
    """
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration, is_tensorboard_available

    # Without an accelerator, Accelerate would treat each of several processes as a separate run.
    cpu = device == "cpu" or not torch.accelerator.is_available()
    if cpu and config.precision == "fp16":
        raise InputError("precision fp16 needs a GPU; on a CPU use bf16, or leave it out")
    if tensorboard and not is_tensorboard_available():
        raise InputError("TensorBoard is not installed: pip install 'robust-asr[tensorboard]'")
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=config.precision,
        gradient_accumulation_steps=config.accumulate,
        dynamo_backend="inductor" if config.compile else None,
        log_with="tensorboard" if tensorboard else None,
        project_config=ProjectConfiguration(str(folder), logging_dir=str(folder)),
    )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != launched:
        raise InputError(
            f"{launched} processes were launched, but this one sees {accelerator.num_processes}; "
            "launch them with torchrun or accelerate launch"
        )
    return accelerator
