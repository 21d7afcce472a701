"""One abuser: `python -m imageward_bench.abuse.abuser KIND PORT SECONDS`.

It repeats its bursts, connects anew when it is cut off, and says at the end how often.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass

from imageward_bench.abuse.kinds import KINDS

# Between bursts and between attempts to connect: an abuser that burns its own processor
# would measure the machine and not the server.
PAUSE_S = 0.002
RECONNECT_S = 0.02
NICENESS = 10


@dataclass
class Deeds:
    """What the abuser did and what became of it."""

    bursts: int = 0
    cuts: int = 0


def misbehave(kind: str, port: int, seconds: float) -> Deeds:
    """Misbehave in one way for some time."""
    deeds, end = Deeds(), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            for _burst in KINDS[kind](port):
                deeds.bursts += 1
                if time.monotonic() > end:
                    return deeds
                time.sleep(PAUSE_S)
        except (ConnectionError, TimeoutError):
            deeds.cuts += 1
            time.sleep(RECONNECT_S)
    return deeds


def main() -> None:
    """Misbehave as the arguments say; write what was done."""
    os.nice(NICENESS)
    json.dump(asdict(misbehave(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))), sys.stdout)


if __name__ == "__main__":
    main()
