"""What a user gets: the wheel, in an environment without extras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from packed import wheel

REQUIRED = ("attrs", "httpx", "python-dateutil")


def needed(name: str, found: set[str]) -> set[str]:
    """Collect what a distribution requires without extras, and what those require."""
    if name not in found:
        found.add(name)
        for line in distribution(name).requires or []:
            if "extra ==" not in line and "python_version <" not in line:
                needed(re.split(r"[^\w.-]", line, maxsplit=1)[0], found)
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the wheel's content and its three requirements, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    site = folder / "site"
    zipfile.ZipFile(wheel(folder)).extractall(site)
    for name in needed("httpx", set()) | needed("attrs", set()) | needed("python-dateutil", set()):
        for file in distribution(name).files or []:
            top = site / file.parts[0]
            if not file.parts[0].startswith("..") and not top.exists():
                os.symlink(Path(str(distribution(name).locate_file(file.parts[0]))), top)
    return site


def python(site: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that sees only that folder."""
    program = f"import sys; sys.path.insert(0, {str(site)!r}); {code}"
    return subprocess.run([sys.executable, "-I", "-S", "-c", program, *arguments], capture_output=True, text=True)


def test_two_packages_at_the_top(site: Path) -> None:
    """The wheel installs exactly the facade and the generated client, both typed."""
    ours = {path.name for path in site.iterdir() if not path.is_symlink()}
    assert {name for name in ours if not name.endswith(".dist-info")} == {"puzzel_chat", "puzzel_chat_api"}
    assert (site / "puzzel_chat" / "py.typed").exists()
    assert (site / "puzzel_chat_api" / "py.typed").exists()


def test_three_requirements(site: Path) -> None:
    """Without extras the wheel requires three packages."""
    (metadata,) = site.glob("puzzel_chat-*.dist-info/METADATA")
    lines = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata.read_text(), re.MULTILINE)
    assert sorted(lines) == sorted(REQUIRED)


def test_both_packages_import_without_extras(site: Path) -> None:
    """Every public name is there with the three requirements alone."""
    code = "import puzzel_chat, puzzel_chat_api; [getattr(puzzel_chat, name) for name in puzzel_chat.__all__]"
    done = python(site, f"{code}; print(puzzel_chat.__file__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))


def test_the_pytest_plugin_loads_without_extras(site: Path) -> None:
    """A plain pytest of someone who installed the wheel alone is not disturbed by the plugin."""
    done = python(site, "import puzzel_chat.testing")
    assert done.returncode == 0 or "No module named 'pytest'" in done.stderr, done.stderr


def test_the_command_line_names_its_extra(site: Path) -> None:
    """`puzzel-chat` without its extra says in one line which one to install, and ends with status 2."""
    done = python(site, "from puzzel_chat.cli import main; sys.exit(main())", "demo")
    assert done.returncode == 2
    assert 'pip install "puzzel-chat[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sandbox_names_its_extra(site: Path) -> None:
    """The sandbox without its extra says which one to install."""
    done = python(site, "from puzzel_chat.sandbox import Sandbox; Sandbox().start()")
    assert "puzzel-chat[sandbox]" in done.stderr
