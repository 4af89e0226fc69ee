"""One gate for several layers whose outputs are summed: v ⊙ (a + b) = v ⊙ a + v ⊙ b.

So a gate on a sum, which has no parameters, folds into each of the summands' layers (RepVGG;
paper, supplementary, B.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from asr_core.asr.gate import Gate
from asr_core.errors import InputError, TargetError

PARENTS = "parents"
Shared = str | Sequence[Sequence[str]] | None
"""Groups of names of layers with one gate; "parents", one gate for each parent; or None."""


class SharedGate(Gate):
    """Gives the v of another layer's gate, and has no parameters."""

    def __init__(self, leader: Gate) -> None:
        nn.Module.__init__(self)
        # In a tuple, which registers nothing: the state dict holds the gate once.
        self._leader = (leader,)
        self.config = leader.config
        self._held = None
        self._start = {}

    @property
    def leader(self) -> Gate:
        """The gate that gives v."""
        return self._leader[0]

    def scale(self) -> Tensor:
        """v, shape (C,), with gradient."""
        return self.leader.scale() if self._held is None else self._held

    def mark_start(self) -> None:
        """Do nothing: the shared gate does."""

    def never_trained(self) -> bool:
        """Whether the shared gate is as it started."""
        return self.leader.never_trained()


def leaders(shared: Shared, channels: Mapping[str, int]) -> dict[str, str]:
    """For each layer but the first of a group, the first, whose gate it shares.

    Args:
        shared: the groups.
        channels: width of each layer that gets a gate, by name, in the model's order.

    Raises:
        InputError: not groups of names, a name in two of them, or a group of several widths.
        TargetError: a name that gets no gate.
    """
    led_by: dict[str, str] = {}
    seen: set[str] = set()
    for group in _groups(shared, channels):
        for name in group:
            if name not in channels:
                raise TargetError(f"{name!r} would share a gate, but is not among the targets")
            if name in seen:
                raise InputError(f"{name!r} can share one gate, but is in shared twice")
            seen.add(name)
        widths = {name: channels[name] for name in channels if name in group}
        if len(set(widths.values())) > 1:
            raise InputError(f"no gate fits layers of several widths; their channels are {widths}")
        first, *others = widths
        led_by.update(dict.fromkeys(others, first))
    return led_by


def groups_of(gates: Mapping[str, Gate]) -> list[list[str]] | None:
    """The groups of layers that share a gate, given each layer's; None without any.

    Raises:
        InputError: the layer that owned a shared gate was fused alone.
    """
    owners = {id(gate): name for name, gate in gates.items()}
    groups: dict[str, list[str]] = {}
    for name, gate in gates.items():
        if isinstance(gate, SharedGate):
            owner = owners.get(id(gate.leader))
            if owner is None:
                raise InputError(f"the layer that shared its gate with {name!r} was fused alone")
            groups.setdefault(owner, [owner]).append(name)
    return list(groups.values()) or None


def _groups(shared: Any, names: Iterable[str]) -> Sequence[Sequence[str]]:
    if shared == PARENTS:
        by_parent: dict[str, list[str]] = {}
        for name in names:
            by_parent.setdefault(name.rpartition(".")[0], []).append(name)
        return list(by_parent.values())
    groups = [] if shared is None else shared
    lists = not isinstance(groups, str) and isinstance(groups, Sequence)
    if not lists or not all(_is_group(group) for group in groups):
        raise InputError(
            f"shared must be {PARENTS!r} or lists of layer names, such as [['conv3', 'conv1']]; "
            f"got {shared!r}"
        )
    return groups


def _is_group(group: Any) -> bool:
    named = isinstance(group, Sequence) and not isinstance(group, str) and len(group) > 0
    return named and all(isinstance(name, str) for name in group)
