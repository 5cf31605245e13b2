"""A real broker with TLS, SCRAM and rights: a provider writes to its own topic and does nothing else; services work."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from services import contract_store
from services.access import OPERATOR, grants, provider_principal, service_principal, topics_of
from services.kafka import raw_topic
from services.kafka_security import KafkaSettingsError, Security, security
from services.postgres import connect, migrate
from services.stack.process import free_ports
from services.stack.service import Service
from tests.conftest import SMALL
from tests.pipeline import SERVICES, event
from tests.secured import Secured, secured_broker

ALPHA, BETA = raw_topic("alpha"), raw_topic("beta-north")
USERS = [*map(provider_principal, ("alpha", "beta-north", "gone")), *map(service_principal, (*SERVICES, "delivery"))]


@pytest.fixture(scope="module")
def broker() -> Iterator[Secured]:
    with secured_broker(USERS) as secured:
        yield secured


@pytest_asyncio.fixture(scope="module")
async def applied(broker: Secured, postgres: str) -> AsyncIterator[dict[str, Any]]:
    """What the first `plafond topics apply` did."""
    connection = await connect(postgres)
    try:
        await migrate(connection)
        await contract_store.apply(connection, SMALL)
    finally:
        await connection.close()
    yield json.loads(await plafond(broker, postgres, "topics", "apply", "--json"))


async def plafond(broker: Secured, url: str, *words: str, user: str = OPERATOR, status: int = 0) -> str:
    environment = {**os.environ, **broker.environment(user), "PLAFOND_DATABASE_URL": url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *words, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == status, out.decode()
    return out.decode()


async def write(broker: Secured, who: Security, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.servers, request_timeout_ms=5_000, **who.options())
    try:
        await producer.start()
        await producer.send_and_wait(topic, event("alpha", "1"))
    finally:
        await producer.stop()


async def read(broker: Secured, who: Security, topic: str, group: str | None = None) -> int:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.servers, group_id=group, auto_offset_reset="earliest", request_timeout_ms=5_000,
        **who.options(),
    )  # fmt: skip
    try:
        await consumer.start()
        return sum(map(len, (await consumer.getmany(timeout_ms=5_000)).values()))
    finally:
        await consumer.stop()


async def test_topics_and_rights_come_from_the_contract_and_can_be_applied_again(
    broker: Secured, applied: dict[str, Any], postgres: str
):
    assert {ALPHA, BETA, "decisions", "deliveries"} <= set(applied["made"])
    assert len(applied["grants"]["made"]) == len(grants(["alpha", "beta-north", "beta-south"]))
    assert await plafond(broker, postgres, "topics", "apply") == "nothing to do\n"


async def test_a_provider_writes_to_its_own_topic_and_does_nothing_else(broker: Secured, applied: dict[str, Any]):
    alpha = broker.security(provider_principal("alpha"))
    await write(broker, alpha, ALPHA)
    for topic in (BETA, "usage.accepted", "decisions"):
        with pytest.raises(TopicAuthorizationFailedError):
            await write(broker, alpha, topic)
    for topic in (ALPHA, BETA, "charges"):
        with pytest.raises(TopicAuthorizationFailedError):
            assert await read(broker, alpha, topic) == 0
    with pytest.raises((GroupAuthorizationFailedError, TopicAuthorizationFailedError)):
        await read(broker, alpha, ALPHA, group="plafond-ingest")


@pytest.mark.parametrize("name", ["password", "username", "authority", "protocol"])
async def test_nobody_gets_in_as_somebody_else(broker: Secured, applied: dict[str, Any], name: str, tmp_path: Path):
    user = provider_principal("alpha")
    wrong = {
        "password": Security("SASL_SSL", username=user, password="wrong", ca_file=broker.ca_file),
        "username": Security("SASL_SSL", username="nobody", password="wrong", ca_file=broker.ca_file),
        "authority": Security("SASL_SSL", username=user, password=f"of {user}"),
        "protocol": Security(),
    }[name]
    with pytest.raises(KafkaError):
        await asyncio.wait_for(write(broker, wrong, ALPHA), 20)


async def test_what_is_not_granted_any_more_is_taken_back(broker: Secured, applied: dict[str, Any], postgres: str):
    from services.access import Grant, Kind, Operation
    from services.kafka_access import apply_grants

    gone = Grant(provider_principal("gone"), Kind.TOPIC, ALPHA, Operation.WRITE)
    os_environment = broker.environment(OPERATOR)
    made = await _as_operator(
        os_environment, lambda: apply_grants(broker.servers, [*grants(["alpha", "beta-north", "beta-south"]), gone])
    )
    assert made is not None
    assert made.made == [gone]
    await write(broker, broker.security(gone.principal), ALPHA)
    again = json.loads(await plafond(broker, postgres, "topics", "apply", "--json"))["grants"]
    assert [each["principal"] for each in again["taken_back"]] == [gone.principal]
    with pytest.raises(TopicAuthorizationFailedError):
        await write(broker, broker.security(gone.principal), ALPHA)


async def test_usage_goes_through_with_each_service_under_its_own_name(
    broker: Secured, applied: dict[str, Any], postgres: str, tmp_path: Path
):
    ports = free_ports(5)
    running = []
    for number, name in enumerate(SERVICES):
        environment = {
            **broker.environment(service_principal(name)), "PLAFOND_DATABASE_URL": postgres,
            "PLAFOND_PORT": str(ports[number]), "PLAFOND_GATEWAY_PORT": str(ports[4]),
        }  # fmt: skip
        command = [sys.executable, "-m", "services.cli", "run", name]
        log, url = tmp_path / f"{name}.log", f"http://127.0.0.1:{ports[number]}/readyz"
        running.append(Service(name, command, log, lambda environment=environment: environment, url))
    try:
        for service in running:
            service.launch()
        for service in running:
            await asyncio.to_thread(service.wait_until_ready)
        usage = tmp_path / "usage.jsonl"
        usage.write_bytes(b"\n".join(event("alpha", f"through-{number}") for number in range(20)))
        words = ("push", str(usage), "--provider", "alpha", "--kafka", broker.servers)
        await plafond(broker, postgres, *words, user=provider_principal("alpha"))
        connection = await connect(postgres)
        posted = "select coalesce(sum(quantity), 0) from invoicing.posting where side = 'institution'"
        async with asyncio.timeout(60):
            while (found := await connection.fetchval(posted)) < 20:
                await asyncio.sleep(0.2)
        assert found == 21, "and the one that was written to see whether it may be"
        await connection.close()
        assert "clean" in await plafond(broker, postgres, "audit")
    finally:
        for service in running:
            await asyncio.to_thread(service.stop)


async def _as_operator(environment: dict[str, str], work: Any) -> Any:
    from services import kafka_security

    before = dict(os.environ)
    os.environ.update(environment)
    kafka_security.own_security.cache_clear()
    kafka_security._own_options.cache_clear()
    try:
        return await work()
    finally:
        os.environ.clear()
        os.environ.update(before)
        kafka_security.own_security.cache_clear()
        kafka_security._own_options.cache_clear()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "wanted one of PLAINTEXT, SSL"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "MD5"}, "wanted one of SCRAM-SHA-512"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "me"}, "PLAFOND_KAFKA_PASSWORD_FILE"),
        ({"PASSWORD_FILE": "/nowhere"}, "/nowhere can't be read"),
    ],
)
def test_settings_that_are_none_are_refused(environment: dict[str, str], said: str):
    with pytest.raises(KafkaSettingsError, match="PLAFOND_KAFKA_") as error:
        security({f"PLAFOND_KAFKA_{name}": value for name, value in environment.items()})
    assert said in str(error.value)


def test_a_password_is_in_no_text(tmp_path: Path):
    (tmp_path / "password").write_text("hidden\n")
    found = security({
        "PLAFOND_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PLAFOND_KAFKA_USERNAME": "me",
        "PLAFOND_KAFKA_PASSWORD_FILE": str(tmp_path / "password"),
    })  # fmt: skip
    assert found.options()["sasl_plain_password"] == "hidden"
    assert "hidden" not in repr(found)


def test_each_service_waits_for_its_own_topics_alone():
    assert [each.name for each in topics_of("delivery", ["alpha"])] == ["decisions", "deliveries"]
    assert ALPHA in {each.name for each in topics_of("ingest", ["alpha"])}
    assert ALPHA not in {each.name for each in topics_of("rating", ["alpha"])}
