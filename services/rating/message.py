"""The message of `charges`: what a batch of charges tells invoicing."""

from collections.abc import Iterable
from decimal import Decimal

from services.avro import codec
from services.contract.charges import ChargeKey
from services.contract.money import plain
from services.kafka import CHARGES, Message


def charge_message(
    batch: str, version: int, contract: str, accepted_at: int, charges: Iterable[tuple[ChargeKey, Decimal, Decimal]]
) -> Message:
    """Return the message for charges, each with quantity and amount.

    `contract` is the SHA-256 of the version's file, `accepted_at` is in microseconds since 1970.
    """
    lines = [
        {**key._asdict(), "quantity": plain(quantity), "amount": plain(amount)} for key, quantity, amount in charges
    ]
    record = {"batch": batch, "version": version, "contract": contract, "accepted_at": accepted_at, "lines": lines}
    return Message(CHARGES, codec("charge_batch").encode(record), key=batch.encode())
