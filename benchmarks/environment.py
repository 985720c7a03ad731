"""The environment in which the peers' packages are: apart from Carboy's own."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from .contest import ROOT, Peer

LOCK = ROOT / "requirements" / "bench.lock"
FOLDER = ROOT / ".venv-bench"


def interpreter(peer: Peer) -> str:
    """The Python that runs a peer; makes its environment, or makes it anew, where that is due.

    Raises subprocess.CalledProcessError.
    """
    return str(_apart()) if peer.apart else sys.executable


def _apart() -> Path:
    stamp, python = FOLDER / "bench.stamp", FOLDER / "bin" / "python"
    if not stamp.exists() or stamp.stat().st_mtime < LOCK.stat().st_mtime:
        print(f"Installing {LOCK.name} into {FOLDER.name} (once; takes a minute)", file=sys.stderr)
        venv.create(FOLDER, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
        stamp.touch()
    return python
