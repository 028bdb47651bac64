-- Instances of a node, and which of them leads. Times are by the clock of the database.

-- Who had the lease of the leader from when until when. The newest row is the lease: it is
-- held until `ends_at`.
CREATE TABLE leases (
    epoch      INTEGER PRIMARY KEY,
    instance   BLOB NOT NULL,
    taken_at   INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE instances (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    peer_id    TEXT,
    -- A JSON array of texts.
    addresses  TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
