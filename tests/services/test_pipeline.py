"""Usage in, statements and ceilings out: the whole way, with numbers that can be checked by hand.

The tests of this file share one running stack and build on each other's usage, in the order they stand in.
"""

import asyncio
import hashlib
import json
import random
from decimal import Decimal
from pathlib import Path

import aiokafka
import pytest

from services.avro import codec
from services.contract.model import payer
from services.documents.files import FORMS
from services.documents.month_files import MONTH_FILES
from services.kafka import ALERTS, raw_topic
from tests.pipeline import Pipeline, event
from tests.rules import rules

MARCH = "2016-03"


def totals(invoices: list) -> dict[str, Decimal]:
    return {each.statement.institution: each.statement.exact for each in invoices}


async def test_each_charge_model_and_allocation_key(pipeline: Pipeline):
    events = [
        event("beta-north", 1, subject="EP", quantity="150"),  # 100 x 0.06 + 50 x 0.05 = 8.50
        event(
            "beta-south", 1, subject="EP", quantity="50", region="be-brussels"
        ),  # on the same meter: 50 x 0.05 = 2.50
        event("beta-north", 2, subject="EDA", quantity="100"),  # 6.00
        event(
            "beta-north", 3, subject="EP", item="traffic", quantity="1500"
        ),  # with EDA's 500: 1000 x 0.09 + 1000 x 0.07
        event("beta-north", 4, subject="EDA", item="traffic", quantity="500"),  # = 160, of which EDA a quarter
        event("beta-north", 5, subject="pool/mail", quantity="10"),  # 0.60: EP 0.30, EDA 0.18, EC/DIGIT 0.12
        event("beta-north", 6, subject="pool/desk", quantity="10"),  # 0.60: 0.20 each
        event("beta-north", 7, subject="pool/backup", quantity="100"),  # 6.00 by direct use: EP 131, EDA 46, EC 0
    ]
    random.Random(1).shuffle(events)
    await pipeline.push("beta-north", [each for each in events if b"beta-north" in each])
    await pipeline.push("beta-south", [each for each in events if b"beta-south" in each])
    await pipeline.through()
    expected = {
        "EP": Decimal("131.50") + 6 * Decimal(131) / Decimal(177),
        "EDA": Decimal("46.38") + 6 * Decimal(46) / Decimal(177),
        "EC": Decimal("0.32"),
    }
    found = totals(await pipeline.statements(MARCH))
    assert found.keys() == expected.keys()
    for institution, amount in expected.items():
        assert abs(found[institution] - amount) < Decimal("1e-20")
    assert sum(found.values()) == Decimal("184.20"), "to the last digit"
    spent = await pipeline.spent()
    assert spent["contract small"] == spent["lot 2"] == spent["award 2/BETA"] == Decimal("184.20")
    assert spent["lot 1"] == 0


async def test_repeats_cost_nothing_and_conflicts_are_shown(pipeline: Pipeline):
    before = await pipeline.spent()
    same, other = event("beta-north", 1, quantity="150"), event("beta-north", 1, quantity="151")
    await pipeline.push("beta-north", [same, other, same])
    await pipeline.through()
    assert await pipeline.spent() == before
    rejected = pipeline.json("rejections", "list", "--reason", "conflict")
    assert [(each["provider"], each["event_id"]) for each in rejected] == [("beta-north", "1")]
    (row,) = await pipeline.fetch("select payload from ingest.rejection where reason = 'conflict'")
    assert row["payload"] == other
    known = pipeline.json("explain", "1", "--provider", "beta-north")
    assert sorted(each["conflict"] for each in known["came_again"]) == [False, False, True]


async def test_any_printable_id_is_kept_as_it_is(pipeline: Pipeline):
    ids = ["a\\b", "\\N", "\\.", "\\t", "é 雪 'quoted' \"twice\"", "\\\\"]
    sent = [
        event("beta-north", each, subject="EDA", item="traffic", quantity="0", time="2016-04-02T10:00:00Z")
        for each in ids
    ]
    await pipeline.push("beta-north", [*sent, *sent])
    await pipeline.through()
    for each in ids:
        known = pipeline.json("explain", each, "--provider", "beta-north")
        assert (known["id"], len(known["came_again"])) == (each, 1)


