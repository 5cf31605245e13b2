"""A service whose clock can be set: `python -m services.chaos.clock FILE run rating`.

FILE holds by how many seconds the clock is off. Only the time of day moves; what measures durations does not, as when
somebody sets a machine's clock. It moves inside Python: libfaketime, preloaded below it, stalls threads for seconds.
"""

import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import time_machine

from services import cli

_LOOK_SECONDS = 0.1


def follow(clock: Path) -> None:
    """Keep the time of day off by what the file says, for ever."""
    traveller = time_machine.travel(datetime.now(UTC), tick=True).start()
    off = 0
    while True:
        wanted = _read(clock, off)
        traveller.shift(float(wanted - off))
        off = wanted
        time.sleep(_LOOK_SECONDS)


def _read(clock: Path, otherwise: int) -> int:
    text = clock.read_text("ascii")
    return int(text) if text.endswith("\n") else otherwise  # it is just being written


def main() -> None:
    """Run the command line that follows the file's name, under its clock."""
    _, clock, *words = sys.argv
    threading.Thread(target=follow, args=(Path(clock),), daemon=True).start()
    sys.argv = ["plafond", *words]
    cli.main()


if __name__ == "__main__":
    main()
