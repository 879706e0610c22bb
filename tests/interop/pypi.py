"""Packages from PyPI, put into a folder of their own."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from processes import Trouble, Unavailable
from server import Installation

OUT_OF_REACH = re.compile(
    "No matching distribution|Could not find a version|Connection refused|Temporary failure in name resolution|"
    "Name or service not known|Network is unreachable|Read timed out"
)
"""What pip says where there is no network, or its index does not have a package for this Python."""


def fetch(wanted: Path, store: Path) -> Path:
    """What this list pins, and nothing else. Returns the folder that Python has to look in."""
    installation = Installation()
    if installation.run([sys.executable, "-m", "pip", "--version"])[0]:
        raise Unavailable("this Python has no pip")
    packages, installed = store / "packages", store / "installed.txt"
    mark = f"{sys.version}\n{wanted.read_text()}"
    if installed.exists() and installed.read_text() == mark:
        return packages
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1", "--quiet", "install"]
    options = ["--only-binary=:all:", "--no-deps", "--target", packages]
    code, output = installation.run([*pip, *options, "-r", wanted])
    if code and (reason := OUT_OF_REACH.search(output)):
        raise Unavailable(f"pip cannot fetch it ({reason[0]})")
    if code:
        raise Trouble(f"pip cannot install it:\n{output[-2000:]}")
    installed.write_text(mark)
    return packages
