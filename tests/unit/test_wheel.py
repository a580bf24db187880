"""What a user gets: the wheel, installed in an environment of its own, and the sdist."""

from __future__ import annotations

import filecmp
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uv import find_uv_bin

from packed import ROOT, both, wheel
from quick import quick_only

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = ("attrs", "httpx", "python-dateutil")
HAS_NO_PLACE = ("test", "conftest", "pipeline", "docs", "examples", "openapi", "benchmarks", "soak")


def needed(lines: Iterable[str], found: set[str]) -> set[str]:
    """Collect the distributions that these lines require here, and what those require."""
    for one in map(Requirement, lines):
        if one.name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(one.name)
            needed(distribution(one.name).requires or [], found)
    return found


def installed(package: Path, folder: Path, *requirements: str) -> Path:
    """Make an environment with the wheel and these requirements, taken from the one of this run, and nothing else."""
    subprocess.run([find_uv_bin(), "venv", "-q", "--python", sys.executable, folder], check=True)
    at = folder / "bin" / "python"
    subprocess.run(
        [find_uv_bin(), "pip", "install", "-q", "--offline", "--no-deps", "--python", str(at), str(package)], check=True
    )
    (site,) = folder.glob("lib/*/site-packages")
    for name in needed(requirements, set()):
        for file in distribution(name).files or []:
            link = site / file.parts[0]
            if not file.parts[0].startswith("..") and not link.exists():
                link.symlink_to(Path(str(distribution(name).locate_file(file.parts[0]))))
    return at


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and its three requirements."""
    return installed(package, tmp_path_factory.mktemp("bare"), *PROJECT["dependencies"])


@pytest.fixture(scope="module")
def about(bare: Path) -> PathDistribution:
    """What the installed package says of itself."""
    (info,) = bare.parents[1].glob("lib/*/site-packages/puzzel_chat-*.dist-info")
    return PathDistribution(info)


def ran(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run that Python, which sees nothing of the checkout."""
    return subprocess.run([python, "-I", *arguments], cwd=python.parent, capture_output=True, text=True)


def test_the_wheel_holds_the_two_packages_and_no_more(about: PathDistribution) -> None:
    """It installs the facade and the generated client, both typed, and no test, pipeline, guide or example."""
    files = [file.parts for file in about.files or [] if not file.parts[0].startswith("..")]
    assert {parts[0] for parts in files if not parts[0].endswith(".dist-info")} == {"puzzel_chat", "puzzel_chat_api"}
    assert {("puzzel_chat", "py.typed"), ("puzzel_chat_api", "py.typed")} <= set(files)
    names = [name for parts in files for name in parts]
    assert [name for name in names if name.startswith(HAS_NO_PLACE) and name != "testing"] == []


def test_three_requirements_and_the_extras_of_users(about: PathDistribution) -> None:
    """Without extras the wheel requires three packages, and no extra is for the project's own work."""
    requirements = [Requirement(line) for line in about.requires or []]
    assert sorted(one.name for one in requirements if one.marker is None) == sorted(REQUIRED)
    extras = set(about.metadata.get_all("Provides-Extra") or [])
    assert extras == PROJECT["optional-dependencies"].keys()
    assert extras.isdisjoint({"dev", "demo", "regenerate", "test", "docs"})


def test_the_package_says_who_made_it_and_under_which_licence(about: PathDistribution) -> None:
    """Licence with its text, authors, addresses, and every Python from the lowest that is allowed."""
    told = about.metadata
    assert (told["License-Expression"], told["License-File"]) == ("MIT", "LICENSE")
    assert "The puzzel-chat maintainers" in (about.read_text("licenses/LICENSE") or "")
    assert told["Author"] == "The puzzel-chat maintainers"
    assert {line.partition(",")[0] for line in told.get_all("Project-URL") or []} == PROJECT["urls"].keys()
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(told.get_all("Classifier") or []))
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert told["Requires-Python"] == f">={pythons[0]}"


def test_the_description_has_only_whole_links(about: PathDistribution) -> None:
    """What an index shows is the README, whose links into the tree lead to the address of the source."""
    targets = re.findall(r"\]\(([^)]+)\)", about.metadata["Description"])
    into_the_tree = re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / "README.md").read_text())
    assert all(target.startswith("https://") for target in targets)
    assert {f"{PROJECT['urls']['Source']}/{target}" for target in into_the_tree} <= set(targets)


