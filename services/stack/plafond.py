"""Plafond on the local stack: servers, schema, contract, keys and the services, ready for usage."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services import contract_store, keys
from services.kafka import ensure_topics, topics
from services.postgres import connect, migrate
from services.stack.local import LocalStack
from services.stack.process import free_ports

SERVICES = ("ingest", "rating", "invoicing")
DELIVERY = "delivery"
_ADDRESSES = "plafond.json"


class Addresses(msgspec.Struct, frozen=True):
    """Where a running stack is reached; `documents` is where institutions fetch theirs."""

    kafka: str
    database_url: str
    gateway: str
    probes: dict[str, str]
    documents: str = ""

    @staticmethod
    def port_of(url: str) -> int:
        """Return the port in an address."""
        return int(url.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class Plafond:
    """A stack and where it is reached."""

    stack: LocalStack
    addresses: Addresses


def servers(stack: LocalStack) -> Plafond:
    """Start Kafka and PostgreSQL, and make the services known to the stack without starting them."""
    stack.up_servers()
    addresses = _addresses(stack)
    gateway = str(addresses.port_of(addresses.gateway))
    for name, url in addresses.probes.items():
        environment = {"PLAFOND_PORT": str(addresses.port_of(url)), "PLAFOND_GATEWAY_PORT": gateway}
        if name == DELIVERY:
            environment |= _of_delivery(stack, addresses)
        stack.add(name, [sys.executable, "-m", "services.cli", "run", name], environment, f"{url}/readyz")
    return Plafond(stack, addresses)


def _of_delivery(stack: LocalStack, addresses: Addresses) -> dict[str, str]:
    """Return what delivery is told: it puts documents into a folder of the stack, unless another store is named."""
    return {
        "PLAFOND_GATEWAY_PORT": str(addresses.port_of(addresses.documents)),
        "PLAFOND_DOCUMENTS": str(stack.folder / "documents"),
        "PLAFOND_STORE_URL": os.environ.get("PLAFOND_STORE_URL", (stack.folder / "delivered").resolve().as_uri()),
    }


def _addresses(stack: LocalStack) -> Addresses:
    """Return where the services listen: where they did when some of them still run, else on free ports."""
    before = addresses_in(stack.folder)
    if before is not None and before.documents and {*SERVICES, DELIVERY} & set(stack.running()):
        return before
    urls = [f"http://127.0.0.1:{port}" for port in free_ports(len(SERVICES) + 3)]
    probes = dict(zip((*SERVICES, DELIVERY), urls, strict=False))
    made = Addresses(stack.bootstrap_servers, stack.database_url, urls[-2], probes, urls[-1])
    (stack.folder / _ADDRESSES).write_bytes(msgspec.json.encode(made))
    return made


async def prepare(plafond: Plafond, contract: str, *, only_if_none: bool = False) -> dict[str, str]:
    """Make schema and topics, apply the contract or leave the one there is, and return new API keys, by provider.

    A provider that has a key goes on with it.
    """
    connection = await connect(plafond.addresses.database_url)
    try:
        await migrate(connection)
        there = await contract_store.newest(connection) if only_if_none else None
        stored = there or await contract_store.apply(connection, contract)
        without = sorted(stored.contract.providers.keys() - await keys.owners_with_keys(connection))
        made = {provider: await keys.create(connection, provider) for provider in without}
    finally:
        await connection.close()
    await ensure_topics(plafond.addresses.kafka, topics(stored.contract.providers))
    return made


def addresses_in(folder: Path) -> Addresses | None:
    """Return where the stack in a folder was last reached; None when there was none."""
    path = folder / _ADDRESSES
    return msgspec.json.decode(path.read_bytes(), type=Addresses) if path.exists() else None
