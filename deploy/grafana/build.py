"""Write the dashboards' JSON, after every change to them: `.venv/bin/python -m deploy.grafana.build`."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.coordinator import coordinator
from deploy.grafana.operations import operations
from deploy.grafana.provider import provider

FOLDER = Path(__file__).parent / "dashboards"
MADE_BY = {"operations": operations, "finance-coordinator": coordinator, "provider": provider}


def dashboards() -> dict[Path, str]:
    """Return each dashboard's file and its text."""
    return {
        FOLDER / f"{name}.json": json.dumps(make().build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, make in MADE_BY.items()
    }


if __name__ == "__main__":
    for path, text in dashboards().items():
        path.write_text(text, "utf-8")
