"""The SQL that stores one stream's rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from psycopg2 import sql

from rtmlops_lib.errors import ConfigurationFault
from rtmlops_lib.store.postgres.session import Query, Session
from rtmlops_lib.streams import FieldType, StreamSpec

__all__ = ["COLUMNS", "COLUMN_TYPES", "EXTRA_COLUMNS", "TableSql", "column_types"]

# Names and types of a relation's columns, in their order.
COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""

COLUMN_TYPES: dict[FieldType, str] = {
    FieldType.NUMBER: "double precision",
    FieldType.INTEGER: "bigint",
    FieldType.STRING: "text",
    FieldType.BOOLEAN: "boolean",
    FieldType.TIME: "timestamp with time zone",
}
EXTRA_COLUMNS: dict[str, str] = {
    "ingest_time": "timestamp with time zone",
    "kafka_offset": "bigint",
    "kafka_partition": "integer",
    "attributes": "jsonb",
}


def column_types(spec: StreamSpec) -> dict[str, str]:
    """Return every column of a stream's table with its type.

    Eight-byte columns stand together and the ragged ones last, which saves padding.

    Examples
    --------
    >>> from rtmlops_lib.streams import builtin_specs
    >>> list(column_types(builtin_specs()["services"]))[:4]
    ['time', 'request_rate', 'latency_p95_ms', 'error_rate']
    """
    fields = {name: COLUMN_TYPES[f.type] for name, f in spec.fields.items()}
    types = {spec.time.field: COLUMN_TYPES[FieldType.TIME]}
    types |= {n: t for n, t in fields.items() if t not in ("text", "boolean")}
    types |= {n: t for n, t in EXTRA_COLUMNS.items() if n != "attributes"}
    types |= {n: t for n, t in fields.items() if t == "boolean"}
    types |= {n: t for n, t in fields.items() if t == "text"}
    return types | {"attributes": EXTRA_COLUMNS["attributes"]}


class TableSql:
    """The statements that store rows of one stream in one schema."""

    def __init__(self, spec: StreamSpec, schema: str) -> None:
        self.spec = spec
        self.name = sql.Identifier(schema, spec.table)
        types = column_types(spec)
        del types["ingest_time"]
        self._types = types
        digest = hashlib.sha256(f"{schema}.{spec.table}{types}".encode()).hexdigest()
        self.staged_name = f"staged_{digest[:16]}"
        self.staged = sql.Identifier("pg_temp", self.staged_name)
        self._identity = [*spec.identity_fields, spec.time.field]

    def check(self, session: Session) -> None:
        """Compare the columns that are there with the spec's fields."""
        schema, table = self.name.strings
        found = dict(session.rows(COLUMNS, (f'"{schema}"."{table}"',)))
        for name, kind in self._types.items():
            if found.get(name, kind) != kind:
                raise ConfigurationFault(
                    f"stream {self.spec.name!r}: field {name!r} needs {kind}, but "
                    f"column {self.spec.table}.{name} is {found[name]}",
                    remedy="keep the field's type, or give the new one another name "
                    "and run 'rtmlops db migrate'",
                )

    def create_staged(self) -> Query:
        """Make the temporary table that rows pass when repeats are about."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in self._types.items()
        )
        return sql.SQL(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} (place integer, {}) "
            "ON COMMIT DELETE ROWS"
        ).format(sql.Identifier(self.staged_name), columns)

    def copy(self, names: Sequence[str], *, staged: bool) -> sql.Composable:
        """Take rows in, straight or by the temporary table."""
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
            self.staged if staged else self.name, _names(names)
        )

    def insert(self) -> Query:
        """Move staged rows whose identity is new; return places left out.

        They go in the order of their identities, so that no two writers lock each other
        out, and the first of an identity wins. Every row must have a place in Kafka of
        its own; of derived rows, several come from one place and differ in their
        identity.
        """
        same = ["kafka_offset", "kafka_partition"]
        if self.spec.derived:
            same += self.spec.identity_fields
        return sql.SQL(
            "WITH done AS ({} RETURNING {}) "
            "SELECT s.place FROM {} AS s LEFT JOIN done AS d "
            "ON {} WHERE d.kafka_offset IS NULL"
        ).format(
            self._insert(sql.SQL("")),
            _names(same),
            self.staged,
            sql.SQL(" AND ").join(
                sql.SQL("d.{c} = s.{c}").format(c=sql.Identifier(name)) for name in same
            ),
        )

    def insert_part(self, part: range) -> sql.Composable:
        """Move the staged rows of some places."""
        return self._insert(
            sql.SQL("WHERE place BETWEEN {} AND {}").format(
                sql.Literal(part[0]), sql.Literal(part[-1])
            )
        )

    def _insert(self, condition: sql.Composable) -> sql.Composable:
        return sql.SQL(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM {} {} "
            "ORDER BY {}, place ON CONFLICT ({}) DO NOTHING"
        ).format(
            self.name,
            self.staged,
            condition,
            # Time first: most rows of a batch differ in it, and it is cheap to compare.
            _names(self._identity[::-1]),
            _names(self._identity),
            columns=_names(self._types),
        )

    def index_staged(self) -> Query:
        """Make ``insert_part`` cheap, for this transaction."""
        return sql.SQL("CREATE INDEX {} ON {} (place)").format(
            sql.Identifier(f"{self.staged_name}_place"), self.staged
        )

    def unindex_staged(self) -> Query:
        """Undo ``index_staged``."""
        return sql.SQL("DROP INDEX {}").format(
            sql.Identifier("pg_temp", f"{self.staged_name}_place")
        )

    def conflicts(self) -> Query:
        """Find staged rows that differ from what is stored under their identity.

        Parameters: first and last time, places of the rows, cluster id, topic id. A
        row at the very place in Kafka that the stored one came from is a repeat, though
        a later spec may read it otherwise.
        """
        compared = [
            name
            for name in self._types
            if name not in (*self._identity, "kafka_partition", "kafka_offset")
        ]
        differing = sql.SQL(", ").join(
            sql.SQL("CASE WHEN t.{c} IS DISTINCT FROM s.{c} THEN {text} END").format(
                c=sql.Identifier(name), text=sql.Literal(name)
            )
            for name in compared
        )
        row = sql.SQL(", ")
        return sql.SQL(
            "SELECT s.kafka_partition, s.kafka_offset, "
            "array_to_string(ARRAY[{differing}]::text[], ', ') "
            # LIMIT keeps this a look into the index for each row: the planner, which
            # knows nothing of a temporary table, would rather read the whole table.
            "FROM {staged} AS s CROSS JOIN LATERAL "
            "(SELECT * FROM {table} AS t WHERE {same} "
            # The batch's span leaves out the chunks of a hypertable beforehand.
            "AND t.{time} BETWEEN %s AND %s LIMIT 1) AS t "
            "WHERE s.place = ANY (%s) AND ({ours}) IS DISTINCT FROM ({theirs}) "
            "AND NOT (s.kafka_offset >= 0 AND s.kafka_offset = t.kafka_offset "
            "AND s.kafka_partition = t.kafka_partition AND t.ingest_time >= "
            "COALESCE((SELECT first_seen FROM {seen} WHERE cluster_id = %s "
            "AND topic_id = %s), 'infinity')) ORDER BY s.place"
        ).format(
            differing=differing,
            staged=self.staged,
            table=self.name,
            same=sql.SQL(" AND ").join(
                sql.SQL("t.{c} = s.{c}").format(c=sql.Identifier(name))
                for name in self._identity
            ),
            ours=row.join(sql.Identifier("s", name) for name in compared),
            theirs=row.join(sql.Identifier("t", name) for name in compared),
            seen=sql.Identifier(self.name.strings[0], "topics_seen"),
            time=sql.Identifier(self.spec.time.field),
        )


def _names(names: Sequence[str] | dict[str, str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
