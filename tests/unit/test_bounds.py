"""The bounds that `pyproject.toml` declares hold: the lowest libraries and the newest, on each Python of this machine.

The libraries come from the package registry. Where none answers these tests are skipped; with TEST_REGISTRY=required,
which `.ci/run` sets, they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from uv import find_uv_bin

from packed import ROOT, wheel

pytestmark = pytest.mark.slow
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = tuple(PROJECT["optional-dependencies"])
TOOLS = ("hypothesis", "pytest-timeout", "pytest-xdist")
JOBS = (
    "tests/cli/test_app.py::test_every_help_is_complete_and_fits",
    "tests/cli/test_demo.py::test_the_demo_holds_a_whole_chat",
    "tests/redis_store/test_redis_chats.py::test_a_chat_goes_on_on_another_machine",
    "tests/replay/test_replay.py::test_scenario[whole_chat-sync]",
    "tests/replay/test_replay.py::test_scenario[whole_chat-async]",
    "tests/sandbox/test_polling_loop.py::test_everything_comes_once_and_in_order",
    "tests/unit/test_transport.py::test_our_requests_leave_no_record_and_those_of_others_do",
    "tests/unit/test_transport.py::test_tls_is_verified",
)
"""Whole jobs, which together use every library; a test that is named here and gone fails the run."""


def ran(*command: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program from the checkout, outside of this run of pytest."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    outer["UV_SYSTEM_CERTS"] = "true"  # the tests' own environment names no certificates
    return subprocess.run(
        [str(one) for one in command], cwd=ROOT, env=outer, input=given, capture_output=True, text=True
    )


def uv(*arguments: object, given: str | None = None) -> str:
    """Run uv and return what it prints."""
    done = ran(find_uv_bin(), *arguments, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def _registry() -> None:
    """The package registry answers."""
    asked = ran(find_uv_bin(), "pip", "compile", "--no-cache", "--python", sys.executable, "-", given="attrs\n")
    if asked.returncode == 0:
        return
    told = f"the package registry does not answer: {asked.stderr}"
    if os.environ.get("TEST_REGISTRY") == "required":
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return wheel(tmp_path_factory.mktemp("bounds"))


def interpreter(python: str) -> str:
    """Find a Python of that version here: this one, on the PATH, or of pyenv; skip without one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    known = (sys.executable, shutil.which(f"python{python}"), *pyenv.glob(f"{python}.*/bin/python"))
    for one in filter(None, known):
        if ran(one, "-c", "import sys; print(*sys.version_info[:2], sep='.')").stdout.strip() == python:
            return str(one)
    pytest.skip(f"this machine has no Python {python}")


def lowest() -> dict[str, Version]:
    """Return each library that is declared, and its lowest version."""
    declared = [*PROJECT["dependencies"], *(one for extra in EXTRAS for one in PROJECT["optional-dependencies"][extra])]
    bounds = {one.name: one.specifier for one in map(Requirement, declared)}
    return {name: Version(one.version) for name, all_of in bounds.items() for one in all_of if one.operator == ">="}


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize("libraries", ["lowest-direct", "highest"])
@pytest.mark.parametrize("python", PYTHONS)
def test_whole_jobs(python: str, libraries: str, package: Path, tmp_path: Path) -> None:
    """Help, demo, a recorded chat, many chats at once and TLS go well with the lowest libraries and with the newest."""
    uv("venv", "--python", interpreter(python), tmp_path / "venv")
    at = tmp_path / "venv" / "bin" / "python"
    install = ("pip", "install", "--python", at)
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    uv(*install, "--resolution", libraries, "-r", ROOT / "pyproject.toml", *extras)
    uv(*install, "--no-deps", package)
    uv(*install, *(f"{tool}=={version(tool)}" for tool in TOOLS))
    installed = dict(line.split("==") for line in uv("pip", "freeze", "--python", at).splitlines() if "==" in line)
    if libraries == "lowest-direct":
        assert {name: Version(installed[name]) for name in lowest()} == lowest()
    # What the libraries warn each other of is theirs.
    done = ran(at, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", *JOBS)
    assert done.returncode == 0, f"{done.stdout}\n{installed}"
