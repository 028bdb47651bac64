-- With whom the data of an upload was shared. A row is written by the transaction that makes the
-- share, and outlives the share: what was withdrawn or erased since is not shared again.

CREATE TABLE upload_shares (
    upload    BLOB NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    recipient BLOB NOT NULL,
    locator   BLOB NOT NULL,
    PRIMARY KEY (upload, recipient)
) STRICT, WITHOUT ROWID;

CREATE INDEX upload_shares_of_data ON upload_shares (locator, recipient);
