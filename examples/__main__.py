"""Serve an example: EXAMPLE is blog, cars or quickstart; PORT and DATABASE_URL as they say."""

from __future__ import annotations

import signal
import sys


def stop(*_: object) -> None:
    """Leave as if all were done."""
    sys.exit(0)


if __name__ == "__main__":
    # Before all else: the imports alone take long enough for a Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)

    from examples.serve import main

    main()
