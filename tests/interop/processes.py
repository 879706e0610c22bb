"""Programs that the suite runs, and their end: whatever it starts is gone when the suite is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path


class Trouble(Exception):
    """Something that had to work did not: the check that needed it has failed."""


class TooSlow(Trouble):
    """A program did not come to its end in time."""


class Unavailable(Exception):
    """A server cannot be had here, through no fault of the suite: it is skipped, in CI too."""


class Process:
    """A program in the background, in a process group of its own. What it prints goes to a log."""

    running: list[Process] = []

    def __init__(self, name: str, command: list[str | Path], log: Path, environment: dict[str, str] | None = None):
        self.name, self.log = name, log
        with log.open("wb") as output:
            # Its standard input is a pipe that is never written to. It ends when we do, however that comes about.
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        Process.running.append(self)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, ready, seconds: float = 20):
        """Asks `ready` until it returns something, and returns that."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (found := ready()) is not None:
                return found
            if self.child.poll() is not None:
                raise Trouble(f"{self.name} ended by itself:\n{self.said()[-2000:]}")
            time.sleep(0.02)
        raise Trouble(f"{self.name} was not ready within {seconds:.0f} s:\n{self.said()[-2000:]}")

    def line(self, beginning: str) -> str:
        """Waits for a line that begins so, and returns the rest of it."""

        def find() -> str | None:
            whole, _, _ = self.said().rpartition("\n")
            lines = [line for line in whole.splitlines() if line.startswith(beginning)]
            return lines[0].removeprefix(beginning).strip() if lines else None

        return self.wait_for(find)

    def stop(self) -> None:
        if self in Process.running:
            Process.running.remove(self)
        if self.child.stdin:
            self.child.stdin.close()
        end_group(self.child)

    @classmethod
    def stop_all(cls) -> None:
        for process in reversed(cls.running.copy()):
            process.stop()


def end_group(child: subprocess.Popen) -> None:
    """Ends a program and all that it has started, gently at first."""
    signal_group(child, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5)
    # Whether it obeyed or not: what is left of its group has had its chance.
    signal_group(child, signal.SIGKILL)
    child.wait(5)


def signal_group(child: subprocess.Popen, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def run(command: list[str | Path], seconds: float, folder: Path | None = None) -> tuple[int, str]:
    """Runs a program to its end; returns its exit code and all that it printed."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        start_new_session=True,
        text=True,
        errors="replace",
    )
    try:
        output, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise TooSlow(f"{Path(command[0]).name} took longer than {seconds:.0f} s") from None
    finally:
        if child.returncode is None:
            end_group(child)
    return child.returncode, output
