"""``python -m carboy.cli``, where the command itself isn't on the path."""

from . import main

main(prog_name="carboy")
