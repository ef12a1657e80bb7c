"""Events as somebody else's producer would write them, broken ones included.

Nothing here uses the library: it is the other side of the contract.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, tzinfo=UTC)


def event(server: int, step: int) -> dict[str, object]:
    """Return one valid six-field event; the same arguments give the same event."""
    moment = START + timedelta(seconds=step)
    return {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "server_id": f"srv-{server:03d}",
        "cpu_usage": round(20 + (server * 7 + step * 3) % 600 / 10, 1),
        "temperature": round(40 + (server + step) % 300 / 10, 1),
        "power_kw": round(1 + (server * 3 + step) % 200 / 100, 2),
        "network_gbps": round((server + step * 7) % 100 / 20, 2),
    }


def _with(**changes: object) -> Callable[[dict[str, object]], bytes]:
    def build(good: dict[str, object]) -> bytes:
        return json.dumps({**good, **changes}).encode()

    return build


def _without(name: str) -> Callable[[dict[str, object]], bytes]:
    def build(good: dict[str, object]) -> bytes:
        return json.dumps({k: v for k, v in good.items() if k != name}).encode()

    return build


# Twelve ways to be no event, each with the reason that the dead letter must give.
MALFORMED: dict[str, tuple[str, Callable[[dict[str, object]], bytes | None]]] = {
    "truncated": ("not_json", lambda good: json.dumps(good).encode()[:-7]),
    "array": ("not_object", lambda good: json.dumps([good]).encode()),
    "tombstone": ("tombstone", lambda good: None),
    "latin-1": (
        "not_utf8",
        lambda good: json.dumps(good).encode().replace(b'"srv-', b'"\xe9srv-'),
    ),
    "text as number": ("wrong_type", _with(cpu_usage="75.2")),
    "missing field": ("missing_field", _without("power_kw")),
    "null field": ("missing_field", _with(temperature=None)),
    "not a number": (
        "not_json",
        lambda good: json.dumps({**good, "cpu_usage": float("nan")}).encode(),
    ),
    "negative load": ("out_of_bounds", _with(cpu_usage=-1)),
    "naive time": ("naive_time", _with(time="2026-03-01T00:00:00")),
    "no time": ("bad_time", _with(time="yesterday")),
    "nul in text": ("nul_character", _with(server_id="srv\0-1")),
}


@dataclass
class Traffic:
    """Records ready to send, and what the law says must come of them.

    ``records`` holds (key, value) in order; ``bad`` maps the index of each malformed
    one to its expected reason; ``distinct`` are the identities that must be stored.
    """

    records: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    distinct: set[tuple[str, str]] = field(default_factory=set)


def traffic(
    count: int, *, malformed: float, duplicates: float, seed: int, servers: int = 50
) -> Traffic:
    """Return ``count`` records with these shares of broken and repeated ones."""
    rng = random.Random(seed)
    made = Traffic()
    ways = list(MALFORMED.values())
    valid: list[tuple[bytes, bytes]] = []
    serial = 0
    for index in range(count):
        draw = rng.random()
        good = event(serial % servers, serial // servers)
        key = str(good["server_id"]).encode()
        if draw < malformed:
            reason, build = ways[len(made.bad) % len(ways)]
            made.bad[index] = reason
            made.records.append((key, build(good)))
            continue
        if draw < malformed + duplicates and valid:
            # Mostly recent ones, as a producer's retries are; some from long ago.
            back = rng.randrange(
                min(len(valid), 2_000 if rng.random() < 0.8 else 10**9)
            )
            made.records.append(valid[-1 - back])
            continue
        serial += 1
        record = (key, json.dumps(good).encode())
        valid.append(record)
        made.records.append(record)
        made.distinct.add((str(good["server_id"]), str(good["time"])))
    return made
