"""Every place that asks a policy is there for a reason: without it a test fails."""

from __future__ import annotations

import os
import subprocess
import sys

from .mutants import MUTANTS, ROOT, SOURCE, unlisted

EVERY = 1 if os.environ.get("MUTANTS") == "all" else 24
"""Of how many mutants one is run here; ``python -m tests.access.mutants`` runs all."""


def test_every_mutant_can_be_made() -> None:
    """What it replaces is there, just once, and what it puts there is something else."""
    for mutant in MUTANTS:
        text = (SOURCE / "carboy" / mutant.file).read_text()
        assert text.count(mutant.old) == 1, mutant
        assert mutant.old != mutant.new
    assert len(set(MUTANTS)) == len(MUTANTS) > 90


def test_every_place_that_asks_a_policy_has_a_mutant() -> None:
    """A new one needs a mutant and a test, or a reason why it can't have one."""
    assert list(unlisted()) == []


def test_mutants_are_killed() -> None:
    """Some of them, in a process of their own."""
    numbers = [str(number) for number in range(0, len(MUTANTS), EVERY)]
    command = [sys.executable, "-m", "tests.access.mutants", *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(numbers)} mutants, {len(numbers)} killed" in done.stdout