async def test_what_is_refused_is_kept_whole_with_its_reason(pipeline: Pipeline):
    refused = {
        "malformed": [b"\xff\xfe garbage", b"", b"[" * 30_000, b'{"specversion": "1.0", "id": NaN}'],
        "unknown_schema": [b"\xc3\x01" + b"\x00" * 20],
        "too_large": [b"x" * 10_000_000],
        "bad_time": [event("alpha", "t1", time="2016-03-01"), event("alpha", "t2", time="2016-02-30T00:00:00Z")],
        "bad_quantity": [event("alpha", f"q{text}", quantity=text) for text in ("NaN", "1e400", "-0", "1" * 30)],
        "wrong_provider": [event("alpha", "w", source="/providers/beta-north")],
        "unknown_lot": [event("beta-north", "l", lot="1")],
        "unknown_subject": [event("alpha", "s", subject="NATO")],
        "unknown_item": [event("alpha", "i", item="mainframe")],
        "no_price": [event("alpha", "p", item="traffic")],
        "outside_contract": [event("alpha", "o", time="2015-12-31T22:59:59Z"), event("alpha", "o2", time="9999-12-31T23:59:59Z")],
        "region_not_allowed": [event("alpha", "r", region="us-east-1")],
        "correction": [event("alpha", "c").replace(b'"lot"', b'"corrects": "c", "lot"')],
    }  # fmt: skip
    refused["in_future"] = [refused["outside_contract"].pop()]
    avro = codec("usage_event").encode(
        {"id": "a", "source": "/providers/alpha", "time": "2016-03-02T10:00:00Z", "subject": "EP", "lot": "2",
         "item": "vm", "quantity": "1", "region": "fr-paris"}
    )  # fmt: skip
    refused["malformed"].append(avro[:-3])
    before = {row["reason"]: row["n"] for row in await pipeline.fetch(_BY_REASON)}
    for reason, messages in refused.items():
        await pipeline.push("beta-north" if reason == "unknown_lot" else "alpha", messages)
    await pipeline.push("alpha", [avro])
    await pipeline.through()
    after = {row["reason"]: row["n"] for row in await pipeline.fetch(_BY_REASON)}
    assert {
        reason: count - before.get(reason, 0) for reason, count in after.items() if count != before.get(reason, 0)
    } == {reason: len(messages) for reason, messages in refused.items()}
    kept = await pipeline.fetch("select payload from ingest.rejection where payload is not null")
    assert {row["payload"] for row in kept} >= {each for messages in refused.values() for each in messages}
    assert pipeline.json("explain", "a", "--provider", "alpha")["price"]["amount"] == "0.05"


async def test_a_mended_contract_lets_rejections_through_again(pipeline: Pipeline, tmp_path):
    from tests.conftest import SMALL

    tariff = '[[tariffs]]\naward = "2/ALPHA"\nvalid_from = 2016-01-01\n'
    assert tariff in SMALL
    item = '[[items]]\ncode = "mainframe"\nname = "Mainframe"\nunit = "hour"\n\n'
    price = '[tariffs.prices.mainframe]\nmodel = "per_unit"\nprice = "2"\n'
    file = tmp_path / "mended.toml"
    file.write_text(item + SMALL.replace(tariff, tariff + price))  # what was priced costs what it did
    pipeline.command("contract", "apply", str(file))
    await asyncio.sleep(2.5)  # the services look for a new version every second
    assert pipeline.json("rejections", "replay", "--reason", "unknown_item") == {"replayed": 1}
    assert pipeline.json("rejections", "replay", "--reason", "unknown_item") == {"replayed": 0}
    await pipeline.through()
    assert pipeline.json("explain", "i", "--provider", "alpha")["price"]["amount"] == "2"


async def test_a_contract_can_not_change_what_was_priced(pipeline: Pipeline, tmp_path):
    """All usage of alpha under 2/ALPHA is of 2 March."""
    (applied,) = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    draft = tmp_path / "draft.toml"

    def apply(text: str, status: int = 0) -> str:
        draft.write_text(text)
        return " ".join(pipeline.command("contract", "apply", str(draft), status=status).split())

    def dearer_from(day: str) -> str:
        tariff = f'\n[[tariffs]]\naward = "2/ALPHA"\nvalid_from = {day}\n'
        return applied["file"] + tariff + '[tariffs.prices.vm]\nmodel = "per_unit"\nprice = "9"\n'

    assert "tariffs[2/ALPHA 2016-03-02]" in apply(dearer_from("2016-03-02"), 1)
    assert "tariffs[2/ALPHA 2016-01-02]" in apply(dearer_from("2016-01-02"), 1)
    indexed = '\n[[indexation]]\naward = "2/ALPHA"\nvalid_from = 2016-02-01\npercent = "2"\n'
    assert "indexation[2/ALPHA 2016-02-01]" in apply(applied["file"] + indexed, 1)
    assert "another mainframe" in apply(applied["file"].replace('price = "2"', 'price = "3"'), 1)
    apply(dearer_from("2016-03-03"))
    apply(applied["file"])  # nothing was priced under the one that goes
    assert await pipeline.audit() == []


