"""Schemas of the custom resources in deploy/kubernetes, shortened: what checks a value, without descriptions.

They come from the operators' own manifests (KEDA 2.20.2, Strimzi 1.2.0, CloudNativePG 1.30.0, its Barman Cloud plugin
0.14.0; all Apache-2.0), since no package has them. To take over newer ones, with manifests as the operators publish them:

    .venv/bin/python -m tests.crds scaledobjects.yaml cnpg.yaml 040-Crd-kafka.yaml …
"""

import gzip
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema.validators import Draft202012Validator

FILE = Path(__file__).parent / "data" / "crds.json.gz"
KINDS = {
    "ScaledObject", "TriggerAuthentication", "Kafka", "KafkaNodePool", "KafkaUser", "Cluster", "ScheduledBackup",
    "ObjectStore",
}  # fmt: skip
_CHECKS_NOTHING = {"description", "example"}


@cache
def schemas() -> dict[str, Any]:
    """Return the schemas by `group/version Kind`."""
    known: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))
    return known


def problems(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a custom resource; a field that its schema does not know is wrong, too."""
    schema = schemas()[f"{document['apiVersion']} {document['kind']}"]
    errors = Draft202012Validator(schema).iter_errors(document)
    return [f"{'/'.join(map(str, each.absolute_path))}: {each.message}" for each in errors]


def _strict(schema: Any, *, names: bool = False) -> Any:
    """Shorten a schema, and close its objects: the API server drops fields that it does not know without a word."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {key: _strict(value) for key, value in schema.items()}
    short = {
        key: _strict(value, names=key == "properties")
        for key, value in schema.items()
        if key not in _CHECKS_NOTHING and not key.startswith("x-")
    }
    if schema.get("x-kubernetes-int-or-string"):
        short.pop("type", None)
    closed = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    return {**short, "additionalProperties": False} if closed and "additionalProperties" not in short else short


def _read(paths: list[str]) -> Iterator[tuple[str, Any]]:
    for path in paths:
        for each in yaml.load_all(Path(path).read_text("utf-8"), yaml.CSafeLoader):
            if not each or each["kind"] != "CustomResourceDefinition" or each["spec"]["names"]["kind"] not in KINDS:
                continue
            for version in each["spec"]["versions"]:
                schema = _strict(version["schema"]["openAPIV3Schema"])
                schema["properties"].pop("status", None)
                schema["properties"]["metadata"] = {"type": "object"}
                yield f"{each['spec']['group']}/{version['name']} {each['spec']['names']['kind']}", schema


def main() -> None:
    """Write the schemas of the manifests that are named."""
    found = dict(sorted(_read(sys.argv[1:])))
    missing = KINDS - {name.split()[1] for name in found}
    if missing:
        sys.exit(f"no manifest has {', '.join(sorted(missing))}")
    text = json.dumps(found, separators=(",", ":"), sort_keys=True)
    FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
