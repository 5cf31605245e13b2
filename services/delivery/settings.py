"""Which ways documents go, from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.delivery.smtp import MailServer, mail_server
from services.delivery.store import Store

MAIL_BYTES_MAX = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways that documents go; None where a channel is not set up.

    `sender` is whom e-mails are from, the coordinator's first address where it is empty; more than `mail_bytes_max`
    bytes are not attached. `documents` is the folder of made documents.
    """

    documents: Path
    mail: MailServer | None
    sender: str
    mail_bytes_max: int
    store: Store | None


def ways(environment: Mapping[str, str] = os.environ) -> Ways:
    """Read PLAFOND_DOCUMENTS, PLAFOND_SMTP_URL, PLAFOND_MAIL_FROM, PLAFOND_MAIL_BYTES_MAX and PLAFOND_STORE_URL.

    PLAFOND_SMTP_URL_FILE names a file with the URL instead. Raises ValueError naming what is wrong.
    """
    smtp_url, store_url = _secret(environment, "PLAFOND_SMTP_URL"), environment.get("PLAFOND_STORE_URL", "")
    folder = environment.get("PLAFOND_DOCUMENTS")
    if not folder:
        raise ValueError("PLAFOND_DOCUMENTS is not set: name a folder for the documents that are made")
    size = environment.get("PLAFOND_MAIL_BYTES_MAX", str(MAIL_BYTES_MAX))
    if not size.isascii() or not size.isdigit():
        raise ValueError(f"PLAFOND_MAIL_BYTES_MAX is {size!r}: wanted a number of bytes, like {MAIL_BYTES_MAX}")
    try:
        return Ways(
            Path(folder),
            mail_server(smtp_url) if smtp_url else None,
            environment.get("PLAFOND_MAIL_FROM", ""),
            int(size),
            Store(store_url) if store_url else None,
        )
    except ValueError as error:
        raise ValueError(f"PLAFOND_SMTP_URL or PLAFOND_STORE_URL: {error}") from error


def _secret(environment: Mapping[str, str], name: str) -> str:
    """Return what a variable says, or the file that its `_FILE` names."""
    if path := environment.get(f"{name}_FILE"):
        try:
            return Path(path).read_text("utf-8").strip()
        except OSError as error:
            raise ValueError(f"{name}_FILE: {path} can't be read: {error.strerror}") from error
    return environment.get(name, "")