async def test_a_dry_run_shows_whose_statements_would_move(pipeline: Pipeline, tmp_path):
    (applied,) = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    draft = tmp_path / "draft.toml"
    draft.write_text(applied["file"].replace('EP = "0.5"\nEDA = "0.3"', 'EP = "0.6"\nEDA = "0.2"'))
    versions = len(pipeline.json("contract", "versions"))
    found = pipeline.json("contract", "apply", str(draft), "--dry-run")["moves"]
    assert [(each["month"], each["institution"], each["difference"]) for each in found] == [
        (MARCH, "EDA", "-0.06"), (MARCH, "EP", "0.06"),
    ]  # fmt: skip
    owed = {each.statement.institution: each.statement.total for each in await pipeline.statements(MARCH)}
    assert [Decimal(each["now"]) for each in found] == [owed["EDA"], owed["EP"]]
    draft.write_text(applied["file"])
    assert "no statement moves" in pipeline.command("contract", "apply", str(draft), "--dry-run")
    draft.write_text(applied["file"].replace('price = "0.05"', 'price = "0.04"', 1))
    said = pipeline.command("contract", "apply", str(draft), "--dry-run", status=1)
    assert "as applied" in said
    assert "what was priced would cost otherwise under it" in said
    refused = json.loads(pipeline.command("contract", "apply", str(draft), "--dry-run", "--json", status=1))
    assert refused["problems"]
    [ep] = [each for each in refused["would_cost"] if each["institution"] == "EP"]
    assert (ep["month"], ep["state"]) == (MARCH, "open")
    assert (Decimal(ep["difference"]) < 0, Decimal(ep["now"])) == (True, owed["EP"])
    assert refused["unpriced"] == []
    draft.write_text(applied["file"].replace("[tariffs.prices.traffic]", "[tariffs.prices.disk]"))
    refused = json.loads(pipeline.command("contract", "apply", str(draft), "--dry-run", "--json", status=1))
    assert {(each["award"], each["item"]) for each in refused["unpriced"]} == {("2/BETA", "traffic")}
    said = pipeline.command("contract", "apply", str(draft), "--dry-run", status=1)
    assert "no price under 2/BETA, left out: " in said
    assert len(pipeline.json("contract", "versions")) == versions


async def test_what_past_usage_would_cost_under_another_contract(pipeline: Pipeline, tmp_path):
    (applied,) = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text(applied["file"])
    period = ["--from", MARCH, "--to", "2016-04"]
    before = pipeline.json("simulate", "--contract", str(same), *period)["institutions"]
    assert all(row["now"] == row["then"] for row in before)
    # BETA's hours at 0.03 from 2 March on, and no traffic any more.
    cheaper = '\n[[tariffs]]\naward = "2/BETA"\nvalid_from = 2016-03-02\n[tariffs.prices.vm]\nmodel = "per_unit"\nprice = "0.03"\n'
    other.write_text(applied["file"] + cheaper)
    words = ["simulate", "--contract", str(other), *period]
    found = json.loads(pipeline.command(*words, "--json", status=1).split("\nno price")[0])
    rows = {each["institution"]: each for each in found["institutions"]}
    assert {name: row["now"] for name, row in rows.items()} == {each["institution"]: each["now"] for each in before}
    assert {(each["award"], each["item"]) for each in found["unpriced"]} == {("2/BETA", "traffic")}
    # EP: 200 hours of BETA for 6.00 instead of 11.00, with its parts of the pools, and 120.00 for traffic left out.
    assert Decimal(rows["EP"]["then"]) < Decimal(rows["EP"]["now"]) - 125
    # Each event in started hundreds: what the other contract bills for counts, not what this one does.
    other.write_text(applied["file"] + cheaper.replace("0.03", "0.0375") + 'increment = "100"\n')
    hundreds = json.loads(pipeline.command(*words, "--json", status=1).split("\nno price")[0])
    ep = next(each for each in hundreds["institutions"] if each["institution"] == "EP")
    assert Decimal(ep["then"]) > Decimal(rows["EP"]["then"])
    other.write_text(applied["file"] + cheaper)
    pipeline.command(*words, "--out", str(tmp_path / "whatif"), status=1)
    assert (tmp_path / "whatif" / "simulation.svg").read_text().startswith("<svg")
    written = (tmp_path / "whatif" / "simulation.csv").read_text().splitlines()
    assert written[0] == "month,institution,now,then,difference,currency,left_out"
    assert [row for row in written if "traffic of 2/BETA (" in row and ",EP," in row]
    assert "not to be compared: without traffic of 2/BETA (" in (tmp_path / "whatif" / "simulation.svg").read_text()
    assert await pipeline.audit() == []