def test_both_packages_import_without_extras(bare: Path) -> None:
    """Every public name is there with the three requirements alone."""
    code = "import puzzel_chat, puzzel_chat_api; [getattr(puzzel_chat, name) for name in puzzel_chat.__all__]"
    done = ran(bare, "-c", f"{code}; print(puzzel_chat.__file__)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(bare.parents[1]))


def test_the_pytest_plugin_loads_without_extras(bare: Path) -> None:
    """A plain pytest of someone who installed the wheel alone is not disturbed by the plugin."""
    done = ran(bare, "-c", "import puzzel_chat.testing")
    assert done.returncode == 0 or "No module named 'pytest'" in done.stderr, done.stderr


@pytest.mark.parametrize("start", [["-m", "puzzel_chat", "demo"], ["puzzel-chat", "demo"]], ids=["module", "script"])
def test_the_command_line_names_its_extra(bare: Path, start: list[str]) -> None:
    """Without its extra it says in one line which one to install, and ends with status 2."""
    done = ran(bare, *[str(bare.with_name(word)) if word == "puzzel-chat" else word for word in start])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "puzzel-chat[cli]"' in done.stderr


def test_the_sandbox_names_its_extra(bare: Path) -> None:
    """The sandbox without its extra says which one to install."""
    done = ran(bare, "-c", "from puzzel_chat.sandbox import Sandbox; Sandbox().start()")
    assert "puzzel-chat[sandbox]" in done.stderr


@pytest.mark.parametrize("argument", quick_only({"--help"}, ["--help", "demo"]))
def test_the_installed_command_line_works(package: Path, tmp_path: Path, argument: str) -> None:
    """With `[cli,sandbox]` the wheel shows its help and holds the demo's chat, from an empty environment."""
    extras = [line for extra in ("cli", "sandbox") for line in PROJECT["optional-dependencies"][extra]]
    at = installed(package, tmp_path / "venv", *PROJECT["dependencies"], *extras)
    done = ran(at, "-m", "puzzel_chat", argument)
    assert done.returncode == 0, done.stderr


def test_the_pages_are_a_small_part_of_the_wheel(package: Path) -> None:
    """Less than 150 kB of what is downloaded."""
    with zipfile.ZipFile(package) as packed:
        pages = [one for one in packed.infolist() if one.filename.startswith("puzzel_chat/pages/")]
    assert any(one.filename.endswith("static/desk.js") for one in pages)
    assert sum(one.compress_size for one in pages) < 150_000


SEE = """
from urllib.request import HTTPCookieProcessor, build_opener
from puzzel_chat.pages import Pages
from puzzel_chat.sandbox import Sandbox
with Sandbox() as sandbox, Pages(sandbox) as pages:
    browser = build_opener(HTTPCookieProcessor())
    for address in (pages.url, pages.desk_url, pages.control_url, pages.address("/static/base.js")):
        assert browser.open(address).status == 200
"""


@pytest.mark.slow
def test_the_installed_pages_are_whole(package: Path, tmp_path: Path) -> None:
    """With `[sandbox]` the wheel serves each page and what it needs."""
    at = installed(package, tmp_path / "venv", *PROJECT["dependencies"], *PROJECT["optional-dependencies"]["sandbox"])
    done = ran(at, "-c", SEE)
    assert done.returncode == 0, done.stderr


def test_the_pages_name_their_extra(bare: Path) -> None:
    """Without it they say which one to install."""
    assert "puzzel-chat[sandbox]" in ran(bare, "-c", "import puzzel_chat.pages").stderr


@pytest.mark.slow
def test_an_index_would_take_both_files(package: Path, tmp_path: Path) -> None:
    """The sdist has licence, tests and pipeline; the wheel made from it is that of the tree; neither has a flaw."""
    sdist, again = both(tmp_path)
    assert filecmp.cmp(package, again, shallow=False)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        "requirements.lock",
        "tests/requirements-dev.lock",
    } < names
    check = [sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(again)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
