-- Events that were forgotten before a subscription could have them.

ALTER TABLE subscriptions ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;
