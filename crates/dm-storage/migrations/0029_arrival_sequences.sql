-- Which version of an object has come, so that what comes while an older one is looked at is
-- not forgotten with it.

ALTER TABLE arrivals ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
