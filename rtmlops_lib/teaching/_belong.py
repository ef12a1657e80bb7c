"""The program behind ``Lab.member``."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from threading import Event

from rtmlops_lib.settings import Settings
from rtmlops_lib.transport import open_consumer

_POLL_SECONDS = 0.1


def main(arguments: Sequence[str]) -> None:
    """Belong to a group until SIGTERM; print each change as a line of JSON."""
    group, topic = arguments
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = open_consumer(Settings.load(), group=group, topics=[topic])
    try:
        while not stop.is_set():
            polled = consumer.poll_batch(100, _POLL_SECONDS)
            if polled.rebalanced or polled.revoked or polled.lost:
                owned = sorted(tp.partition for tp in consumer.assignment())
                print(json.dumps({"at": time.time(), "owns": owned}), flush=True)
    finally:
        consumer.close()


if __name__ == "__main__":
    main(sys.argv[1:])
