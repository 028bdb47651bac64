-- The trace of the request that an event comes of, where it was recorded: 25 bytes, see
-- `TraceContext` of dm-core. So what happens later is part of it, in whichever instance.

ALTER TABLE events ADD COLUMN trace BYTEA;
ALTER TABLE journal ADD COLUMN trace BYTEA;
