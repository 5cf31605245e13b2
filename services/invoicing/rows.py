"""What rows of the books are about."""

import asyncpg

from services.contract.charges import ChargeKey
from services.invoicing.settle import PostingKey


def charge_key(row: asyncpg.Record) -> ChargeKey:
    """Return the charge key in a row of what was charged."""
    return ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"])


def posting_key(row: asyncpg.Record) -> PostingKey:
    """Return the posting key in a row of postings or of invoices' lines with their institution."""
    return PostingKey(
        row["institution"], row["department"], row["pool"], row["award"], row["item"], row["month"],
        row["tariff"].isoformat(),
    )  # fmt: skip
