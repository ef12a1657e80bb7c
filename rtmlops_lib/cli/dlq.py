"""``rtmlops dlq``: dead letters, and sending them again."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from rtmlops_lib.cli.lazy import subcommands
from rtmlops_lib.cli.options import (
    JsonOption,
    SchemaOption,
    StreamOption,
    TopicPrefixOption,
    chosen_spec,
    load_settings,
)
from rtmlops_lib.cli.printing import new_table, output, print_json
from rtmlops_lib.errors import UsageError
from rtmlops_lib.streams.reasons import Reason

if TYPE_CHECKING:
    from rtmlops_lib.services.replay import LetterFilter
    from rtmlops_lib.settings import Settings
    from rtmlops_lib.transport.dead_letters import DeadLetter

__all__ = ["app"]

app = subcommands("Look at dead letters, and send them again.")

ReasonOption = Annotated[
    list[Reason] | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        help="Only letters with this reason; may be repeated.",
    ),
]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", help="Only the letter with this key; may be repeated."),
]
ContainsOption = Annotated[
    str, typer.Option(help="Only letters whose value contains this text.")
]
AllOption = Annotated[
    bool, typer.Option("--all", help="Also letters that were replayed already.")
]
LettersOfOption = Annotated[
    str | None,
    typer.Option(
        "--group",
        help="Letters of a group whose rows the store refused (predictor, detector). "
        "Default: the events that storage refused.",
    ),
]


@app.command(name="list")
def list_(
    stream: StreamOption = "datacenter",
    reason: ReasonOption = None,
    contains: ContainsOption = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Letters to show at most.")
    ] = 50,
    everything: AllOption = False,
    group: LettersOfOption = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the dead letters of a stream, each once, with counts by reason."""
    from rtmlops_lib.services.replay import LetterFilter

    settings = load_settings(topic_prefix=topic_prefix, database_schema=schema)
    wanted = LetterFilter(reasons=reason or (), contains=contains)
    letters = _letters(settings, stream, group, wanted, everything=everything)
    if as_json:
        print_json([_plain(letter) for letter in islice(letters, limit)])
        return
    table = new_table("letter", "reason", "detail", "replays", numbers=("replays",))
    for letter in letters[:limit]:
        replays = str(letter.replay_count)
        detail = escape(letter.detail[:80])
        table.add_row(letter.letter_key, letter.reason, detail, replays)
    console = output()
    console.print(table)
    found = Counter(letter.reason for letter in letters)
    by_reason = ", ".join(f"{count} {name}" for name, count in found.most_common())
    console.print(f"{len(letters)} letters{': ' + by_reason if found else ''}")


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="The letter's key, from 'dlq list'.")],
    stream: StreamOption = "datacenter",
    group: LettersOfOption = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter whole."""
    from rtmlops_lib.services.replay import LetterFilter

    settings = load_settings(topic_prefix=topic_prefix, database_schema=schema)
    wanted = LetterFilter(keys=(key,))
    found = _letters(settings, stream, group, wanted, everything=True)
    if not found:
        raise UsageError(
            f"no dead letter of {stream!r} has the key {key!r}",
            remedy="'rtmlops dlq list --all' shows all keys",
        )
    if as_json:
        print_json(_plain(found[0]))
        return
    for name, value in _plain(found[0]).items():
        typer.echo(f"{name + ':':<14} {value}")


@app.command()
def replay(
    stream: StreamOption = "datacenter",
    reason: ReasonOption = None,
    key: KeyOption = None,
    contains: ContainsOption = "",
    from_file: Annotated[
        Path | None,
        typer.Option(
            help="Send the letters whose values were edited in this file, the output "
            "of 'dlq list --json'.",
        ),
    ] = None,
    everything: AllOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")
    ] = False,
    group: LettersOfOption = None,
    topic_prefix: TopicPrefixOption = None,
    schema: SchemaOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send dead letters to the topic they came from, at most three times each."""
    from rtmlops_lib.services.replay import LetterFilter, edited, read_repairs
    from rtmlops_lib.services.replay import replay as replay_letters
    from rtmlops_lib.store.factory import open_store
    from rtmlops_lib.transport.factory import open_producer

    settings = load_settings(topic_prefix=topic_prefix, database_schema=schema)
    values = read_repairs(from_file) if from_file else {}
    keys = [*(key or ()), *values]
    wanted = LetterFilter(reasons=reason or (), keys=keys, contains=contains)
    if wanted.empty and not everything:
        raise UsageError(
            "nothing was filtered for",
            remedy="give --reason, --key, --contains or --from-file, or --all for all",
        )
    letters = _letters(settings, stream, group, wanted, everything=everything)
    repairs = edited(letters, values)
    if from_file:
        same = len(letters) - len(repairs)
        letters = [letter for letter in letters if letter.letter_key in repairs]
        if same and not as_json and not dry_run:
            typer.echo(f"{same} in {from_file} are as they were, and are not sent")
    if dry_run:
        print_json({"would_send": [letter.letter_key for letter in letters]})
        return
    with (
        closing(open_store(settings)) as store,
        closing(open_producer(settings)) as producer,
    ):
        done = replay_letters(letters, store, producer, repairs=repairs)
    if as_json:
        print_json({"sent": done.sent, "refused": done.refused})
        return
    typer.echo(f"{len(done.sent)} sent, {len(done.refused)} refused")
    for refused, why in done.refused.items():
        typer.echo(f"  {refused}: {why}")


def _letters(
    settings: Settings,
    stream: str,
    group: str | None,
    wanted: LetterFilter,
    *,
    everything: bool,
) -> list[DeadLetter]:
    from rtmlops_lib.store.factory import open_store
    from rtmlops_lib.transport.dead_letters import dlq_topic
    from rtmlops_lib.transport.dlq_reader import read_dead_letters
    from rtmlops_lib.transport.factory import open_admin

    spec = chosen_spec(stream, settings)
    letters_topic = dlq_topic(spec.topic, group)
    with open_admin(settings) as admin:
        there = admin.topic_ids([spec.topic, letters_topic])
    if not there:
        raise UsageError(
            f"there is no topic {spec.topic!r}",
            remedy="'rtmlops topics list' shows all; is --topic-prefix right?",
        )
    if letters_topic not in there:
        return []  # it is made for the first letter
    found = [
        letter
        for letter in read_dead_letters(settings, letters_topic)
        if wanted.matches(letter)
    ]
    if everything or not found:
        return found
    with closing(open_store(settings)) as store:
        replayed = store.replay_counts([letter.letter_key for letter in found])
    return [letter for letter in found if not replayed.get(letter.letter_key)]


def _plain(letter: DeadLetter) -> dict[str, Any]:
    from rtmlops_lib.services.replay import shown

    return {
        "letter_key": letter.letter_key,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "time": letter.time.isoformat(),
        "replay_count": letter.replay_count,
        "size": letter.size,
        "truncated": letter.truncated,
        "key": shown(letter.key),
        "value": shown(letter.value),
    }
