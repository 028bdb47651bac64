-- The journal of events: what happened, numbered in the order of the commits.

CREATE TABLE journal (
    -- Given by SQLite as the largest one plus 1; the newest row is never deleted, so
    -- that no position is given twice.
    position INTEGER PRIMARY KEY,
    -- Milliseconds since the Unix epoch.
    at       INTEGER NOT NULL,
    topic    TEXT NOT NULL,
    -- Data hash of the data that it is about; NULL where it is about none.
    subject  BLOB,
    -- A JSON object.
    data     TEXT NOT NULL
) STRICT;

-- Tells the cursors of this journal from those of others.
CREATE TABLE journal_identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id   BLOB NOT NULL
) STRICT;
INSERT INTO journal_identity VALUES (1, randomblob(8));
