"""Batches: every accepted event in a row that PostgreSQL can copy, and none too large for a message."""

from services.avro import codec
from services.ingest.batch import SIZE_MAX, Sorter, partition_of
from services.ingest.decide import Accepted, Use
from services.kafka import MESSAGE_SIZE_MAX

USES = [
    Use("alpha", "2/ALPHA", subject, "vm", "fr-paris", "2016-03", "2016-01-01")
    for subject in ("EP", "EDA", "EC/DIGIT", "EC/AGRI", "pool/mail")
]


def sort(events: list[Accepted]) -> Sorter:
    sorter = Sorter(1, 4)
    for offset, event in enumerate(events):
        sorter.accept(event, offset % 2, offset, 1_790_000_000_000)
    return sorter


def test_each_event_is_in_a_row_of_its_partition_once():
    sorter = sort([Accepted(USES[number % 5], f"e{number}", number, "1.5", "") for number in range(1_000)])
    assert len(sorter.batches) == len({batch.partition for batch in sorter.batches})
    seen = []
    for batch in sorter.batches:
        record = batch.record(1, 0)
        rows = [line.split("\t") for line in record["rows"].decode().splitlines()]
        assert [int(row[0]) for row in rows] == list(range(1, record["events"] + 1))
        for row in rows:
            use = record["uses"][int(row[1]) - 1]
            assert partition_of(Use(**use), 4) == batch.partition
            seen.append(row[2])
    assert sorter.accepted == {"alpha": 1_000}
    assert sorted(seen) == sorted(f"e{number}" for number in range(1_000))


def test_a_backslash_is_escaped():
    (batch,) = sort([Accepted(USES[0], "a\\b", 0, "1", "c:\\x")]).batches
    assert batch.record(1, 0)["rows"] == b"1\t1\ta\\\\b\t0\t1\tc:\\\\x\t0\t0\t1790000000000\n"


def test_no_batch_is_too_large_for_a_message():
    """The longest ids and resources there may be, of characters that take four bytes each."""
    sorter = sort(
        [Accepted(USES[0], f"{number:06}" + "\U0001f600" * 122, 0, "1", "\U0001f600" * 256) for number in range(20_000)]
    )
    assert len(sorter.batches) > 1
    for batch in sorter.batches:
        assert batch.size < SIZE_MAX + 1_000
        assert len(codec("usage_batch").encode(batch.record(1, 0))) < MESSAGE_SIZE_MAX
    assert sum(len(batch.rows) for batch in sorter.batches) == 20_000
