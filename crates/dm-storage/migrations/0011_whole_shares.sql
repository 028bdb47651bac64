-- A share says what its event is to say, what was asked for under its idempotency key,
-- and which end of the data it asks for, so that all of that survives an interruption.

ALTER TABLE shares ADD COLUMN kind TEXT NOT NULL DEFAULT 'data_share';
-- Digest of the request; NULL for shares from before.
ALTER TABLE shares ADD COLUMN request BLOB;
-- NULL: never.
ALTER TABLE shares ADD COLUMN expires_at INTEGER;

-- Shares from before end with their data.
UPDATE shares SET expires_at =
    (SELECT expires_at FROM expiries WHERE expiries.locator = shares.locator);

-- Owed grants are looked for recipient by recipient.
DROP INDEX shares_grant_owed;
CREATE INDEX shares_grant_owed ON shares (recipient, id) WHERE grant_owed = 1;
