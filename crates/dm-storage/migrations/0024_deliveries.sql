-- What recipients have acknowledged: of objects of this node each of their recipients, of
-- objects of others this node itself.

CREATE TABLE deliveries (
    number      INTEGER PRIMARY KEY,
    locator     BLOB NOT NULL,
    owner       BLOB NOT NULL,
    recipient   BLOB NOT NULL,
    data_hash   BLOB NOT NULL,
    -- What the recipient has signed.
    statement   BLOB NOT NULL,
    -- Position of its event in the log; NULL until it is recorded.
    event_index INTEGER,
    UNIQUE (locator, owner, recipient)
) STRICT;

CREATE INDEX deliveries_unrecorded ON deliveries (number) WHERE event_index IS NULL;

-- When an item was first read and checked here.
ALTER TABLE inbox ADD COLUMN fetched_at INTEGER;
