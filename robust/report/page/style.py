"""The page of an attack on style networks, from the files of its folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from asr_core.errors import InputError
from asr_core.saving.text_files import read_json
from robust.norm_noise.severity import BatchNoise, parse_severity
from robust.report.page.made import made, networks
from robust.report.page.values import (
    Answered,
    Block,
    Compare,
    Curves,
    Dots,
    Page,
    Panel,
    Picture,
    Pictures,
    Point,
    Section,
    Series,
    Shown,
    Text,
)
from robust.report.table import Table
from robust.stats.answer import Answer
from robust.stats.intervals import Interval
from robust.style.names import (
    COLOURED,
    LPIPS_TO_IN,
    NORM_TITLES,
    OTHER_SEED,
    OURS,
    PRIMARY,
    SHARED,
    TITLES,
    formula_of,
)
from robust.style.report import about, details, table
from robust.style.situations import ATTACKED, percent_of

CLEAN = "clean"
BUDGET = 14 * 2**20
"""Bytes of pictures in a page, which base64 makes a third more: it must still go by mail."""
_FILE = re.compile(r"[\d-]+\.jpg|style\.jpg")

_SOURCE = {
    PRIMARY: ("{formula}: what the networks were trained for", ""),
    "style_loss": (
        "mean over layers of ½‖μ(y) − μ(s)‖² / ‖μ(s)‖² + ½‖Σ(y) − Σ(s)‖² / ‖Σ(s)‖², of the "
        "channels' means μ and covariances Σ of picture y and style s",
        "After Johnson et al. 2016, eq. 4; robust: styletransfer.losses.perceptual.",
    ),
    "content_loss": (
        "mean square of f(y) − f(x) over the mean square of f(s), of the features f of picture y, "
        "photograph x and style s",
        "After Johnson et al. 2016, eq. 2; robust: styletransfer.losses.perceptual.",
    ),
    LPIPS_TO_IN: (
        "learned perceptual distance to the clean IN picture of the same training seed",
        "Zhang et al. 2018, version 0.1, AlexNet; robust: robust.metrics.lpips.",
    ),
    "blur": (
        "how little a picture loses when it is blurred again; 0 sharp, 1 blurred",
        "Crete et al. 2007; robust: robust.metrics.blur.",
    ),
    "grid_energy": (
        "spectral energy at periods of 2 and 4 pixels over that of neighbouring frequencies; "
        "about 1 without a grid",
        "robust: robust.metrics.grid.",
    ),
    "spread": ("standard deviation over draws of the noise, mean over the pixels", ""),
}


def style_page(folder: Path) -> Page:
    """The page of the run in ``folder``, as `robust attack` left it.

    Raises:
        InputError: a file is missing, or a picture has a name that no run gives.
    """
    summary, facts = read_json(folder / "summary.json"), read_json(folder / "run.json")
    return _page(folder, summary, facts)


def _page(folder: Path, summary: dict[str, Any], facts: dict[str, Any]) -> Page:
    index = _index(folder)
    noises = list(dict.fromkeys(c["noise"] for c in summary["cells"] if c["noise"] != CLEAN))
    sections = []
    if compare := _compare(folder, summary, index):
        sections.append(Section("compare", "Compare", [compare]))
    sections += [
        Section("curves", "Curves", [c for noise in noises for c in _curves(summary, noise)]),
        Section("tables", "Tables", list(_tables(summary))),
        Section("made", "How it was made", [made(_facts(facts), *networks(facts["networks"]))]),
    ]
    style = facts["networks"][0]["style"]
    return Page(
        f"{style}: {', '.join(noises)} noise",
        list(_answers(summary)),
        [*_lead(summary), *_strips(folder, summary, index)],
        sections,
    )


def title_of(norm: str) -> str:
    """A norm variant as tables name it."""
    return "IN, other seed" if norm == OTHER_SEED else NORM_TITLES.get(norm, norm)


def colour_of(norm: str) -> int:
    """The number of a variant's colour."""
    return COLOURED.index(norm) if norm in COLOURED else len(COLOURED)