async def test_alerts_are_published_once_each(pipeline: Pipeline):
    await pipeline.push(
        "alpha", [event("alpha", f"big-{n}", subject="EDA", lot="1", quantity="1000") for n in range(4)]
    )
    await pipeline.through()
    await asyncio.sleep(1.5)
    async with aiokafka.AIOKafkaConsumer(
        ALERTS, bootstrap_servers=pipeline.kafka, auto_offset_reset="earliest"
    ) as reader:
        polled = await reader.getmany(timeout_ms=3000)
    alerts = [codec("alert").decode(record.value) for records in polled.values() for record in records]
    said = sorted((each["level"], each["code"], each["threshold"]) for each in alerts)
    assert ("award", "1/ALPHA", 75) in said
    assert ("lot", "1", 50) in said
    assert ("contract", "small", 50) in said
    assert ("institution", "EP", 50) in said
    assert len(said) == len(set(said))


async def test_a_ceiling_that_a_new_version_lowers_is_announced_without_any_usage(pipeline: Pipeline, tmp_path: Path):
    (applied,) = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    lower = tmp_path / "lower.toml"
    lower.write_text(applied["file"].replace('ceiling = "500"', 'ceiling = "37"'), "utf-8")
    pipeline.command("contract", "apply", str(lower))
    reached = "select threshold from invoicing.alert where code = '1/ALPHA' and ceiling = 37 order by 1"
    async with asyncio.timeout(20):
        while len(rows := await pipeline.fetch(reached)) < 4:
            await asyncio.sleep(0.2)
    assert [row["threshold"] for row in rows] == [50, 75, 90, 100]
    assert await pipeline.audit() == []


async def test_the_audit_is_clean_and_says_what_breaks(pipeline: Pipeline):
    assert await pipeline.audit() == []
    assert pipeline.json("audit")["clean"] is True


async def test_a_closed_month_stands_and_what_comes_later_goes_on_the_next(pipeline: Pipeline):
    preview = await pipeline.statements(MARCH)
    printed = pipeline.json("close", MARCH, "--override", "tested")
    assert [each["number"] for each in printed] == [f"SMALL-2016-{n:06}" for n in range(1, len(printed) + 1)]
    closed = await pipeline.statements(MARCH)
    assert [each.statement for each in closed] == [each.statement for each in preview]
    assert "not over" in pipeline.command("close", "2999-01", status=1)
    assert "before the contract" in pipeline.command("close", "2015-12", status=1)
    assert "closed already" in pipeline.command("close", MARCH, status=1)
    await pipeline.push("alpha", [event("alpha", "late", subject="EP", quantity="100")])
    await pipeline.push("alpha", [event("alpha", "april", subject="EP", time="2016-03-31T22:00:00Z")])
    await pipeline.through()
    assert await pipeline.statements(MARCH) == closed
    lines = [line for each in await pipeline.statements("2016-04") for line in each.statement.lines]
    assert {(line.key.month, line.exact) for line in lines if not line.key.pool} == {
        (MARCH, Decimal("5.00")), ("2016-04", Decimal("0.05")),
    }  # fmt: skip
    pipeline.command("close", "2016-04", "--override", "tested")
    assert await pipeline.audit() == []


async def test_a_month_in_which_more_was_taken_back_than_used_is_not_closed(pipeline: Pipeline):
    may = {"subject": "EDA", "lot": "1", "time": "2016-05-02T10:00:00Z"}
    await pipeline.push(
        "alpha", [event("alpha", "back", quantity="-5", **may), event("alpha", "used", quantity="3", **may)]
    )
    await pipeline.through()
    assert "EDA vm of 2016-05 under 1/ALPHA: -2" in pipeline.command("close", "2016-05", status=1)
    assert [each.identity for each in await pipeline.audit()] == ["no usage is below zero"]
    await pipeline.push("alpha", [event("alpha", "found", quantity="2", **may)])
    await pipeline.through()
    assert await pipeline.audit() == []
    assert pipeline.json("close", "2016-05", "--override", "tested") == []


