"""``robust list``: the names that other commands take."""

from __future__ import annotations

import click

from robust.cli.output import say, say_json


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_names(as_json: bool) -> None:
    """List the known styles, norm variants, noises and attention modules."""
    from asr_core.attention import ATTENTIONS
    from robust.norm_noise import NOISES, default_severities
    from styletransfer.images.drawn import STYLES
    from styletransfer.network import NORMS
    from styletransfer.zoo import shipped

    networks = shipped()
    styles = {
        name: sorted({network.seed for network in networks if network.style == name})
        for name in STYLES
    }
    noises = {name: [s.text for s in default_severities(name)] for name in NOISES}
    modules = {
        name: "live only" if ATTENTIONS[name].asr_refusal else "live or ASR gate"
        for name in ATTENTIONS
    }
    if as_json:
        listing = {
            "styles": styles,
            "norms": NORMS.names(),
            "noises": noises,
            "attention": modules,
        }
        say_json(listing)
        return
    say("styles (training seeds of the shipped networks)")
    for name, seeds in styles.items():
        say(f"  {name:<10} {', '.join(map(str, seeds)) or 'none shipped'}")
    say("norm variants", f"  {', '.join(NORMS.names())}")
    say("noises (default severities)")
    for name, texts in noises.items():
        say(f"  {name:<10} {'  '.join(texts)}")
    say("attention modules")
    for name, use in modules.items():
        say(f"  {name:<10} {use}")
