-- Positions: one row a consumer group and partition. Its updates touch no indexed
-- column and find room on their own page.
CREATE TABLE {schema}.stream_offsets (
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition, cluster_id, topic_id)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500);

-- When a topic was first read: a row stored before that came from a former topic of
-- the same name, so that equal positions do not mean equal events.
CREATE TABLE {schema}.topics_seen (
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    topic text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic_id)
);

CREATE TABLE {schema}.alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    raised_at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    stream text,
    message text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{{}}',
    acknowledged_at timestamptz,
    acknowledged_by text
);
CREATE INDEX alerts_raised_at ON {schema}.alerts (raised_at DESC);

CREATE TABLE {schema}.dlq_replays (
    letter_key text NOT NULL,
    replay_count integer NOT NULL,
    replayed_at timestamptz NOT NULL DEFAULT now(),
    target_topic text NOT NULL,
    PRIMARY KEY (letter_key, replay_count)
);

-- Minutes that received rows since they were last rolled up, written in the
-- transaction of the rows themselves (databases without continuous aggregates).
CREATE TABLE {schema}.rollup_dirty (
    table_name text NOT NULL,
    bucket timestamptz NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Up to where the views read rolled-up rows; beyond, they read the events.
CREATE TABLE {schema}.rollup_state (
    table_name text PRIMARY KEY,
    minutes_until timestamptz NOT NULL DEFAULT '-infinity',
    hours_until timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE TABLE {schema}.stack_marker (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    written_by text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);
