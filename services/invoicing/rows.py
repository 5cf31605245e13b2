"""Rows of the books as the keys and shares of the core."""

import asyncpg

from services.contract.charges import ChargeKey
from services.invoicing.settle import PostingKey, Share


def charge_key(row: asyncpg.Record) -> ChargeKey:
    """Return what a row of charges is about."""
    return ChargeKey(row["award"], row["item"], row["month"], row["tariff"].isoformat(), row["subject"])


def posting_key(row: asyncpg.Record) -> PostingKey:
    """Return what a row of postings is about."""
    return PostingKey(
        row["institution"], row["department"], row["pool"], row["award"], row["item"], row["month"],
        row["tariff"].isoformat(),
    )  # fmt: skip


def share_of(row: asyncpg.Record) -> Share:
    """Return a row's quantity and amount."""
    return Share(row["quantity"], row["amount"])
