"""plafond recover: after the database was restored to an older point."""

from typing import Annotated

import typer

from services.commands.servers import DatabaseOption, KafkaOption, run
from services.decisions.topic import LostError
from services.output import JsonOption, console, counted, errors, fail, print_json
from services.postgres import check_schema, open_pool
from services.rating.sql import STAGING
from services.recovery.lacking import RecoveryError
from services.recovery.recover import Recovered, StillReadError, recover
from services.worker import AT_A_TIME


def recover_command(
    database_url: DatabaseOption,
    kafka: KafkaOption = "localhost:9092",
    everything: Annotated[bool, typer.Option("--everything", help="Read all topics from their beginning.")] = False,
    republish: Annotated[
        bool, typer.Option("--republish", help="First put back into `decisions` what it lacks and the database has.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a database that was restored to an older point to where the topics are; the services must be stopped.

    What was decided since is in the topic `decisions` and happens again at its place: contract versions, re-ratings and
    closes, with the usage that came before and after each. A month whose invoices would be others than those that were
    issued is not closed: the command says what differs and ends with status 1. Interrupted, it goes on when called
    again.

    How far back usage is read is worked out from the database: for each partition some batches before the last that it
    has. What it has already stays as it is.

    A topic `decisions` that was itself emptied, cut or made anew can't tell what was decided after the backup: the
    command refuses, and with --republish goes on with what the database has.

    Examples: `plafond recover`, `plafond recover --everything`, `plafond recover --republish`
    """
    try:
        recovered = run(_recover(database_url, kafka, everything=everything, republish=republish))
    except (StillReadError, LostError, RecoveryError) as error:
        fail(str(error))
    if as_json:
        print_json(recovered._asdict())
        return
    for place in recovered.unreadable:
        errors.print(
            f"passed over, since it can't be read: {place}",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    batches = counted(recovered.read, "batch") if recovered.read == 1 else f"{recovered.read:,} batches"
    console.print(
        f"recovered: {batches} of usage read, the charges of {recovered.posted:,} posted, "
        f"{counted(len(recovered.decisions), 'decision')} repeated",
        style="green", highlight=False, soft_wrap=True,
    )  # fmt: skip


async def _recover(database_url: str, kafka: str, *, everything: bool, republish: bool) -> Recovered:
    pool = await open_pool(database_url, "plafond-recover", size=2 * AT_A_TIME, first=STAGING, idle_ms_max=0)
    try:
        async with pool.acquire() as connection:
            await check_schema(connection)
        return await recover(pool, kafka, everything=everything, republish=republish, say=_say)
    finally:
        await pool.close()


def _say(what: str) -> None:
    errors.print(what, markup=False, highlight=False, soft_wrap=True)
