-- Names for addresses, and what their address records said when the operator last
-- confirmed them.

CREATE TABLE contacts (
    -- In lower case.
    name           TEXT PRIMARY KEY,
    address        BLOB NOT NULL,
    trust          TEXT NOT NULL,
    note           TEXT,
    added_at       INTEGER NOT NULL,
    -- HPKE key and peer id; NULL until a record has been seen.
    confirmed_key  BLOB,
    confirmed_peer TEXT,
    -- What the record says instead since then; NULL where it says the same.
    changed_at     INTEGER,
    changed_key    BLOB,
    changed_peer   TEXT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX contacts_by_address ON contacts (address);
