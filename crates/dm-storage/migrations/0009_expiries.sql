-- When data is to be erased by itself.

CREATE TABLE expiries (
    locator    BLOB PRIMARY KEY,
    data_hash  BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX expiries_by_time ON expiries (expires_at);
