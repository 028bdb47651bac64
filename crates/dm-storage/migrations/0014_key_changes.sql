-- Changes of the node's keys that were begun and whose events are not known to be in
-- the log: what a stop interrupts is recorded at the next start, once.

CREATE TABLE key_changes (
    id     BLOB PRIMARY KEY,
    change TEXT NOT NULL,
    events INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
