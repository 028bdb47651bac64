-- Where each share stands: a row from its commit on, which outlives the share itself. What is
-- said of the data is sealed, and what a share is found by is a keyed hash, or the first 16
-- bytes of the recipient's address, which stands beside it.

CREATE TABLE sent (
    number          INTEGER PRIMARY KEY,
    locator         BLOB NOT NULL,
    recipient       BLOB NOT NULL,
    data_hash       BLOB NOT NULL,
    created_at      INTEGER NOT NULL,
    -- NULL for shares of earlier versions.
    descriptor      BLOB,
    -- 0 shared, 1 notified, 2 acknowledged, 3 revoked, 4 erased, 5 expired.
    state           INTEGER NOT NULL,
    granted_at      INTEGER,
    notified_at     INTEGER,
    fetched_at      INTEGER,
    acknowledged_at INTEGER,
    -- Position of the event of its delivery.
    delivery_index  INTEGER,
    ended_at        INTEGER,
    -- Position of the event of a share that is over; before, `shares` has it.
    event_index     INTEGER
) STRICT;

-- Of the shares with one name, all but the last are over.
CREATE INDEX sent_by_name ON sent (locator, recipient);
CREATE INDEX sent_by_state ON sent (state, number);

CREATE TABLE sent_terms (
    term   BLOB NOT NULL,
    state  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (term, state, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX sent_terms_of_share ON sent_terms (number);

CREATE TRIGGER sent_state_of_terms AFTER UPDATE OF state ON sent WHEN NEW.state <> OLD.state
BEGIN
    UPDATE sent_terms SET state = NEW.state WHERE number = NEW.number;
END;

CREATE TRIGGER sent_terms_go AFTER DELETE ON sent
BEGIN
    DELETE FROM sent_terms WHERE number = OLD.number;
END;

-- Shares from before, with what is known of them.
INSERT INTO sent (number, locator, recipient, data_hash, created_at, state)
    SELECT id, locator, recipient, data_hash, created_at, 0 FROM shares;
INSERT INTO sent_terms (term, state, number)
    SELECT substr(recipient, 1, 16), 0, number FROM sent;
