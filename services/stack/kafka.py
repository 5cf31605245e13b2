"""One Kafka broker on this machine: KRaft, a single node that is broker and controller, on the loopback.

Its jars come by Maven (deploy/local/bootstrap.sh). What is acknowledged survives `kill`: it is in the page cache.
"""

import os
import shutil
from pathlib import Path

from services.stack.process import LOOPBACK, Process, StackError, require_free, run, wait_until

LIBRARIES = Path(__file__).parents[2] / ".cache" / "kafka-4.3.1" / "libs"
_CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
# The quick compiler alone takes a third less CPU, at the start and for the first 300,000 messages (measured).
_JVM = (
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_QUICK = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
_START_SECONDS = 60
_STOP_SECONDS = 20

SETTINGS = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.retention.minutes": "525600",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "log.retention.ms": "-1",
    "log.retention.bytes": "-1",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "message.max.bytes": str(20 * 1024 * 1024),
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
}
"""What our single broker needs, wherever it runs. A killed one is let in again once its session has run out."""


class KafkaBroker:
    """A broker whose data, settings and log are in one folder."""

    def __init__(self, folder: Path, port: int, controller_port: int, *, log: Path | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.controller_port = controller_port
        self.log = log or self.folder / "kafka.log"
        self.process: Process | None = None
        self.proxied: tuple[int, int] | None = None
        """A second listener's port, and the port of the proxy before it, which its clients are told."""

    @property
    def bootstrap_servers(self) -> str:
        """Return where clients find it."""
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers; what was in the folder is there again."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> Process:
        """Start it without waiting."""
        require_free(self.port, "Kafka")
        require_free(self.controller_port, "Kafka's controller")
        command = [_java(), *_JVM, f"-Djava.io.tmpdir={self._temporary}", "-cp", _class_path(), "kafka.Kafka"]
        for folder in (self.folder, self._temporary):
            folder.mkdir(parents=True, exist_ok=True)
        self._settings_file.write_text(self._settings(), "utf-8")
        if not (self._data / "meta.properties").exists():
            self._format()
        self.process = Process.start([*command, str(self._settings_file)], self.log, folder=self.folder)
        return self.process

    def wait_until_ready(self) -> None:
        """Wait until it serves clients."""
        process = self.process
        assert process is not None, "launch() comes first"
        wait_until(lambda: "Kafka Server started" in process.output(), _START_SECONDS, "Kafka's start", process)

    def stop(self) -> None:
        """Stop it cleanly."""
        if self.process is not None:
            self.process.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _temporary(self) -> Path:
        # Beside the log, not on the data's disk: where that is full, the broker could not unpack its zstd library, and
        # a class that failed to load once stays unusable until the next start.
        return self.log.parent / "kafka-tmp"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "server.properties"

    def _settings(self) -> str:
        own = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._data),
        }
        if self.proxied:
            port, proxy = self.proxied
            own["listeners"] += f",PROXIED://{LOOPBACK}:{port}"
            own["advertised.listeners"] += f",PROXIED://{LOOPBACK}:{proxy}"
        return "".join(f"{name}={value}\n" for name, value in {**own, **SETTINGS}.items())

    def _more_to_format(self) -> list[str]:
        """Return what else the storage is made with: the first users of a broker that asks for passwords."""
        return []

    def _format(self) -> None:
        """Make the folder's storage, aside and then renamed, so that a half-made one is never taken for whole."""
        aside = self.folder / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        settings = self.folder / "format.properties"
        settings.write_text(self._settings().replace(f"log.dirs={self._data}\n", f"log.dirs={aside}\n"), "utf-8")
        program = [_java(), *_QUICK, "-cp", _class_path(), "kafka.tools.StorageTool"]
        words = ["--cluster-id", _CLUSTER_ID, "--config", str(settings), *self._more_to_format()]
        result = run([*program, "format", *words])
        if result.returncode != 0:
            raise StackError(f"Kafka's storage could not be made: {(result.stderr or result.stdout)[-2000:].strip()}")
        aside.rename(self._data)
        settings.unlink()


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    if shutil.which(java) is None:
        raise StackError(f"{java} is not there: Kafka needs Java 17 or newer (on Debian: openjdk-17-jre-headless)")
    return java


def _class_path() -> str:
    folder = Path(os.environ.get("PLAFOND_KAFKA_LIBRARIES", LIBRARIES))
    if not any(folder.glob("kafka_*.jar")):
        raise StackError(
            f"Kafka's jars are not in {folder}: deploy/local/bootstrap.sh fetches them (so does any `make`)"
        )
    return f"{folder}/*"
