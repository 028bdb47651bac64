-- What narrows a key: names of routes and addresses, separated by commas;
-- nothing where the key is not narrowed by them.
ALTER TABLE api_keys ADD COLUMN routes TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN recipients TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN bytes_budget INTEGER;

-- What keys were used for. It has a table of its own: what changes here is no
-- change of the keys, which their generation counts.
CREATE TABLE api_key_usage (
    id           TEXT PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
    bytes_used   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