def _answers(summary: dict[str, Any]) -> Iterator[Answered]:
    for sentence in summary.get("holds", ()):
        yield Answered("Which variant holds?", sentence)
    shares = {
        share["situation"]: share
        for share in summary["shares"]
        if (share["variant"], share["against"], share["metric"]) == (OURS, None, PRIMARY)
    }
    attacked = [share for name, share in shares.items() if name.endswith(ATTACKED)]
    found = attacked or [share for name, share in shares.items() if name == CLEAN]
    for number, sentence in enumerate(summary["headlines"]):
        share = found[number] if number < len(found) else None
        verdict = "" if share is None else str(share["answer"])
        yield Answered(
            summary["question"], sentence, verdict, "" if share is None else _note(share)
        )


def _note(share: dict[str, Any]) -> str:
    """The smallest visible effect beside what is open."""
    if share["share"] is None:
        visible = Interval(**share["advantage"]).visible
        return "" if visible is None else f"an advantage of {visible:.2g} would have been seen"
    if share["answer"] != Answer.INCONCLUSIVE or share.get("visible") is None:
        return ""
    return f"smallest visible effect: {100 * share['visible']:.0f} % of IN's advantage"


def _lead(summary: dict[str, Any]) -> Iterator[Block]:
    """For each noise the loss of every variant, clean and attacked, and its change."""
    changes = [c for c in summary.get("changes", ()) if c["metric"] == PRIMARY]
    for situation in dict.fromkeys(c["situation"] for c in changes):
        if not situation.endswith(ATTACKED):
            continue
        noise = situation.split(",")[0]
        rows = []
        for change in changes:
            if change["situation"] == situation:
                norm, clean = change["variant"], change["clean"]["mean"]
                points = [_point(change["clean"], "clean"), _point(change["attacked"])]
                moved = _relative(change["change"], clean)
                words = (f"{clean:.3f} → {change['attacked']['mean']:.3f}", moved)
                rows.append((title_of(norm), colour_of(norm), points, words))
        seeds, images = len(summary["seeds"]), len(summary["images"])
        yield Dots(
            "Loss, less is better",
            rows,
            ("clean", f"under {noise} noise"),
            f"Means and 95 % intervals over {seeds} training seed{'s' * (seeds != 1)} and {images} "
            f"photograph{'s' * (images != 1)}, over all severities. The change is paired, so it is "
            "known better than the two means.",
        )


def _relative(change: dict[str, Any], clean: float) -> str:
    text = f"{100 * change['mean'] / clean:+.1f} %"
    if change["low"] is None:
        return text
    return f"{text} [{100 * change['low'] / clean:+.1f}, {100 * change['high'] / clean:+.1f}]"


def _point(interval: dict[str, Any], style: str = "noise") -> Point:
    return Point(interval["mean"], interval["low"], interval["high"], style)


def _curves(summary: dict[str, Any], noise: str) -> Iterator[Curves]:
    """The change from clean, and the level, of each metric: clean, then the severities.

    Severities with an order are joined, from clean on.
    """
    cells = summary["cells"]
    texts = dict.fromkeys(c["severity"] for c in cells if c["noise"] == noise)
    severities = [parse_severity(noise, text) for text in texts]
    ordered = [s for s in severities if s.is_ordered]
    ordered.sort(key=lambda s: s.size if isinstance(s, BatchNoise) else s.strength)  # type: ignore[attr-defined]
    if noise == BatchNoise.noise:
        ordered.reverse()  # a smaller batch is further from clean
    shown = ordered + [s for s in severities if not s.is_ordered]
    places = [CLEAN, *(s.label for s in shown)]
    joined = range(1 + len(ordered)) if ordered else range(0)
    norms = list(dict.fromkeys(c["norm"] for c in cells if c["norm"] != OTHER_SEED))
    place_of = {"": 0, **{s.text: place for place, s in enumerate(shown, 1)}}
    levels = {
        (c["norm"], metric, place_of[c["severity"]]): mean
        for c in cells
        if c["noise"] in (CLEAN, noise)
        for metric, mean in c["metrics"].items()
        if mean["mean"] is not None
    }
    situations = {f"{noise}, {s.label}": place for place, s in enumerate(shown, 1)}
    changes = {
        (c["variant"], c["metric"], situations[c["situation"]]): c["change"]
        for c in summary.get("changes", ())
        if c["situation"] in situations
    }

    def panels(found: Mapping[tuple[str, str, int], dict[str, Any]], title: str) -> list[Panel]:
        made = []
        used = [place for place in range(len(places)) if any(key[2] == place for key in found)]
        for metric in SHARED:
            series = [
                Series(
                    title_of(norm),
                    colour_of(norm),
                    points := {
                        at: _point(found[norm, metric, place], "noise" if place else "clean")
                        for at, place in enumerate(used)
                        if (norm, metric, place) in found
                    },
                    [at for at in points if used[at] in joined],
                )
                for norm in norms
            ]
            if any(each.points for each in series):
                names = [places[place] for place in used]
                made.append(Panel(title.format(TITLES[metric]), names, series))
        return made

    order = ""
    if len(shown) > len(ordered):
        order = " Severities without an order are not joined by lines."
    if changes:
        nothing = {"mean": 0.0, "low": 0.0, "high": 0.0}
        clean = {(norm, metric, 0): nothing for norm, metric, _ in changes}
        yield Curves(
            panels({**clean, **changes}, "change of {}"),
            f"Change from clean under {noise} noise, above 0 is worse; bands and bars are "
            f"95 % intervals, paired over training seeds and photographs.{order}",
        )
    yield Curves(
        panels(levels, "{}"),
        f"Means under {noise} noise, less is better; bands and bars are 95 % intervals "
        f"for other training seeds and other photographs.{order}",
    )


