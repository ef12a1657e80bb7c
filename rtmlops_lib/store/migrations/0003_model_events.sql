-- Every move of a model's alias: planned first, carried out after. A row without
-- done_at is what a kill left behind; whoever takes the lock next carries it out.
CREATE TABLE {schema}.model_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    planned_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    move_id uuid NOT NULL,
    model_name text NOT NULL,
    action text NOT NULL,
    alias text,
    from_version bigint,
    to_version bigint,
    forced boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{{}}'
);
CREATE INDEX model_events_open ON {schema}.model_events (model_name)
    WHERE done_at IS NULL;
