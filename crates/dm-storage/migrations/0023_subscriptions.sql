-- Programs that are called when something happens.

CREATE TABLE subscriptions (
    ordinal       INTEGER PRIMARY KEY,
    id            BLOB NOT NULL UNIQUE,
    name          TEXT NOT NULL UNIQUE,
    url           TEXT NOT NULL,
    -- A JSON array of topics and groups; empty for all.
    topics        TEXT NOT NULL,
    -- A JSON object of what an event must have.
    filter        TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    state         TEXT NOT NULL,
    -- Position in the journal up to which everything is done.
    read_to       INTEGER NOT NULL,
    -- Attempts for the next event that failed, when it is tried again, and why.
    attempts      INTEGER NOT NULL,
    next_try      INTEGER NOT NULL,
    last_error    TEXT
) STRICT;

-- Events that a receiver did not take, however often it was tried.
CREATE TABLE dead_letters (
    subscription BLOB NOT NULL,
    position     INTEGER NOT NULL,
    topic        TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    failed_at    INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    PRIMARY KEY (subscription, position)
) STRICT, WITHOUT ROWID;
