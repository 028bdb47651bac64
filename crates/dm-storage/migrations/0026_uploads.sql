-- Uploads that resume: what has come of each is durable, and sealed.

CREATE TABLE uploads (
    id          BLOB PRIMARY KEY,
    -- The API key that began it.
    key_id      TEXT NOT NULL,
    -- Plaintext bytes that it shall have, and that have come.
    length      INTEGER NOT NULL,
    received    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    -- What its data is to be shared for, sealed.
    terms       BLOB NOT NULL,
    -- The content key; NULL once the data is shared.
    key_version INTEGER,
    key_token   TEXT,
    -- Bytes behind the last whole chunk, sealed; NULL where there are none.
    tail        BLOB,
    -- Whether all has come and the share was refused.
    refused     INTEGER NOT NULL DEFAULT 0,
    -- What was shared; NULL until then.
    data_hash   BLOB
) STRICT;

CREATE INDEX uploads_open ON uploads (key_id, length) WHERE data_hash IS NULL;
CREATE INDEX uploads_complete ON uploads (id) WHERE data_hash IS NULL AND received = length AND refused = 0;
CREATE INDEX uploads_by_end ON uploads (expires_at);
CREATE INDEX uploads_by_key ON uploads (key_version) WHERE key_version IS NOT NULL;

CREATE TRIGGER received_by_retired_version BEFORE INSERT ON uploads
WHEN EXISTS (SELECT 1 FROM retired_key_versions WHERE version = NEW.key_version) BEGIN
    SELECT RAISE(ABORT, 'the key version is retired');
END;
