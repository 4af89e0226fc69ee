"""MkDocs hook: the pages that are made from the program itself, and a check of the built site.

*Use* has a page for each command, made from the command's own help and, where there is one, a
worked example (``docs/examples/COMMAND.md``). *API* has a page for each package, made from the
names that it exports. ``CONTRIBUTING.md`` and ``CHANGELOG.md`` come from the root.
"""

from __future__ import annotations

import ast
import html
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from robust.cli import COMMANDS, main
from robust.report import escape
from robust.report.table import Cell, Table

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PACKAGES = (
    "robust", "robust.norm_noise", "robust.suites",
    "asr_core", "asr_core.data", "asr_core.training",
    "styletransfer",
)  # fmt: skip
# Shown with a package, although it exports them by another name or not at all.
BESIDE = {"robust": ("robust.style.options.attack_job", "robust.style.job.AttackResult")}
FROM_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md")

# What a browser loads by itself; a link that a reader follows is none of these.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\s(?:src|srcset)=["']?(?P<src>[^"'\s>]+)
    |<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon|manifest|modulepreload))
        [^>]*\shref=["']?(?P<href>[^"'\s>]+)
    |(?:@import\s+|url\()["']?(?P<css>[^"')\s]+)""",
    re.VERBOSE,
)
_ROLE = re.compile(r":(?:class|func|mod|meth|attr|data|exc):<code>~?([\w.]+)</code>")


def command_page(name: str) -> str:
    """The page of ``robust NAME``: what it is for, a worked example, and the help."""
    context = click.Context(main)
    command = main.get_command(context, name)  # type: ignore[attr-defined]
    file = EXAMPLES / f"{name}.md"
    example = [f"## Example\n\n{file.read_text(encoding='utf-8')}"] if file.exists() else []
    return "\n\n".join([f"# robust {name}", *example, *_help(command, f"robust {name}", context)])


def _help(command: click.Command, path: str, above: click.Context) -> Iterator[str]:
    """What the help of the command called ``path`` says, and that of the commands below it."""
    context = click.Context(command, info_name=path, parent=above)
    group = command if isinstance(command, click.Group) else None
    words = " ".join(
        re.sub(r"\[\S{60,}\]", "[NAME]", piece) for piece in command.collect_usage_pieces(context)
    )
    yield f"{'#' * (2 if above.parent is None else 3)} {'Usage' if above.parent is None else path}"
    yield f"```text\n{path} {words}\n```"
    yield escape_help(command.help or "")
    options = [each for each in command.params if isinstance(each, click.Option)]
    rows = [
        (Cell(option.replace("|", " | "), "code"), meaning)
        for option, meaning in filter(None, (each.get_help_record(context) for each in options))
    ]
    if rows:
        yield Table(("option", "meaning"), rows, words=2).markdown().replace(r"\`", "`")
    if command.epilog:
        yield escape_help(command.epilog)
    for name in group.list_commands(context) if group else ():
        below = group.get_command(context, name)
        yield from _help(below, f"{path} {name}", context)


def escape_help(text: str) -> str:
    """Help as Markdown: paragraphs stay, code in backticks stays, all else is text."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(
        "".join(
            part if part.startswith("`") else escape.markdown(part)
            for part in re.split(r"(`[^`]+`)", paragraph.replace("\n", " "))
        )
        for paragraph in paragraphs
    )


def api_page(package: str) -> str:
    """A page of the public names of ``package``, by mkdocstrings."""
    folder = ROOT.joinpath(*package.split("."))
    source = (folder / "__init__.py").read_text(encoding="utf-8")
    stub = folder / "__init__.pyi"
    exports = ast.parse(stub.read_text(encoding="utf-8") if stub.exists() else source)
    about = (ast.get_docstring(ast.parse(source)) or "").replace("\n::\n", "\n")
    names = [*_exported(package, exports), *BESIDE.get(package, ())]
    return "\n\n".join([f"# {package}", about, *(f"::: {name}" for name in names)])


def _exported(package: str, module: ast.Module) -> Iterator[str]:
    """Where each name that ``module`` imports from ``package`` is defined."""
    for node in module.body:
        if isinstance(node, ast.ImportFrom):
            place = f"{package}.{node.module}" if node.level else str(node.module)
            if place.startswith(f"{package}."):
                yield from (f"{place}.{alias.name}" for alias in node.names)


def on_config(config: Any) -> Any:
    """Put the commands under *Use*, the packages under *API*, docs/results under *Reproduce*."""
    results = sorted(path.name for path in Path(config.docs_dir, "results").glob("*.md"))
    for entry in config.nav:
        if "Use" in entry:
            entry["Use"] += [{name: f"use/{name}.md"} for name in COMMANDS]
        if "Reproduce the paper" in entry:
            entry["Reproduce the paper"] += [f"results/{name}" for name in results]
        if "API" in entry:
            entry["API"] = [{name: f"api/{name}.md"} for name in PACKAGES]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here."""
    made = {f"use/{name}.md": command_page(name) for name in COMMANDS}
    made |= {f"api/{name}.md": api_page(name) for name in PACKAGES}
    for name in FROM_ROOT:
        made[name] = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to pages of the root, as pages of the site."""
    return re.sub(r"\]\(\.\./(CONTRIBUTING|CHANGELOG)\.md", r"](\1.md", markdown)


def on_page_content(text: str, **_: Any) -> str:
    """Docstrings' roles, such as :func:, as links where the site has the name."""
    return _ROLE.sub(
        lambda found: (
            f'<autoref optional identifier="{found[1]}"><code>{found[1].rpartition(".")[2]}</code>'
            "</autoref>"
        ),
        text,
    )


def on_post_build(config: Any) -> None:
    """Refuse a site that asks another host for anything."""
    if asked := foreign(Path(config.site_dir)):
        raise PluginError("the site asks other hosts: " + "; ".join(asked))


def foreign(site: Path) -> list[str]:
    """What pages and styles of ``site`` load from elsewhere, each with its file."""
    asked = []
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]):
        for found in _LOADED.finditer(path.read_text(encoding="utf-8")):
            url = html.unescape(found[found.lastgroup or 0])
            if re.match(r"(?:[a-z]+:)?//", url, re.IGNORECASE):
                asked.append(f"{path.relative_to(site)}: {url}")
    return asked
