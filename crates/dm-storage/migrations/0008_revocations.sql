-- Access that is being withdrawn: the share is forgotten, and what else belongs
-- to the revocation is done again after a stop until the entry is taken out.

CREATE TABLE revocations (
    locator   BLOB NOT NULL,
    recipient BLOB NOT NULL,
    data_hash BLOB NOT NULL,
    PRIMARY KEY (locator, recipient)
) STRICT, WITHOUT ROWID;

-- Keys of chunks that are about to take the place of those that are stored.

CREATE TABLE prepared_keys (
    locator     BLOB PRIMARY KEY,
    data_hash   BLOB NOT NULL,
    owner       BLOB NOT NULL,
    size        INTEGER NOT NULL,
    chunk_list  BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    key_token   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
