"""Dense-and-implicit attention (Huang et al. 2020, arXiv 1905.10671, sec. 3.2)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from asr_core.attention.base import ATTENTIONS, Attention, bottleneck

State = tuple[Tensor, Tensor]


@ATTENTIONS.register("dia")
class DIA(Attention):
    """One LSTM cell for all blocks of a stage; its hidden state h is the gate (N, C, 1, 1).

    The cell's two maps to the four LSTM gates, from GAP(x) and from h, each go through a
    bottleneck of C / 4; the output nonlinearity is ``activation`` instead of tanh.
    """

    asr_refusal = (
        "its LSTM carries state from block to block for each input; "
        "use it as live attention, one cell shared by a stage"
    )

    def __init__(self, channels: int, *, activation: str = "sigmoid", reduction: int = 4) -> None:
        super().__init__(channels, activation=activation)
        hidden = bottleneck(channels, reduction)
        self.from_input = _lstm_gates(channels, hidden)
        self.from_state = _lstm_gates(channels, hidden)

    def step(self, features: Tensor, state: State | None = None) -> State:
        """One block: ``features`` (N, C, H, W) and the (h, c) of the block before, each (N, C).

        Returns:
            The new (h, c); h is the gate.
        """
        squeezed = features.mean((2, 3))
        if state is None:
            state = squeezed.new_zeros(squeezed.shape), squeezed.new_zeros(squeezed.shape)
        h, c = state
        write, forget, show, new = (self.from_input(squeezed) + self.from_state(h)).chunk(4, dim=1)
        c = forget.sigmoid() * c + write.sigmoid() * new.tanh()
        return show.sigmoid() * self.activate(c), c

    def unroll(self) -> Callable[[Tensor], Tensor]:
        """A function features -> gate that keeps the state, for one pass through the stage."""
        state: State | None = None

        def gate(features: Tensor) -> Tensor:
            nonlocal state
            state = self.step(features, state)
            return state[0][:, :, None, None]

        return gate

    def forward(self, features: Tensor) -> Tensor:
        """Gate (N, C, 1, 1) of the first block's ``features`` (N, C, H, W)."""
        return self.unroll()(features)


def _lstm_gates(channels: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 4 * channels))