async def test_pushing_says_whose_topic_is_missing(pipeline: Pipeline, tmp_path):
    file = tmp_path / "usage.jsonl"
    file.write_bytes(event("alpha", "mine"))
    words = ["push", str(file), "--kafka", pipeline.kafka, "--provider"]
    assert "no topic usage.raw.gamma; the providers with one: alpha, beta-north, beta-south" in " ".join(
        pipeline.command(*words, "gamma", status=3).split()
    )
    key = pipeline.json("keys", "create", "alpha")["key"]
    words = ["push", str(file), "--url", pipeline.gateway, "--key", key, "--provider"]
    assert "pushed as 'beta-north'" in pipeline.command(*words, "beta-north", status=1)
    assert "1 event taken" in pipeline.command(*words, "alpha")


async def test_the_books_refuse_to_be_changed(pipeline: Pipeline):
    for table in (
        "rating.charge",
        "invoicing.posting",
        "invoicing.entry",
        "invoicing.invoice",
        "invoicing.invoice_line",
        "invoicing.document",
    ):
        for statement in (f"delete from {table}", f"truncate {table} cascade"):
            with pytest.raises(Exception, match="append-only"):
                await pipeline.fetch(statement)
    with pytest.raises(Exception, match="append-only"):
        await pipeline.fetch("update invoicing.posting set amount = 0")
    for table in ("rating.batch", "invoicing.month"):  # what charges and postings name
        with pytest.raises(Exception, match="append-only"):
            await pipeline.fetch(f"delete from {table}")


async def test_the_books_refuse_what_belongs_to_nothing(pipeline: Pipeline):
    await pipeline.fetch("insert into invoicing.month (month) values ('2016-03') on conflict do nothing")
    posting = """
    insert into invoicing.posting (entry, side, invoice_month, month, award, institution, department, pool, item, tariff,
                                   quantity, amount)
    select entry, 'institution', month, '2016-03', '1/A', 'EP', '', '', 'vm', '2016-01-01', 1, amount
    from (values ({entry}, '{month}', 5), ({entry}, '{month}', {back})) as made(entry, month, amount)
    """
    entry = "(select min(entry) from invoicing.entry)"
    with pytest.raises(Exception, match="do not add up to zero"):
        await pipeline.fetch(posting.format(entry=entry, month="2016-03", back=-4))
    with pytest.raises(Exception, match="an entry or a month that there is not"):
        await pipeline.fetch(posting.format(entry=0, month="2016-03", back=-5))
    with pytest.raises(Exception, match="an entry or a month that there is not"):
        await pipeline.fetch(posting.format(entry=entry, month="2016-13", back=-5))
    with pytest.raises(Exception, match="a batch that there is not"):
        await pipeline.fetch("""
            insert into rating.charge (batch_no, version, award, item, month, tariff, subject, scope, before, quantity, amount)
            values (0, 1, '1/A', 'vm', '2016-03', '2016-01-01', 'EP', 'EP', 0, 1, 1)
        """)
    with pytest.raises(Exception, match="charged twice in a batch"):
        await pipeline.fetch("""
            insert into rating.charge (batch_no, version, award, item, month, tariff, subject, scope, before, quantity, amount)
            select min(batch_no), 1, '1/A', 'vm', '2016-03', '2016-01-01', 'EP', 'EP', 0, 1, 1
            from rating.batch, generate_series(1, 2) as copy group by copy
        """)
    with pytest.raises(Exception, match="append-only"):
        await pipeline.fetch("update invoicing.month set month = '2016-04' where month = '2016-03'")


