-- The inbox: one row for each object that was shared with this node. What its owner says of
-- it is sealed, and what it is found by is a keyed hash.

CREATE TABLE inbox (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    locator     BLOB NOT NULL,
    owner       BLOB NOT NULL,
    data_hash   BLOB NOT NULL,
    size        INTEGER NOT NULL,
    descriptor  BLOB NOT NULL,
    sequence    INTEGER NOT NULL,
    shared_at   INTEGER NOT NULL,
    -- Grows with the number.
    received_at INTEGER NOT NULL,
    expires_at  INTEGER,
    -- 0 new, 1 fetched, 2 acknowledged, 3 revoked, 4 erased, 5 expired, 6 removed from the list.
    state       INTEGER NOT NULL,
    anchored    INTEGER NOT NULL,
    UNIQUE (locator, owner)
) STRICT;

CREATE INDEX inbox_by_state ON inbox (state, number);
CREATE INDEX inbox_by_time ON inbox (received_at, number);
CREATE INDEX inbox_ending ON inbox (expires_at) WHERE expires_at IS NOT NULL AND state < 3;

-- What items are found by, in the order of the pages: each term with each state is a range.

CREATE TABLE inbox_terms (
    term   BLOB NOT NULL,
    state  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (term, state, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX inbox_terms_of_item ON inbox_terms (number);

CREATE TRIGGER inbox_state_of_terms AFTER UPDATE OF state ON inbox WHEN NEW.state <> OLD.state
BEGIN
    UPDATE inbox_terms SET state = NEW.state WHERE number = NEW.number;
END;

-- Objects that have come and are not listed yet.

CREATE TABLE arrivals (
    locator BLOB NOT NULL,
    owner   BLOB NOT NULL,
    PRIMARY KEY (locator, owner)
) STRICT, WITHOUT ROWID;
