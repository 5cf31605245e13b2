"""Credit notes, invoices issued anew and disputes, through the ledger, the documents, the audit and the topic."""

import asyncio
import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.invoicing.credit import Asked, CreditError, credit
from services.postgres import connect
from tests.conftest import SMALL
from tests.pipeline import Pipeline, event

MARCH, APRIL = "2016-03", "2016-04"
D = Decimal


def number(index: int) -> str:
    return f"SMALL-2016-{index:06}"


async def push(pipeline: Pipeline, *events: bytes) -> None:
    await pipeline.push("beta-north", events)
    await pipeline.through()


async def test_a_line_is_credited_once_and_the_rest_after_it(pipeline: Pipeline):
    await push(pipeline, event("beta-north", "1", quantity="150"), event("beta-north", "2", item="traffic"),
               event("beta-north", "3", subject="EDA", quantity="10"), event("beta-north", "4", subject="pool/mail"))
    print(pipeline.command("close", MARCH))
    print(pipeline.command("invoice", "show", number(1)))
    print(pipeline.command("invoice", "show", number(2)))
    print(pipeline.command("invoice", "show", number(3)))
    print(pipeline.command("invoice", "credit", number(3), "--line", "1", "--reason", "It stood still"))
    print(pipeline.command("invoice", "show", number(3)))
    print(pipeline.command("invoice", "show", number(4)))
    print(pipeline.command("explain", number(4), "--line", "1"))
    print(pipeline.command("explain", number(3), "--line", "1"))
    print(pipeline.command("invoice", "credit", number(3), "--line", "1", "--reason", "It stood still", status=1))
    print(pipeline.command("invoice", "credit", number(3), "--reason", "All wrong", "--borne-by", "supplier"))
    print(pipeline.command("invoice", "credit", number(3), "--reason", "All wrong", status=1))
    print(pipeline.command("invoice", "reissue", number(2), "--reason", "Address"))
    print(pipeline.command("invoice", "dispute", number(1), "--reason", "Address", "--line", "1"))
    print(pipeline.command("invoice", "settle-dispute", "1", "--accepted", "--credit", "--note", "Right"))
    print(pipeline.command("invoice", "disputes"))
    print(pipeline.command("ceilings"))
    print(await pipeline.audit())
    print(pipeline.command("invoices", "export", "--month", MARCH, "--out", "/tmp/h_correct_out"))
    assert 0
