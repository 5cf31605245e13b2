"""How clients prove to Kafka who they are, and Kafka to them: from the environment."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


class KafkaSettingsError(ValueError):
    """What the environment says of Kafka can't be used; the message names the variable and what is wanted."""


@dataclass(frozen=True, slots=True)
class Security:
    """A protocol, and what it needs: who we are, and whose certificates are trusted (None: the system's)."""

    protocol: str = "PLAINTEXT"
    mechanism: str = MECHANISMS[0]
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None

    def options(self) -> dict[str, Any]:
        """Return the options of an aiokafka client."""
        found: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            found["ssl_context"] = self.ssl_context()
        if self.protocol.startswith("SASL"):
            found |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return found

    def ssl_context(self) -> ssl.SSLContext:
        """Return what a broker's certificate is checked by; raises KafkaSettingsError."""
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise KafkaSettingsError(
                f"PLAFOND_KAFKA_CA_FILE: {self.ca_file} has no certificates to trust ({error}); wanted a PEM file"
            ) from error


def security(environment: Mapping[str, str]) -> Security:
    """Read PLAFOND_KAFKA_SECURITY_PROTOCOL, _SASL_MECHANISM, _USERNAME, _PASSWORD or _PASSWORD_FILE, and _CA_FILE.

    Raises KafkaSettingsError.
    """
    protocol = environment.get("PLAFOND_KAFKA_SECURITY_PROTOCOL", PROTOCOLS[0])
    mechanism = environment.get("PLAFOND_KAFKA_SASL_MECHANISM", MECHANISMS[0])
    for name, value, known in (("SECURITY_PROTOCOL", protocol, PROTOCOLS), ("SASL_MECHANISM", mechanism, MECHANISMS)):
        if value not in known:
            raise KafkaSettingsError(f"PLAFOND_KAFKA_{name} is {value!r}: wanted one of {', '.join(known)}")
    found = Security(
        protocol, mechanism, environment.get("PLAFOND_KAFKA_USERNAME", ""), _password(environment),
        environment.get("PLAFOND_KAFKA_CA_FILE") or None,
    )  # fmt: skip
    if protocol.startswith("SASL") and not (found.username and found.password):
        raise KafkaSettingsError(
            f"PLAFOND_KAFKA_SECURITY_PROTOCOL is {protocol}: wanted PLAFOND_KAFKA_USERNAME as well, and "
            "PLAFOND_KAFKA_PASSWORD or PLAFOND_KAFKA_PASSWORD_FILE"
        )
    return found


@cache
def own_security() -> Security:
    """Return what this process's environment says."""
    return security(os.environ)


def client(servers: str) -> dict[str, Any]:
    """Return the options by which any client of ours finds and trusts its brokers; raises KafkaSettingsError."""
    return {"bootstrap_servers": servers, **_own_options()}


@cache
def _own_options() -> dict[str, Any]:
    return own_security().options()


def _password(environment: Mapping[str, str]) -> str:
    path = environment.get("PLAFOND_KAFKA_PASSWORD_FILE")
    if not path:
        return environment.get("PLAFOND_KAFKA_PASSWORD", "")
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise KafkaSettingsError(f"PLAFOND_KAFKA_PASSWORD_FILE: {path} can't be read: {error.strerror}") from error