async def test_a_closed_month_is_exported_once_and_for_all(pipeline: Pipeline, tmp_path: Path):
    words = ["invoices", "export", "--month", MARCH, "--out"]
    assert "2016-06 is not closed" in pipeline.command(*words[:3], "2016-06", "--out", str(tmp_path / "x"), status=1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "can't be written" in pipeline.command(*words, str(blocked), status=2)
    assert await pipeline.fetch("select from invoicing.document") == []

    told = pipeline.command(*words, str(tmp_path / "one"), status=1)
    assert "EDA: institutions[EDA].party: found nothing; wanted a table [institutions.party]" in " ".join(told.split())
    invoices = {each.statement.institution: each for each in await pipeline.statements(MARCH)}
    first = files(tmp_path / "one")
    numbers = {f"{code}/{invoices[code].number}.{form}" for code in ("EC", "EP") for form in FORMS}
    suppliers = {f"suppliers/{award}.csv" for award in ("1/ALPHA", "2/ALPHA", "2/BETA")}
    assert first.keys() == numbers | suppliers | set(MONTH_FILES)
    for code in ("EC", "EP"):
        assert rules().findings(first[f"{code}/{invoices[code].number}.xml"]) == []
        data = json.loads(first[f"{code}/{invoices[code].number}.json"])
        assert Decimal(data["totals"]["net"]) == invoices[code].statement.total
    kept = {row["sha256"] for row in await pipeline.fetch("select sha256 from invoicing.document")}
    digests = {name: hashlib.sha256(text).digest() for name, text in first.items()}
    assert kept == {digest for name, digest in digests.items() if name not in MONTH_FILES}, (
        "without EDA none is complete"
    )

    await mend(pipeline, tmp_path)
    again = pipeline.json(*words, str(tmp_path / "two"))
    second = {name: text for name, text in files(tmp_path / "two").items() if not name.startswith("EDA/")}
    assert {name for name in second if second[name] != first[name]} <= set(MONTH_FILES), "these have EDA's, too"
    assert second.keys() == first.keys()
    assert [(each["institution"], len(each["sha256"])) for each in again["invoices"]] == [
        ("EC", len(FORMS)),
        ("EDA", len(FORMS)),
        ("EP", len(FORMS)),
    ]
    whole = await pipeline.fetch("select form, sha256 from invoicing.document where name = 'month/3'")
    assert {row["form"]: row["sha256"].hex() for row in whole} == again["month"]["sha256"]
    assert again["month"]["sha256"].keys() == set(MONTH_FILES)
    assert pipeline.json(*words, str(tmp_path / "same"))["month"] == again["month"]

    await pipeline.fetch("alter table invoicing.document disable trigger append_only")
    await pipeline.fetch("update invoicing.document set sha256 = sha256(sha256) where form = 'csv' and name = '2/BETA'")
    told = pipeline.command(*words, str(tmp_path / "three"), status=1)
    assert "2/BETA.csv: found other bytes" in told
    assert files(tmp_path / "three").keys() == files(tmp_path / "two").keys() - {"suppliers/2/BETA.csv"}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def mend(pipeline: Pipeline, folder: Path) -> None:
    """Apply a version of the contract that names the Defence Agency as it is invoiced."""
    (row,) = await pipeline.fetch("select file from contract.version order by version desc limit 1")
    name = 'name = "European Defence Agency"\n'
    party = """[institutions.party]
legal_name = "European Defence Agency"
address = { street = "Rue de l'Exemple 4", postal_code = "1050", city = "Brussels", country = "BE" }
endpoint = { scheme = "0088", id = "9520000000042" }
buyer_reference = "EDA"
tax = { category = "E", certificate = "15.10-EDA", valid_from = 2016-01-01 }
"""
    mended = folder / "mended.toml"
    mended.write_text(row["file"].replace(name, name + party), "utf-8")
    pipeline.command("contract", "apply", str(mended))


async def test_metrics_and_probes_tell_the_truth(pipeline: Pipeline):
    import httpx

    async with httpx.AsyncClient(trust_env=False) as client:
        for name, url in pipeline.probes.items():
            assert (await client.get(f"{url}/healthz")).status_code == 200, name
            assert (await client.get(f"{url}/readyz")).status_code == 200, name
        ingest = (await client.get(f"{pipeline.probes['ingest']}/metrics")).text
        invoicing = (await client.get(f"{pipeline.probes['invoicing']}/metrics")).text
    assert 'plafond_events_total{outcome="accepted",provider="beta-north",service="ingest"}' in ingest
    assert 'plafond_spent_ratio{code="2",level="lot"}' in invoicing
    assert "plafond_freshness_seconds_bucket" in invoicing
    assert "plafond_last_close_timestamp_seconds 1" in invoicing


def test_subjects_of_the_same_payer_share_a_partition():
    assert payer("EC/DIGIT") == payer("EC") == "EC"
    assert raw_topic("alpha") == "usage.raw.alpha"


_BY_REASON = "select reason, count(*)::int as n from ingest.rejection group by reason"
