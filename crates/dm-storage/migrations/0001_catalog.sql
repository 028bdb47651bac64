-- The catalog: shares, readable objects, the compliance log, API keys, peers.
--
-- Hashes and addresses are blobs of 32 and 20 bytes. Times are milliseconds
-- since the Unix epoch. The big tables grow at their end (integer keys in the
-- order of arrival), so that a share touches few pages whatever their size:
-- only the indexes over hashes are written at random places.

-- "dmnd": this database belongs to a DataMgmt node.
PRAGMA application_id = 1684893284;

CREATE TABLE shares (
    id              INTEGER PRIMARY KEY,
    locator         BLOB NOT NULL,
    data_hash       BLOB NOT NULL,
    recipient       BLOB NOT NULL,
    client          TEXT,
    idempotency_key TEXT,
    created_at      INTEGER NOT NULL,
    grant_owed      INTEGER NOT NULL DEFAULT 0,
    -- Position of the first data_share or grant event with this data and recipient.
    event_index     INTEGER,
    -- 0: no object under the locator has had a replica yet;
    -- 1: one has, the receipt is due; 2: the receipt is in the envelope.
    receipt_state   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX shares_by_recipient ON shares (locator, recipient);
CREATE UNIQUE INDEX shares_by_key ON shares (client, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX shares_unrecorded ON shares (id) WHERE event_index IS NULL;
CREATE INDEX shares_grant_owed ON shares (id) WHERE grant_owed = 1;
CREATE INDEX shares_receipt_due ON shares (event_index) WHERE receipt_state = 1;

CREATE TABLE readable_objects (
    id          INTEGER PRIMARY KEY,
    locator     BLOB NOT NULL UNIQUE,
    data_hash   BLOB NOT NULL,
    owner       BLOB NOT NULL,
    size        INTEGER NOT NULL,
    chunk_list  BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    key_token   TEXT NOT NULL,
    -- Copy of the object's count in `replicas`, 0 where it has none.
    replicas    INTEGER NOT NULL
) STRICT;

CREATE INDEX readable_objects_by_replicas ON readable_objects (owner, replicas);

CREATE TABLE replicas (
    locator  BLOB NOT NULL,
    owner    BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    replicas INTEGER NOT NULL,
    PRIMARY KEY (locator, owner)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    position  INTEGER PRIMARY KEY,
    version   INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    log       BLOB NOT NULL,
    data_hash BLOB,
    recipient BLOB,
    timestamp INTEGER NOT NULL,
    nonce     BLOB NOT NULL,
    -- A JSON object; NULL where there are no details.
    details   TEXT
) STRICT;

CREATE INDEX events_by_kind ON events (kind);
CREATE INDEX events_by_data ON events (data_hash, kind) WHERE data_hash IS NOT NULL;
CREATE INDEX events_by_recipient ON events (recipient, kind) WHERE recipient IS NOT NULL;

CREATE TABLE tree_nodes (
    position INTEGER PRIMARY KEY,
    hash     BLOB NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    size      INTEGER PRIMARY KEY,
    root      BLOB NOT NULL,
    chain_id  INTEGER NOT NULL,
    contract  BLOB NOT NULL,
    tx_hash   BLOB NOT NULL,
    block     INTEGER NOT NULL,
    -- Seconds since the Unix epoch, as the contract saw it.
    timestamp INTEGER NOT NULL,
    is_final  INTEGER NOT NULL
) STRICT;

CREATE INDEX checkpoints_open ON checkpoints (size) WHERE is_final = 0;

CREATE TABLE api_keys (
    ordinal     INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    -- Names of scopes, separated by commas.
    scopes      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT;

-- Counts the changes of api_keys, whichever process makes them.
CREATE TABLE api_key_generation (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO api_key_generation VALUES (1, 0);
CREATE TRIGGER api_key_added AFTER INSERT ON api_keys BEGIN
    UPDATE api_key_generation SET value = value + 1;
END;
CREATE TRIGGER api_key_changed AFTER UPDATE ON api_keys BEGIN
    UPDATE api_key_generation SET value = value + 1;
END;
CREATE TRIGGER api_key_deleted AFTER DELETE ON api_keys BEGIN
    UPDATE api_key_generation SET value = value + 1;
END;

CREATE TABLE peers (
    peer_id    TEXT PRIMARY KEY,
    -- A JSON array of multiaddrs.
    addresses  TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    latency_ms INTEGER,
    successes  INTEGER NOT NULL,
    failures   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
