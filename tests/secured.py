"""A real broker that asks who it is talking to: TLS, SCRAM, and rights that are granted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from services.access import OPERATOR
from services.kafka_security import Security
from services.stack.kafka import KafkaBroker
from services.stack.process import free_ports
from tests.servers import own_folder


class Secured(NamedTuple):
    """Where it is reached, and the file of the authority that its certificate is from."""

    servers: str
    ca_file: str

    def environment(self, user: str) -> dict[str, str]:
        """Return how a user's environment is."""
        return {
            "PLAFOND_KAFKA": self.servers,
            "PLAFOND_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "PLAFOND_KAFKA_USERNAME": user,
            "PLAFOND_KAFKA_PASSWORD": password(user),
            "PLAFOND_KAFKA_CA_FILE": self.ca_file,
        }

    def security(self, user: str) -> Security:
        """Return how a user proves who it is."""
        return Security("SASL_SSL", username=user, password=password(user), ca_file=self.ca_file)


def password(user: str) -> str:
    """Return a user's password."""
    return f"of {user}"


class _Broker(KafkaBroker):
    def __init__(self, folder: Path, users: list[str]) -> None:
        super().__init__(folder, *free_ports(2))
        self._users = users
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._key = folder / "broker.pem"
        own = authority.issue_cert("127.0.0.1")
        key = load_pem_private_key(own.private_key_pem.bytes(), None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # the form that Java reads
        self._key.write_bytes(pkcs8 + b"".join(each.bytes() for each in own.cert_chain_pems))

    def _settings(self) -> str:
        place, login = f"127.0.0.1:{self.port}", "org.apache.kafka.common.security.scram.ScramLoginModule required"
        plain = super()._settings().replace(f"PLAINTEXT://{place}", f"DOOR://{place}")
        plain = plain.replace("map=PLAINTEXT:PLAINTEXT,", "map=DOOR:SASL_SSL,")
        plain = plain.replace("inter.broker.listener.name=PLAINTEXT", "inter.broker.listener.name=DOOR")
        return plain + "".join(
            f"{name}={value}\n"
            for name, value in {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": self._key,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.ca_file,
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
                "listener.name.door.scram-sha-512.sasl.jaas.config":
                    f'{login} username="{OPERATOR}" password="{password(OPERATOR)}";',
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                # The controller's own listener asks nobody who they are, and is for the broker alone.
                "super.users": f"User:{OPERATOR};User:ANONYMOUS",
            }.items()
        )  # fmt: skip

    def _more_to_format(self) -> list[str]:
        return [
            word
            for user in self._users
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password(user)}]")
        ]


@contextmanager
def secured_broker(users: list[str]) -> Iterator[Secured]:
    """Run a broker that knows these users and the operator."""
    with own_folder() as place:
        broker = _Broker(place, [OPERATOR, *users])
        try:
            broker.start()
            yield Secured(broker.bootstrap_servers, str(broker.ca_file))
        finally:
            broker.stop()
