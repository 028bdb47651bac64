-- Users who may order shares, the statements on which shares were made, and the
-- mandate of an event.

CREATE TABLE authorized_users (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    public_key  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    added_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A row is made with its share and stays when the share goes: a statement is
-- good once. It goes when the statement has ended and the share is recorded.
CREATE TABLE mandates (
    -- SHA-256 of the statement.
    digest     BLOB PRIMARY KEY,
    user_id    TEXT NOT NULL,
    key        TEXT NOT NULL,
    key_kind   TEXT NOT NULL,
    statement  TEXT NOT NULL,
    signature  TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX mandates_by_end ON mandates (expires_at);

-- Digest of the statement on which the share was made.
ALTER TABLE shares ADD COLUMN mandate BLOB;

-- A JSON object; NULL where nobody has signed.
ALTER TABLE events ADD COLUMN mandate TEXT;
