"""The norm variants as tables and pictures name and colour them; nothing is imported."""

from __future__ import annotations

OURS = "bn+asr"
OWN_STATISTICS = "bn (n = 1)"
"""The variant of the shares that is BN, not attacked, on the picture's own statistics."""

NORM_TITLES = {
    "in": "IN",
    "bn": "BN",
    OURS: "BN+ASR",
    "bn+frozen": "BN+frozen",
    "bn+const": "BN+const",
    OWN_STATISTICS: "BN (n = 1)",
}
COLOURED = ("in", "bn", OURS, "bn+frozen", "bn+const")
"""The variants in the order of their colours."""

OTHER_SEED = "in (other seed)"
"""The norm that ``metrics.csv`` gives to the ceiling: IN of one training seed against another's."""

TO_IN, TO_CLEAN = "to_in", "to_clean"
"""Suffixes of comparisons: with the IN network's clean output, with the network's own."""

PRIMARY = "loss"
LPIPS_TO_IN = f"lpips_{TO_IN}"
TITLES = {
    PRIMARY: "loss",
    "style_loss": "style loss",
    "content_loss": "content loss",
    LPIPS_TO_IN: "LPIPS to IN",
    "blur": "blur",
    "grid_energy": "grid",
    "spread": "spread over draws",
}
"""What tables call the metrics that every run may have."""
SHARED = tuple(TITLES)[:-1]
"""The metrics that every run measures, LPIPS where its weights are; less is better in all."""


def formula_of(content_weight: float, style_weight: float) -> str:
    """Of the loss, such as "1 · content + 4 · style"."""
    return f"{content_weight:g} · content + {style_weight:g} · style"
