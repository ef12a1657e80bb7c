-- What a stateful service knows of a partition after the records below next_offset.
CREATE TABLE {schema}.detector_state (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL,
    snapshot bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition, cluster_id, topic_id)
);
-- Snapshots are compressed already.
ALTER TABLE {schema}.detector_state ALTER COLUMN snapshot SET STORAGE EXTERNAL;

-- One row an anomaly, from its first conspicuous event to its last.
CREATE TABLE {schema}.anomaly_events (
    stream text NOT NULL,
    series_key text NOT NULL,
    detector text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    peak_at timestamptz NOT NULL,
    confirmed_at timestamptz NOT NULL,
    peak_score double precision NOT NULL,
    flagged_rows bigint NOT NULL,
    severity text NOT NULL,
    metric text,
    explanation text NOT NULL,
    state text NOT NULL,
    series jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, series_key, detector, started_at)
);
CREATE INDEX anomaly_events_started_at ON {schema}.anomaly_events (started_at);
