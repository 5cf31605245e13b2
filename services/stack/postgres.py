"""One PostgreSQL server on this machine, on the loopback, with a password made for it.

Set as a server is, not as a toy: a commit is on disk when it returns.
"""

import os
import secrets
import shutil
import signal
from pathlib import Path

from services.stack.postgres_files import find_installation, home, reachable_programs, server_account
from services.stack.process import LOOPBACK, Account, Process, StackError, require_free, run, wait_until

USER = "plafond"
_START_SECONDS = 60
_STOP_SECONDS = 30

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "512MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "track_commit_timestamp": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


class PostgresServer:
    """A server whose data, password and log are in one folder (or elsewhere, see postgres_files.home)."""

    def __init__(self, folder: Path, port: int, *, log: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.log = log or self.folder / "postgres.log"
        self.process: Process | None = None

    def url(self, database: str) -> str:
        """Return a database's URL; the server must have been started once."""
        return f"postgresql://{USER}:{self._password()}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers; what was in the folder is there again."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> Process:
        """Start it without waiting."""
        require_free(self.port, "PostgreSQL")
        account = server_account()
        place = home(self.folder, account)
        data = place / "data"
        programs = reachable_programs(find_installation(data), place, account)
        if not data.exists():
            self._make(programs, place, account)
        settings = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
        command = [str(programs / "postgres"), "-D", str(data), f"--port={self.port}", *settings]
        self.process = Process.start(command, self.log, folder=data, account=account)
        return self.process

    def wait_until_ready(self) -> None:
        """Wait until it takes connections."""
        process = self.process
        assert process is not None, "launch() comes first"
        wait_until(lambda: self._is_ready(process), _START_SECONDS, "PostgreSQL's start", process)

    def stop(self) -> None:
        """Stop it cleanly; open connections are closed (its fast shutdown)."""
        if self.process is not None:
            self.process.stop(_STOP_SECONDS, signal.SIGINT)

    def kill(self) -> None:
        """End it and its backends at once, as a crash would."""
        if self.process is not None:
            self.process.kill()

    def destroy(self) -> None:
        """Stop it and delete its data, wherever they are."""
        self.stop()
        if self.folder.exists():
            shutil.rmtree(self._place(), ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str) -> None:
        """Create a database unless it is there; the server must run."""
        programs = find_installation(self._place() / "data").folder
        command = [str(programs / "createdb"), f"--host={LOOPBACK}", f"--port={self.port}", f"--username={USER}", name]
        result = run(command, environment={"PGPASSWORD": self._password(), "LC_ALL": "C"})
        if result.returncode != 0 and "already exists" not in result.stderr:
            raise StackError(f"the database {name} could not be created: {result.stderr.strip()}")

    def _place(self) -> Path:
        link = self.folder / "elsewhere"
        return link.resolve() if link.is_symlink() else self.folder

    def _password(self) -> str:
        try:
            return (self._place() / "password").read_text("ascii").strip()
        except FileNotFoundError:
            raise StackError(f"there is no PostgreSQL in {self.folder} yet") from None

    def _is_ready(self, process: Process) -> bool:
        """Whether the server's own status file says so, as pg_ctl asks it."""
        try:
            lines = (self._place() / "data" / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(process.identity.pid) and lines[7].strip() == "ready"

    def _make(self, programs: Path, place: Path, account: Account | None) -> None:
        """Make the data, aside and then renamed, so that half-made data are never taken for whole."""
        aside = place / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        password = place / "password"
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
        if account is not None:
            os.chown(aside, account.user, account.group)
            os.chown(password, account.user, account.group)
        options = [
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            f"--username={USER}",
            f"--pwfile={password}",
        ]
        command = [str(programs / "initdb"), "-D", str(aside), *options]
        result = run(command, environment={"LC_ALL": "C"}, folder=place, account=account)
        if result.returncode != 0:
            raise StackError(f"initdb failed: {result.stderr.strip()}")
        aside.rename(place / "data")