def _tables(summary: dict[str, Any]) -> Iterator[Block]:
    loss = summary["loss"]
    formula = formula_of(loss["content_weight"], loss["style_weight"])
    by = f", by {summary['loss_network']}" if summary.get("loss_network") else ""
    terms = [
        (TITLES[name], text.format(formula=formula + by), source)
        for name, (text, source) in _SOURCE.items()
        if any(name in cell["metrics"] for cell in summary["cells"])
    ]
    share = (
        "share brought back",
        "(BN − X) / (BN − IN), with its 95 % set, over training seeds and photographs",
        "Fieller 1954; robust: robust.stats.share.",
    )
    interval = (
        "interval",
        "two-way crossed random effects: holds for other training seeds and other photographs",
        "Banerjee 1960; robust: robust.stats.intervals.",
    )
    visible = (
        "smallest visible effect",
        "what such a 95 % interval tells from nothing with 80 % power",
        "robust: robust.stats.power.",
    )
    yield Shown(table(summary), "Means", [*terms, share, interval])
    if summary.get("changes"):
        yield Shown(_changes(summary), "Change from clean", [*terms[:1], interval, visible])
    yield Shown(_shares(summary), "Shares of IN's advantage", [*terms[:1], share, visible])
    yield Shown(details(summary), "Every severity", [*terms, interval])
    yield Text([about(summary)])


def _changes(summary: dict[str, Any]) -> Table:
    rows = []
    for change in summary["changes"]:
        found, visible = change["change"], change["visible"]
        ends = "" if found["low"] is None else f"{found['low']:+.4f} to {found['high']:+.4f}"
        sure = found["low"] is not None and (found["low"] > 0 or found["high"] < 0)
        word = "rises" if sure and found["low"] > 0 else "falls" if sure else "not seen to change"
        rows.append(
            (
                title_of(change["variant"]), change["situation"], TITLES[change["metric"]], word,
                f"{change['clean']['mean']:.4f}", f"{change['attacked']['mean']:.4f}",
                f"{found['mean']:+.4f}", ends, "" if sure or visible is None else f"{visible:.4f}",
            )
        )  # fmt: skip
    head = (
        "variant", "noise", "measure", "answer", "clean", "attacked", "change", "95 % interval",
        "smallest visible",
    )  # fmt: skip
    return Table(head, rows, words=3, caption="paired over training seeds and photographs")


