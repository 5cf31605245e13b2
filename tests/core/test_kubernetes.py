"""deploy/kubernetes is what clusters take, and says what the code says: by the schemas, and by what no schema knows."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from asyncpg import connect_utils
from typer.testing import CliRunner

from services.access import OPERATOR, SERVICES, grants, service_principal
from services.cli import COMMANDS, app
from services.commands.service import PORTS
from services.kafka import (
    ACCEPTED,
    CHARGES,
    FLOW_PARTITIONS,
    INGEST_GROUP,
    INVOICING_GROUP,
    MESSAGE_SIZE_MAX,
    RATING_GROUP,
    RAW_PREFIX,
)
from services.probes import Probes
from services.settings import from_environment
from services.stack.kafka import SETTINGS as BROKER
from services.stack.postgres import SETTINGS as DATABASE
from tests import crds
from tests.kustomize import Document, containers, identity, load, pod, render

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "deploy" / "kubernetes"
WHOLE = ["overlays/10-million", "overlays/1-billion"]
ALONE = ["jobs", "restore", "recover"]
RELEASES = ["1.34", "1.37"]
"""The oldest release of Kubernetes that it is for, and the newest one whose schema there is."""

_CODE = "\n".join(path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py"))
READ = set(re.findall(r"PLAFOND_[A-Z_]*[A-Z]", _CODE)) | set(
    re.findall(r"PG[A-Z]+", Path(connect_utils.__file__).read_text("utf-8"))
)
OUTSIDE = {"plafond-backups", "plafond-ways"}
"""Secrets that a person makes; the operators make all others."""


@pytest.fixture(scope="module", params=WHOLE)
def whole(request: pytest.FixtureRequest) -> list[Document]:
    """An overlay with the jobs that go before it."""
    return render(PLACE / request.param) + render(PLACE / "jobs") + render(PLACE / "recover")


def of(kind: str, documents: list[Document]) -> dict[str, Document]:
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}


def started(documents: list[Document]) -> Iterator[tuple[Document, Document, Document]]:
    """Yield each container with its pod and what starts that."""
    for each in documents:
        for container in containers(each):
            template = pod(each)
            assert template is not None
            yield each, template, container


def problems(document: Document, release: str) -> list[str]:
    if document["kind"] in crds.KINDS:
        return crds.problems(document)
    try:
        kubernetes_validate.validate(document, release, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}"]
    return []


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", WHOLE + ALONE)
def test_every_document_is_valid(name: str, release: str):
    documents = render(PLACE / name)
    assert {identity(each): found for each in documents if (found := problems(each, release))} == {}
    assert len({identity(each) for each in documents}) == len(documents)


@pytest.mark.parametrize(
    ("identity_", "path", "value"),
    [
        (("Deployment", "ingest"), ["spec", "replica"], 2),
        (("Deployment", "ingest"), ["spec", "template", "spec", "containers", 0, "resources", "limits"], "512Mi"),
        (("NetworkPolicy", "nothing"), ["spec", "policyTypes"], "Ingress"),
        (("Kafka", "plafond"), ["spec", "kafka", "listeners", 0, "type"], "inside"),
        (("KafkaUser", "plafond-rating"), ["spec", "authorization", "acls", 0, "operation"], ["Read"]),
        (("Cluster", "plafond-db"), ["spec", "instances"], "three"),
        (("ScaledObject", "rating"), ["spec", "maxReplicas"], 4),
        (("ObjectStore", "plafond-backups"), ["spec", "configuration", "wal", "compression"], "rar"),
    ],
    ids=lambda each: "/".join(map(str, each)) if isinstance(each, list) else None,
)
def test_mistakes_are_found(identity_: tuple[str, str], path: list[Any], value: Any):
    [document] = [each for each in render(PLACE / "overlays/1-billion") if identity(each) == identity_]
    broken = part = deepcopy(document)
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    assert problems(document, RELEASES[0]) == []
    assert len(problems(broken, RELEASES[0])) == 1


def kubectl_renders() -> bool:
    """Tell whether there is a kubectl that knows components: one that says which kustomize is in it."""
    if not shutil.which("kubectl"):
        return False
    done = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and json.loads(done.stdout).get("kustomizeVersion", "v0") >= "v5"


@pytest.mark.skipif(not kubectl_renders(), reason="no kubectl of 1.27 or newer is here, to compare our rendering with")
@pytest.mark.parametrize("name", WHOLE + ALONE)
def test_it_is_rendered_as_kubectl_does(name: str):
    done = subprocess.run(["kubectl", "kustomize", PLACE / name], capture_output=True, text=True, check=True)
    theirs = {identity(each): each for each in yaml.load_all(done.stdout, yaml.CSafeLoader)}
    assert theirs == {identity(each): each for each in render(PLACE / name)}


def test_no_file_is_left_out():
    named = {
        (folder.parent / each).resolve()
        for folder in PLACE.rglob("kustomization.yaml")
        for said in load(folder)
        for each in [
            *said.get("resources", []),
            *said.get("components", []),
            *(p["path"] for p in said.get("patches", [])),
        ]
    }
    files = {path for path in PLACE.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files - named == set()
    assert {path for path in named if path.is_file()} == files


def test_every_setting_is_one_that_is_read(whole: list[Document]):
    maps = of("ConfigMap", whole)
    names = set()
    for _, _, container in started(whole):
        names |= {each["name"] for each in container["env"]}
        for source in container["envFrom"]:
            if "configMapRef" in source:
                names |= maps[source["configMapRef"]["name"]]["data"].keys()
    assert {"PLAFOND_DATABASE_URL", "PLAFOND_KAFKA", "PLAFOND_HOST", "PGSSLMODE"} < names
    assert names - READ == set()


def test_files_that_settings_name_are_mounted(whole: list[Document]):
    maps = of("ConfigMap", whole)
    for starts, template, container in started(whole):
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        [secrets] = [each for each in template["spec"]["volumes"] if "projected" in each]
        there = {
            f"{mounts[secrets['name']]}/{item['path']}"
            for source in secrets["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        settings = [
            maps[each["configMapRef"]["name"]]["data"] for each in container["envFrom"] if "configMapRef" in each
        ]
        wanted = {value for each in settings for value in each.values() if value.startswith("/run/")}
        assert wanted == there, identity(starts)
        talks = {"plafond-kafka" in str(container["envFrom"]), "plafond/to-kafka" in template["metadata"]["labels"]}
        assert len(talks) == 1, identity(starts)


def test_every_command_is_one(whole: list[Document]):
    seen = set()
    for starts, _, container in started(whole):
        program, *words = container["command"]
        assert program == "plafond"
        assert words[0] in COMMANDS, identity(starts)
        if words[0] == "run":
            assert words[1] in PORTS, identity(starts)
            assert words[1:] == [starts["metadata"]["name"]]
        subcommand = [word for word in words[1:2] if word == "apply"]
        shown = CliRunner().invoke(app, [words[0], *subcommand, "--help"], prog_name="plafond", env={"COLUMNS": "200"})
        assert shown.exit_code == 0, shown.output
        assert [word for word in words if word.startswith("--") and word not in shown.output] == []
        seen.add(" ".join(words[:2]))
    assert seen == {
        "run ingest", "run rating", "run invoicing", "run delivery", "migrate", "contract apply", "topics apply", "recover",
        "audit --wait", "close --due",
    }  # fmt: skip


def test_every_image_has_one_tag(whole: list[Document]):
    images = {container["image"] for _, _, container in started(whole)}
    images.add(of("Cluster", whole)["plafond-db"]["spec"]["imageName"])
    for each in images:
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*|[\w./-]+@sha256:[0-9a-f]{64}", each), each
    assert len({each.rpartition(":")[0] for each in images}) == len(images) == 2


def test_every_container_is_confined(whole: list[Document]):
    accounts = of("ServiceAccount", whole)
    for starts, template, container in started(whole):
        who, spec = identity(starts), template["spec"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}, who
        assert container["resources"]["limits"].keys() == {"memory"}, who
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, who
        context = spec["securityContext"]
        assert context["runAsNonRoot"], who
        assert context["runAsUser"] > 10_000, who
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, who
        assert (
            spec["automountServiceAccountToken"] is accounts[spec["serviceAccountName"]]["automountServiceAccountToken"]
        )
        assert spec["automountServiceAccountToken"] is False, who
        # A Service named plafond-… would otherwise set PLAFOND_…_PORT.
        assert spec["enableServiceLinks"] is False, who
        writable = {each["name"] for each in spec["volumes"] if "emptyDir" in each}
        # Faust makes folders in the one that it is started in.
        assert container["workingDir"] in {
            each["mountPath"] for each in container["volumeMounts"] if each["name"] in writable
        }


def test_probes_and_ports_are_the_services(whole: list[Document]):
    answered = {
        each.resource.canonical for each in Probes("127.0.0.1", 0, {})._runner.app.router.routes() if each.resource
    }
    deployments = of("Deployment", whole)
    assert deployments.keys() == PORTS.keys()
    for name, deployment in deployments.items():
        [container] = containers(deployment)
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports["probes"] == PORTS[name]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["path"] == ("/readyz" if probe == "readinessProbe" else "/healthz")
            assert container[probe]["httpGet"]["path"] in answered
            assert container[probe]["httpGet"]["port"] == "probes"
        if "gateway" in ports:
            [port] = of("Service", whole)[name]["spec"]["ports"]
            assert port["targetPort"] == "gateway"


def test_the_gateway_listens_where_it_is_by_default(whole: list[Document], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAFOND_DATABASE_URL", "postgresql://db/plafond")
    monkeypatch.delenv("PLAFOND_GATEWAY_PORT", raising=False)
    default = from_environment(PORTS["ingest"]).gateway_port
    for service in of("Service", whole).values():
        [container] = containers(of("Deployment", whole)[service["metadata"]["name"]])
        assert {"name": "gateway", "containerPort": default} in container["ports"]


def test_workers_may_be_drained_one_at_a_time(whole: list[Document]):
    deployments = of("Deployment", whole)
    budgets = of("PodDisruptionBudget", whole)
    assert budgets.keys() == deployments.keys()
    for name, budget in budgets.items():
        assert budget["spec"]["selector"] == deployments[name]["spec"]["selector"]
        assert budget["spec"]["maxUnavailable"] == 1
    assert deployments["delivery"]["spec"]["replicas"] == 1
    assert deployments["delivery"]["spec"]["strategy"] == {"type": "Recreate"}


def test_workers_are_scaled_by_their_own_lag():
    documents = render(PLACE / "overlays/1-billion")
    wanted = {
        "ingest": (INGEST_GROUP, None),
        "rating": (RATING_GROUP, ACCEPTED),
        "invoicing": (INVOICING_GROUP, CHARGES),
    }
    scaled = of("ScaledObject", documents)
    assert scaled.keys() == wanted.keys()
    for name, each in scaled.items():
        [trigger] = each["spec"]["triggers"]
        assert each["spec"]["scaleTargetRef"] == {"name": name}
        assert (trigger["metadata"]["consumerGroup"], trigger["metadata"].get("topic")) == wanted[name]
        assert trigger["authenticationRef"]["name"] in of("TriggerAuthentication", documents)
        assert 1 < each["spec"]["minReplicaCount"] <= each["spec"]["maxReplicaCount"] <= FLOW_PARTITIONS
        assert "replicas" not in of("Deployment", documents)[name]["spec"]


def test_secrets_are_named_and_not_said(whole: list[Document]):
    assert of("Secret", whole) == {}
    made = of("KafkaUser", whole).keys() | {"plafond-cluster-ca-cert", "plafond-db-app", "plafond-db-ca"}
    named = set()
    for each in whole:
        named |= set(_secrets(each, each["kind"]))
    assert named - made == OUTSIDE
    operators = [each for each in of("KafkaUser", whole) if not each.startswith("provider-")]
    assert set(operators) <= named


def _secrets(value: Any, key: str) -> Iterator[str]:
    """Yield the names of the secrets that something refers to."""
    if isinstance(value, list):
        for each in value:
            yield from _secrets(each, key)
    elif isinstance(value, dict):
        if key in {"secret", "secretRef", "secretKeyRef", "secretTargetRef", "accessKeyId", "secretAccessKey"}:
            yield value["name"]
        for name, each in value.items():
            yield from _secrets(each, name)


def test_nothing_talks_to_anything_that_is_not_named(whole: list[Document]):
    policies = of("NetworkPolicy", whole)
    assert policies["nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = [template["metadata"]["labels"] for _, template, _ in started(whole)]
    for name, policy in policies.items():
        chosen = policy["spec"]["podSelector"]
        if any("plafond" in key for key in chosen.get("matchLabels", {})):
            assert any(chosen["matchLabels"].items() <= each.items() for each in labels), name
    [metrics] = policies["metrics"]["spec"]["ingress"][0]["ports"]
    assert set(range(metrics["port"], metrics["endPort"] + 1)) == set(PORTS.values())
    [gateways] = policies["gateways"]["spec"]["podSelector"]["matchExpressions"]
    assert set(gateways["values"]) == of("Service", whole).keys()


def test_the_brokers_are_set_as_the_measured_one(whole: list[Document]):
    config = of("Kafka", whole)["plafond"]["spec"]["kafka"]["config"]
    differ = {"offsets.topic.replication.factor", "transaction.state.log.replication.factor"} | {
        name for name in BROKER if "isr" in name or "share" in name
    }
    same = config.keys() & BROKER.keys() - differ
    assert {"auto.create.topics.enable", "log.message.timestamp.type", "log.retention.ms", "message.max.bytes"} <= same
    assert {name: _text(config[name]) for name in same} == {name: BROKER[name] for name in same}
    assert config["replica.fetch.max.bytes"] >= config["message.max.bytes"] > MESSAGE_SIZE_MAX
    settings = of("ConfigMap", whole)["plafond-kafka"]["data"]
    [pool] = of("KafkaNodePool", whole).values()
    assert (
        int(settings["PLAFOND_KAFKA_REPLICATION"]) == config["default.replication.factor"] == pool["spec"]["replicas"]
    )
    host, port = settings["PLAFOND_KAFKA"].split(":")
    assert host == "plafond-kafka-bootstrap"
    listeners = {each["port"]: each for each in of("Kafka", whole)["plafond"]["spec"]["kafka"]["listeners"]}
    assert listeners[int(port)]["type"] == "internal"
    for each in listeners.values():
        assert each["tls"] is True
        assert each["authentication"] == {"type": settings["PLAFOND_KAFKA_SASL_MECHANISM"].lower()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_database_is_set_as_the_measured_one():
    set_to = of("Cluster", render(PLACE / "postgres"))["plafond-db"]["spec"]["postgresql"]["parameters"]
    same = set_to.keys() & DATABASE.keys() - {"max_connections"}
    assert same == set_to.keys() - {"max_connections"}
    assert {name: set_to[name] for name in same} == {name: DATABASE[name] for name in same}
    # The smallest release that is measured has as many workers as there are partitions, with a pool each.
    assert int(set_to["max_connections"]) > FLOW_PARTITIONS * (4 + 6 + 6)


def test_a_commit_is_on_two_disks_and_every_change_is_archived(whole: list[Document]):
    spec = of("Cluster", whole)["plafond-db"]["spec"]
    assert spec["instances"] >= 3
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    [plugin] = spec["plugins"]
    assert plugin["isWALArchiver"]
    assert plugin["parameters"]["barmanObjectName"] in of("ObjectStore", whole)
    assert of("ScheduledBackup", whole)["plafond-db"]["spec"]["cluster"] == {"name": "plafond-db"}


def test_what_is_restored_does_not_write_over_the_archive():
    before = of("Cluster", render(PLACE / "postgres"))["plafond-db"]["spec"]
    restored = of("Cluster", render(PLACE / "restore"))["plafond-db"]["spec"]
    [source] = restored["externalClusters"]
    assert "initdb" not in restored["bootstrap"]
    assert restored["bootstrap"]["recovery"]["source"] == source["name"]
    archive = before["plugins"][0]["parameters"]
    assert source["plugin"]["parameters"] == archive
    assert restored["plugins"][0]["parameters"] == archive | {"serverName": "plafond-db-2"}
    changed = {"bootstrap", "externalClusters", "plugins"}
    assert {key: each for key, each in restored.items() if key not in changed} == {
        key: each for key, each in before.items() if key not in changed
    }


def rights(user: Document) -> dict[tuple[str, str, str], set[str]]:
    """Return what a user may do, by kind, pattern and name of what it is about."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for each in user["spec"]["authorization"]["acls"]:
        about = each["resource"]
        found.setdefault((about["type"], about["patternType"], about["name"]), set()).update(each["operations"])
    return found


def test_a_provider_may_write_to_its_own_topic_alone(whole: list[Document]):
    providers = {name: each for name, each in of("KafkaUser", whole).items() if name.startswith("provider-")}
    assert providers
    for name, each in providers.items():
        topic = RAW_PREFIX + name.removeprefix("provider-")
        assert rights(each) == {("topic", "literal", topic): {"Describe", "Write"}}


def test_services_may_do_in_kafka_what_the_code_grants_them_and_no_more(whole: list[Document]):
    users = of("KafkaUser", whole)
    for service in SERVICES:
        granted: dict[tuple[str, str, str], set[str]] = {}
        for each in grants([]):
            if each.principal == service_principal(service):
                place = (each.kind.name.lower(), "prefix" if each.by_prefix else "literal", each.name)
                granted.setdefault(place, set()).add(each.operation.name.capitalize())
        assert rights(users[service_principal(service)]) == granted
    for name, user in users.items():
        assert user["spec"]["authentication"] == {"type": "scram-sha-512"}
        never = {"All", "Delete", "Alter", "ClusterAction"} | (set() if name == OPERATOR else {"AlterConfigs"})
        assert not never & set().union(*rights(user).values()), name
