"""The folders, the package list and the pinned tree agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOLDERS = {"flowtui.cache": "cache", "flowtui.engine": "engine", "flowtui.tui": "tui"}


def test_the_package_list_equals_the_folders_with_an_init() -> None:
    found = {"flowtui": "src/flowtui"}
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            found[".".join((package, *parts))] = "/".join((folder, *parts))
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found)
    assert PROJECT["tool"]["setuptools"]["package-dir"] == found


def test_every_folder_with_modules_is_a_package() -> None:
    for folder in FOLDERS.values():
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), f"{module} lies in no package"


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_the_links_for_static_tools_are_relative(folder: str) -> None:
    link = ROOT / "src" / "flowtui" / folder
    if not link.is_symlink():
        pytest.skip("a source distribution holds no links: only tools that read a checkout need them")
    assert str(link.readlink()) == f"../../{folder}"


@pytest.mark.parametrize(("package", "folder"), FOLDERS.items())
def test_folders_refuse_other_names(package: str, folder: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {folder}"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert f"import this package as {package}" in done.stderr


def test_the_constraints_pin_the_whole_tree() -> None:
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line)
            assert match, f"{line!r} pins nothing, or a build that only one place has"
            pinned[canonicalize_name(match[1])] = match[2]
    project = PROJECT["project"]
    waiting = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["dev"])]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            # torch's own CUDA packages depend on the build, and torch pins each of them itself.
            if not re.match(r"nvidia-|cuda-|triton", name):
                assert name in pinned, f"{name} is not pinned"
                assert requirement.specifier.contains(pinned[name], prereleases=True), (
                    f"{name}: {requirement.specifier}"
                )
            try:
                needed = [Requirement(text) for text in requires(requirement.name) or ()]
            except PackageNotFoundError:
                continue
            waiting += [r for r in needed if r.marker is None or r.marker.evaluate({"extra": extra})]
    assert pinned["torch"] == "2.13.0"
    assert len(seen) > 40
