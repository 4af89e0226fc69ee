"""``robust list``: the names that other commands take."""

from __future__ import annotations

import click

from robust.cli import names, options
from robust.cli.output import say, say_json
from robust.norm_noise.severity import NOISES, default_severities


@click.command("list")
@options.as_json()
def list_names(as_json: bool) -> None:
    """List the known styles, norm variants, noises, attention modules, controls and data sets."""
    styles = {name: names.shipped_seeds(name) for name in names.styles()}
    noises = {name: [s.text for s in default_severities(name)] for name in NOISES}
    modules = {
        name: "live only" if name == names.LIVE_ONLY else "live or ASR gate"
        for name in names.attentions()
    }
    controls = dict(names.CONTROLS)
    if as_json:
        say_json(
            {
                "styles": styles,
                "norms": names.norms(),
                "noises": noises,
                "attention": modules,
                "data": names.data_sets(),
                "controls": controls,
            }
        )
        return
    say("styles (training seeds of the shipped networks)")
    for name, seeds in styles.items():
        say(f"  {name:<10} {', '.join(map(str, seeds)) or 'none shipped'}")
    say("norm variants", f"  {', '.join(names.norms())}")
    say("noises (default severities)")
    for name, severities in noises.items():
        say(f"  {name:<10} {'  '.join(severities)}")
    for title, described in (("attention modules", modules), ("controls of gates", controls)):
        say(title)
        for name, use in described.items():
            say(f"  {name:<10} {use}")
    say("data sets (--data)", f"  {', '.join(names.data_sets())}")
