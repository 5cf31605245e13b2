"""The bytes that docs/sizing.md reckons with are those that usage takes."""

import pytest

from services.bench import sizing
from tests.servers import database
from tests.sizes import measure


async def test_an_event_a_line_and_a_batch_take_what_is_reckoned_with():
    with database() as url:
        sizes = await measure(url, events=12_000, events_a_batch=45)
    assert sizes.events == 12_000
    assert sizes.lines > 6_000
    # Tables begin with pages that are not full yet, and a database's rows vary a little.
    assert sizes.a_unit("event") == pytest.approx(sizing.DISK_EVENT, rel=0.25)
    assert sizes.a_unit("line") == pytest.approx(sizing.DISK_LINE, rel=0.25)
    assert sizes.a_unit("batch") == pytest.approx(sizing.DISK_BATCH, rel=0.5)
    assert sizes.accepted_compressed / sizes.events == pytest.approx(sizing.ACCEPTED_EVENT, rel=0.25)
    assert sizes.charges_compressed / sizes.lines == pytest.approx(sizing.CHARGES_LINE, rel=0.25)
    assert sizes.wal / sizes.events == pytest.approx(sizing.WAL_EVENT, rel=0.3)