def _shares(summary: dict[str, Any]) -> Table:
    rows = [
        (
            title_of(share["variant"]),
            title_of(share["against"]) if share["against"] else "90 %",
            share["situation"],
            TITLES[share["metric"]],
            str(share["answer"]),
            percent_of(share),
            _note(share).rpartition(": ")[2],
        )
        for share in summary["shares"]
    ]
    head = ("variant", "more than", "situation", "measure", "answer", "share", "smallest visible")
    return Table(head, rows, words=4, caption="of IN's advantage over BN in the same situation")


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Draws belong to the noise; which images there were, the page shows."""
    return {**facts, "seed": f"{facts['seed']} (of the noise)"} if "seed" in facts else facts


def _index(folder: Path) -> dict[str, Any]:
    """The kept pictures; those of a run from before they were kept are none."""
    path = folder / "pictures" / "index.json"
    if not path.is_file():
        return {"contents": {}, "outputs": []}
    found: dict[str, Any] = read_json(path)
    return found


def _read(folder: Path, name: str) -> bytes:
    """A kept picture, by its name in the index.

    Raises:
        InputError: a name that no run gives, such as one that leads out of the folder.
    """
    if not _FILE.fullmatch(name):
        raise InputError(f"{folder / 'pictures'}: {name!r} is no name of a kept picture")
    return (folder / "pictures" / name).read_bytes()


def _severity_shown(summary: dict[str, Any], noise: str) -> str:
    """The strongest severity with an order, or else the last attack."""
    texts = list(dict.fromkeys(c["severity"] for c in summary["cells"] if c["noise"] == noise))
    attacks = [text for text in texts if not parse_severity(noise, text).is_control] or texts
    ordered = [text for text in attacks if parse_severity(noise, text).is_ordered]
    if noise == "batch" and ordered:
        return min(ordered, key=lambda text: int(text))
    return (ordered or attacks)[-1]


def _strips(folder: Path, summary: dict[str, Any], index: dict[str, Any]) -> Iterator[Pictures]:
    """The first photograph, stylised by every variant under the strongest severity of a noise."""
    if not index["outputs"]:
        return
    image = index["outputs"][0]["image"]
    noise = next((each["noise"] for each in index["outputs"] if each["noise"] != CLEAN), CLEAN)
    text = _severity_shown(summary, noise) if noise != CLEAN else ""
    label = f"{noise} noise, {parse_severity(noise, text).label}" if text else CLEAN
    shown = [Picture(_read(folder, index["contents"][image]), f"{image}: photograph", "photograph")]
    for each in index["outputs"]:
        if (each["image"], each["noise"], each["severity"]) == (image, noise, text):
            name = title_of(each["norm"])
            shown.append(
                Picture(
                    _read(folder, each["file"]),
                    f"{image}, stylised by {name} under {label}",
                    name,
                    colour=colour_of(each["norm"]),
                )
            )
    seed = index["training_seed"]
    yield Pictures(shown, f"{image} under {label}; training seed {seed}, first draw.")


def _compare(
    folder: Path, summary: dict[str, Any], index: dict[str, Any], budget: int = BUDGET
) -> Compare | None:
    if not index["outputs"]:
        return None
    by_image: dict[str, dict[tuple[str, str, str], str]] = {
        name: {("content", CLEAN, ""): file} for name, file in index["contents"].items()
    }
    for each in index["outputs"]:
        key = each["norm"], each["noise"], each["severity"]
        by_image[each["image"]][key] = each["file"]
    pictures, spent, read = [], 0, {}
    for found in by_image.values():
        read = {name: _read(folder, name) for name in dict.fromkeys(found.values())}
        spent += sum(map(len, read.values()))
        if pictures and spent > budget:
            break
        pictures.append({key: read[name] for key, name in found.items()})
    names = list(by_image)
    norms = list(dict.fromkeys(each["norm"] for each in index["outputs"]))
    noises = _noises(index["outputs"])
    noise = list(noises)[-1] if len(noises) < 2 else list(noises)[1]
    variants = [(norm, title_of(norm)) for norm in norms]
    variants += [(f"{norm}@clean", f"{title_of(norm)}, clean") for norm in norms]
    note = f"One training seed ({index['training_seed']}), the first draw."
    if len(pictures) < len(names):
        note += (
            f" The page holds the pictures of the first {len(pictures)} of {len(names)} "
            f"photographs ({budget // 2**20} MB); the run's folder has the others in pictures/: "
            f"{_some(names[len(pictures) :])}."
        )
    unkept = len(summary["images"]) - len(names)
    if unkept > 0:
        note += f" Of {unkept} photographs more the run kept no pictures."
    left = "bn" if "bn" in norms else norms[0]
    return Compare(
        names[: len(pictures)],
        noises,
        [*variants, ("content", "photograph")],
        pictures,
        {
            "picture": names[0],
            "noise": noise,
            "severity": _severity_shown(summary, noise) if noise != CLEAN else "",
            "left": left,
            "right": OURS if OURS in norms else norms[-1],
        },
        note,
    )


def _noises(outputs: Iterable[Mapping[str, str]]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, dict[str, str]] = {}
    for each in outputs:
        noise, text = each["noise"], each["severity"]
        label = CLEAN if noise == CLEAN else parse_severity(noise, text).label
        found.setdefault(noise, {})[text] = label
    return {noise: list(labels.items()) for noise, labels in found.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
