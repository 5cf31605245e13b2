"""Renders deploy/kubernetes as `kubectl kustomize` does: just what its kustomizations use, so that no other program is needed.

Resources in order, then components, then patches, then the namespace, replicas and images.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
_KNOWN = {"apiVersion", "kind", "namespace", "resources", "components", "patches", "replicas", "images"}
_WITHOUT_NAMESPACE = {"Namespace"}


def load(path: Path) -> list[Document]:
    """Return the documents of a file."""
    return [each for each in yaml.load_all(path.read_text("utf-8"), yaml.CSafeLoader) if each]


def render(folder: Path) -> list[Document]:
    """Return what a kustomization comes to."""
    return _extend([], folder)


def _extend(documents: list[Document], folder: Path) -> list[Document]:
    """Add to documents what a kustomization has, and change them as it says; of a component, those of its parent, too."""
    [said] = load(folder / "kustomization.yaml")
    assert said.keys() <= _KNOWN, f"{folder}: {said.keys() - _KNOWN} is not rendered here"
    documents = [*documents]
    for name in said.get("resources", []):
        place = folder / name
        documents += render(place) if place.is_dir() else load(place)
    for name in said.get("components", []):
        documents = _extend(documents, folder / name)
    for each in said.get("patches", []):
        assert each.keys() == {"path"}, f"{folder}: patches are whole files"
        [patch] = load(folder / each["path"])
        documents = [merged(one, patch) if identity(one) == identity(patch) else one for one in documents]
    return [_changed(each, said) for each in documents]


def identity(document: Document) -> tuple[str, str]:
    """Return what tells a document from others in a namespace."""
    return document["kind"], document["metadata"]["name"]


def merged(value: Any, patch: Any) -> Any:
    """Merge a patch into a custom resource: objects by key, null takes away, anything else is put in its place."""
    if not isinstance(value, dict) or not isinstance(patch, dict):
        return deepcopy(patch)
    whole = {key: merged(value.get(key), each) for key, each in patch.items() if each is not None}
    return {key: each for key, each in value.items() if key not in patch} | whole


def _changed(document: Document, said: Document) -> Document:
    document = deepcopy(document)
    namespace = said.get("namespace")
    if namespace and document["kind"] in _WITHOUT_NAMESPACE:
        document["metadata"]["name"] = namespace
    elif namespace:
        document["metadata"]["namespace"] = namespace
    for each in said.get("replicas", []):
        if identity(document) == ("Deployment", each["name"]):
            document["spec"]["replicas"] = each["count"]
    for each in said.get("images", []):
        for container in containers(document):
            if container["image"].partition(":")[0] == each["name"]:
                container["image"] = f"{each['newName']}:{each['newTag']}"
    return document


def pod(document: Document) -> Document | None:
    """Return the pod's template that a document has, if any."""
    spec = document.get("spec", {})
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Document | None = spec.get("template") if document["kind"] in {"Deployment", "Job", "CronJob"} else None
    return template


def containers(document: Document) -> list[Document]:
    """Return the containers that a document starts."""
    template = pod(document)
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]] if template else []
