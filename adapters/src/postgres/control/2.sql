-- Which steps made these tables. works_from: the oldest release, by its own last step, that can work beside the step.
CREATE TABLE IF NOT EXISTS strangler_control_bookkeeping (
    step integer PRIMARY KEY,
    works_from integer NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The newest mark of each side that was seen.
CREATE TABLE IF NOT EXISTS strangler_control_memory (
    side text PRIMARY KEY,
    incarnation bigint NOT NULL,
    mark bigint NOT NULL,
    random bigint NOT NULL
);
