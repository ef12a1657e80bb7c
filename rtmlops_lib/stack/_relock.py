"""Write the lock of Kafka's jars anew: ``python -m rtmlops_lib.stack._relock``.

For maintainers, after a change of the coordinates below; needs the network.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.1.1",
    # Kafka writes through slf4j 1.7; the simple binding prints warnings to
    # standard error, which is all that the supervisor's log needs.
    "org.slf4j:slf4j-simple:1.7.36",
)


def main() -> None:
    """Resolve the coordinates with all they need, and write the lock."""
    from jgo.maven import MavenContext, PythonResolver

    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(
            resolver=PythonResolver(), repo_cache=Path(scratch), timeout=30
        )
        wanted = [context.create_dependency(text) for text in COORDINATES]
        inputs, transitive = context.resolver.resolve(wanted)
        lines = [
            "# Kafka's jars: coordinate, sha256, bytes. Written by",
            "# python -m rtmlops_lib.stack._relock",
        ]
        for found in (*inputs, *transitive):
            content = Path(found.artifact.resolve()).read_bytes()
            lines.append(
                f"{found.groupId}:{found.artifactId}:{found.version} "
                f"sha256:{hashlib.sha256(content).hexdigest()} {len(content)}"
            )
    target = Path(__file__).with_name("kafka-jars.lock")
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
