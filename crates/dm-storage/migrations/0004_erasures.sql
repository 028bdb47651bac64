-- Data that is being erased: its key is gone, and what else belongs to the
-- erasure is done again after a stop until the entry is taken out.

CREATE TABLE erasures (
    locator   BLOB PRIMARY KEY,
    data_hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
