-- Trainings asked for, under way and done. At most one of a model is open.
CREATE TABLE {schema}.retrain_jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    model_name text NOT NULL,
    stream text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (
        state IN ('queued', 'running', 'succeeded', 'refused', 'failed', 'cancelled')),
    trigger text NOT NULL,
    reason text NOT NULL DEFAULT '',
    requested_by text NOT NULL DEFAULT '',
    options jsonb NOT NULL DEFAULT '{{}}',
    requested_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heartbeat_at timestamptz,
    finished_at timestamptz,
    worker text,
    attempts integer NOT NULL DEFAULT 0,
    step text NOT NULL DEFAULT '',
    version bigint,
    outcome text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{{}}'
);
CREATE UNIQUE INDEX retrain_jobs_open ON {schema}.retrain_jobs (model_name)
    WHERE state IN ('queued', 'running');
CREATE INDEX retrain_jobs_requested_at ON {schema}.retrain_jobs (requested_at DESC);

-- Every verdict of the monitor with all that went into it.
CREATE TABLE {schema}.drift_reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    checked_at timestamptz NOT NULL DEFAULT now(),
    stream text NOT NULL,
    model_name text NOT NULL,
    model_version bigint,
    kind text NOT NULL CHECK (kind IN ('input', 'error')),
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('stable', 'warning', 'drift', 'unknown')),
    report jsonb NOT NULL,
    UNIQUE (stream, model_name, kind, window_end)
);
CREATE INDEX drift_reports_checked_at ON {schema}.drift_reports (checked_at DESC);
CREATE INDEX drift_reports_window_end
    ON {schema}.drift_reports (window_end DESC, id DESC);

-- An alert with a key stays one row from its first report until it is resolved.
ALTER TABLE {schema}.alerts
    ADD COLUMN source text NOT NULL DEFAULT 'rtmlops',
    ADD COLUMN key text,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN times_reported integer NOT NULL DEFAULT 1,
    ADD COLUMN resolved_at timestamptz;
CREATE UNIQUE INDEX alerts_open_key ON {schema}.alerts (source, key)
    WHERE resolved_at IS NULL AND key IS NOT NULL;
CREATE INDEX alerts_open ON {schema}.alerts (id DESC) WHERE resolved_at IS NULL;

-- A new champion is watched for a while beside the one it replaced.
CREATE TABLE {schema}.probations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_name text NOT NULL,
    version bigint NOT NULL,
    former_version bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'watching' CHECK (
        state IN ('watching', 'passed', 'rolled_back', 'superseded')),
    decided_at timestamptz,
    detail jsonb NOT NULL DEFAULT '{{}}'
);
CREATE UNIQUE INDEX probations_open ON {schema}.probations (model_name)
    WHERE state = 'watching';
