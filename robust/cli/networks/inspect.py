"""``robust inspect``: where gates go in a model, and what they cost."""

from __future__ import annotations

from typing import Any

import click

from asr_core import limits
from robust.cli import options
from robust.cli.output import say, say_json
from robust.cli.values import Whole
from robust.report.table import Table


@click.command("inspect")
@click.argument("model", metavar="MODEL")
@options.attention("Attention module of the gates.")
@click.option(
    "--targets",
    multiple=True,
    default=["auto"],
    show_default=True,
    help="Repeatable name or glob of the layers that get a gate.",
)
@click.option("--exclude", multiple=True, help="Repeatable name or glob of layers to leave out.")
@click.option("--create-affine", is_flag=True, help="Create γ and β where a norm lacks them.")
@options.delta()
@click.option("--num-classes", type=Whole(0, limits.CLASSES), help="Passed to the model's builder.")
@options.as_json()
def inspect_model(
    model: str,
    attention: str,
    targets: tuple[str, ...],
    exclude: tuple[str, ...],
    create_affine: bool,
    delta: int,
    num_classes: int | None,
    as_json: bool,
) -> None:
    """Show the positions that gates take in MODEL: layer, channels, parameters.

    MODEL is a torchvision name, asr:NAME (one of our backbones, at the paper's positions),
    asr:NAME+ATTENTION (with live attention as well), timm:NAME, or package.module:factory. Nothing
    is downloaded and nothing is written.
    """
    from asr_core import insert_asr
    from asr_core.models.named import PREFIX, backbone_of
    from robust.models.names import build_model

    network = build_model(model, {} if num_classes is None else {"num_classes": num_classes})
    plain = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in network.named_modules()
    }
    options: dict[str, Any] = {
        "exclude": list(exclude),
        "create_affine": create_affine,
        "delta": delta,
    }
    automatic = targets == ("auto",)
    if automatic and model.startswith(PREFIX):
        report = backbone_of(model).insert(network, attention, **options)
    else:
        chosen = "auto" if automatic else list(targets)
        report = insert_asr(network, attention, targets=chosen, **options)
    positions = []
    for position in report.positions:
        layer = network.get_submodule(position.name)
        created = sum(getattr(layer, name).numel() for name in position.created)
        fused = plain[position.name] + created
        positions.append(
            {
                "name": position.name,
                "kind": position.kind,
                "side": position.side,
                "norms": list(position.norms),
                "axis": position.axis,
                "channels": position.channels,
                "created": list(position.created),
                "parameters": {"training": fused + position.gate_parameters, "fused": fused},
            }
        )
    total = sum(parameter.numel() for parameter in network.parameters())
    gates = sum(position.gate_parameters for position in report.positions)
    listing = {
        "model": model,
        "attention": attention,
        "delta": delta,
        "positions": positions,
        "refusals": [{"name": r.name, "reason": r.reason} for r in report.refusals],
        "parameters": {"plain": plain[""], "training": total, "fused": total - gates},
    }
    if as_json:
        say_json(listing)
    else:
        labels = [position.label for position in report.positions]
        say(*_table(listing, labels, report.remarks))


def _table(listing: dict[str, Any], labels: list[str], remarks: list[str]) -> list[str]:
    head = ("position", "kind", "channels", "parameters in training", "after fusing")
    rows = []
    for label, position in zip(labels, listing["positions"], strict=True):
        counts = position["parameters"]
        rows.append(
            (
                label,
                position["kind"],
                str(position["channels"]),
                f"{counts['training']:,}",
                f"{counts['fused']:,}",
            )
        )
    whole = listing["parameters"]
    rows.append(
        (
            f"{len(listing['positions'])} positions, whole model",
            "",
            "",
            f"{whole['training']:,}",
            f"{whole['fused']:,}",
        )
    )
    lines = Table(head, rows, words=2).plain()
    lines += remarks
    lines += [f"no gate on {r['name']!r}: {r['reason']}" for r in listing["refusals"]]
    return lines
