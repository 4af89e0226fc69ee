"""robust.environment: what a reader needs to compare two runs."""

import json
import platform
from importlib import metadata

import pytest
import torch

import robust.environment
from robust.environment import environment


def test_versions_and_hardware_are_those_of_this_run() -> None:
    found = json.loads(json.dumps(environment(torch.device("cpu"))))
    assert found["python"] == platform.python_version()
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["versions"]["numpy"] == metadata.version("numpy")
    assert found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads()


def test_a_library_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust.environment, "_LIBRARIES", ("torch", "no-such-library"))
    versions = environment(torch.device("cpu"))["versions"]
    assert versions == {"torch": metadata.version("torch"), "no-such-library": None}
