"""What the stack in a folder consists of, in a file, so that another process can find and stop it.

Every change is read, made and written under the file's lock; a reader sees the state before or after, never between.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from services.stack.process import Identity, Process, StackError


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process that was started."""

    pid: int
    started: str
    log: str

    @classmethod
    def of(cls, process: Process) -> "Record":
        """Record a process."""
        return cls(process.identity.pid, process.identity.started, str(process.log))

    def process(self) -> Process:
        """Return the process, which may have ended."""
        return Process(Identity(self.pid, self.started), Path(self.log))


class State(msgspec.Struct, forbid_unknown_fields=True):
    """The ports of the servers, and the processes in the order they were started."""

    ports: dict[str, int] = {}
    processes: dict[str, Record] = {}


class StateFile:
    """The file that holds a State."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> State:
        """Return the state; an empty one where there is no file."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except msgspec.DecodeError as error:
            raise StackError(
                f"{self.path} can't be read ({error}); delete it once nothing of the stack runs"
            ) from error

    @contextmanager
    def change(self) -> Iterator[State]:
        """Give the state to be changed, and write it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.with_suffix(".lock")):
            state = self.read()
            yield state
            new = self.path.with_suffix(".new")
            new.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
            new.replace(self.path)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock among processes and threads; raises BlockingIOError when another has it and `wait` is false."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
