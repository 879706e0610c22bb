"""Debian's packages, unpacked into a folder. Nothing is installed: that needs no root, and no service is started."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from processes import Trouble, Unavailable
from server import Installation

OUT_OF_REACH = re.compile(
    "Unable to locate package|has no installation candidate|Could not resolve|Failed to fetch|Unable to fetch"
)
"""What apt says where there is no network, or its sources do not have a package."""


def unpack(packages: list[str], store: Path) -> Path:
    """The packages, and those that they need and the machine lacks. Returns what would be `/`."""
    root, unpacked, mark = store / "root", store / "unpacked", " ".join(packages)
    if unpacked.exists() and unpacked.read_text() == mark:
        return root
    for tool in ["apt-get", "dpkg-deb"]:
        if not shutil.which(tool):
            raise Unavailable(f"there is no {tool}, and its packages are Debian's")
    shutil.rmtree(store, ignore_errors=True)
    for folder in ["lists/partial", "cache/archives/partial", "root"]:
        (store / folder).mkdir(parents=True)
    installation = Installation()
    download(packages, store, installation)
    for package in (store / "cache/archives").glob("*.deb"):
        code, output = installation.run(["dpkg-deb", "-x", package, root])
        if code:
            raise Trouble(f"{package.name} cannot be unpacked: {output}")
    for folder in ["lists", "cache"]:
        shutil.rmtree(store / folder)
    unpacked.write_text(mark)
    return root


def download(packages: list[str], store: Path, installation: Installation) -> None:
    options = {
        "Dir::State::Lists": store / "lists",
        "Dir::State::extended_states": store / "extended_states",
        "Dir::Cache": store / "cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _, lists = installation.run([*apt, "update"])
    wanted = ["--yes", "--no-install-recommends", "--reinstall", "--download-only", "install", *packages]
    code, output = installation.run([*apt, *wanted])
    if code and (reason := OUT_OF_REACH.search(lists + output)):
        raise Unavailable(f"apt cannot fetch it ({reason[0]})")
    if code:
        raise Trouble(f"apt cannot download it:\n{output[-2000:]}")


def libraries(root: Path) -> dict[str, str]:
    """Lets programs from there find their libraries."""
    folders = [*root.glob("usr/lib/*-linux-*"), *root.glob("lib/*-linux-*")]
    return {"LD_LIBRARY_PATH": ":".join(map(str, folders))}
