"""Chromium for tests: found on the machine; where it is missing they skip, but not in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
REQUIRED = os.environ.get("CI_BROWSER") == "required"


def chromium() -> Any:
    """A started Playwright and browser as a context; skips the test where there is no browser."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return _missing("the package playwright is not installed")
    if path is None:
        return _missing("no chromium on this machine (Debian: apt install chromium)")

    @contextmanager
    def started() -> Iterator[Any]:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
            yield browser
            browser.close()

    return started()


def _missing(reason: str) -> Any:
    if REQUIRED:
        pytest.fail(f"CI_BROWSER=required, but {reason}")
    pytest.skip(reason)


class Opened:
    """A page that is open, with what its console said and what it asked for."""

    def __init__(self, context: Any, file: Path, fragment: str = "") -> None:
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self._ask(request.url))
        self.page.goto(file.as_uri() + fragment)

    def _ask(self, url: str) -> None:
        if not url.startswith("data:"):
            self.asked.append(url)
