"""The documentation's site: what is made from the program, and what a build refuses."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from robust.cli import main

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "site"))

from pages import api_page, command_page, escape_help, foreign  # noqa: E402


@pytest.mark.parametrize("name", ["list", "weights"])
def test_a_commands_page_has_each_of_its_options(name: str) -> None:
    page = command_page(name)
    command = main.get_command(click.Context(main), name)  # type: ignore[attr-defined]
    below = command.commands.values() if isinstance(command, click.Group) else ()
    options = [
        option
        for each in (command, *below)
        for parameter in each.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    ]
    assert options
    assert not [option for option in options if f"<code>{option}" not in page]
    assert page.startswith(f"# robust {name}\n\n## Example\n")
    assert not [each.name for each in below if f"### robust {name} {each.name}\n" not in page]


def test_help_is_text_but_for_its_code() -> None:
    text = "\n    Try `a_b <c>` of\n    a|b_ <d>.\n\n    Then [e](f).\n"
    assert escape_help(text) == "Try `a_b <c>` of a\\|b\\_ &lt;d\\>.\n\nThen [e\\](f)."


def test_a_packages_page_has_each_name_that_it_exports() -> None:
    import asr_core
    import asr_core.data

    for package in (asr_core, asr_core.data):
        shown = re.findall(r"^::: (\S+)$", api_page(package.__name__), flags=re.MULTILINE)
        assert {name.rpartition(".")[2] for name in shown} == set(package.__all__)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script async src="https://cdn.example/x.js"></script>'),
        ("a.html", "<img alt=x src=//cdn.example/x.png>"),
        ("a.html", '<link href="https://cdn.example/x.css" rel="stylesheet">'),
        ("a.html", '<link rel="preconnect" href="https://cdn.example">'),
        ("a.html", '<style>@import "http://cdn.example/x.css";</style>'),
        ("deep/a.css", "@font-face{src:url(https://cdn.example/x.woff2)}"),
    ],
)
def test_what_loads_from_elsewhere_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    (asked,) = foreign(tmp_path)
    assert asked.startswith(f"{name}: ")
    assert "cdn.example" in asked


def test_links_that_a_reader_follows_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="canonical" href="https://here.example/"><a href="https://there.example">x</a>'
        '<img src="x.png"><script src="./x.js"></script>'
        "<style>a{b:url(data:image/png;base64,x)}</style>"
    )
    assert foreign(tmp_path) == []


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    built = build("--site-dir", str(tmp_path))
    assert built.returncode == 0, built.stderr
    for name in main.list_commands(None):  # type: ignore[attr-defined, arg-type]
        assert 'id="usage"' in (tmp_path / "use" / f"{name}.html").read_text("utf-8"), name
    pages = {path: path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert 'id="asr_core.asr.fuse.fuse_asr"' in pages[tmp_path / "api" / "asr_core.html"]
    role = re.compile(r":(?:class|func|mod|meth|attr|data|exc):")
    assert not [path.name for path, text in pages.items() if role.search(text)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[x](gone.md)", "gone.md"),
        ("[x](#gone)", "#gone"),
        ("[x](other.md#gone)", "#gone"),
        ("![x](gone.png)", "gone.png"),
        ("[x](/other.md)", "/other.md"),
    ],
)
def test_a_broken_link_ends_the_build(tmp_path: Path, text: str, named: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "other.md").write_text("# Other\n")
    inherited = {"INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": str(docs), "hooks": []}
    file = tmp_path / "mkdocs.yml"
    nav = ["index.md", "other.md"]
    file.write_text(yaml.safe_dump({**inherited, "nav": nav, "plugins": ["search"]}))
    where = ["--config-file", str(file), "--site-dir", str(tmp_path / "site")]
    (docs / "index.md").write_text("# Start\n\n[x](other.md#other)\n")
    built = build(*where)
    assert built.returncode == 0, built.stderr
    (docs / "index.md").write_text(f"# Start\n\n{text}\n")
    built = build(*where)
    assert built.returncode == 1
    assert named in built.stderr
