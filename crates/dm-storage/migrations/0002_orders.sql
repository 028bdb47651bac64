-- Orders and the tokens that the node supports.
--
-- As in 0001, hashes and addresses are blobs of 32 and 20 bytes, times are
-- milliseconds since the Unix epoch, and the big table grows at its end.

CREATE TABLE orders (
    number          INTEGER PRIMARY KEY,
    id              BLOB NOT NULL,
    -- What is to be done, in JSON.
    content         TEXT NOT NULL,
    purpose         TEXT NOT NULL,
    -- Of the share that it pays for; NULL where it is no payment.
    locator         BLOB,
    data_hash       BLOB,
    recipient       BLOB,
    -- The payment that it gives back; NULL where it is no refund.
    refund_of       BLOB,
    client          TEXT,
    idempotency_key TEXT,
    created_at      INTEGER NOT NULL,
    -- How far it has come, in JSON, and a copy of the name of that state.
    state           TEXT NOT NULL,
    status          TEXT NOT NULL,
    is_closed       INTEGER NOT NULL DEFAULT 0,
    -- Position of the first transfer event with this operation.
    event_index     INTEGER,
    -- 1: a payment without its share and without a refund; kept by the triggers below.
    undelivered     INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX orders_by_id ON orders (id);
CREATE UNIQUE INDEX orders_by_key ON orders (client, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX orders_open ON orders (number) WHERE is_closed = 0;
CREATE INDEX orders_by_share ON orders (locator, recipient) WHERE locator IS NOT NULL;
CREATE INDEX orders_by_refunded ON orders (refund_of) WHERE refund_of IS NOT NULL;
CREATE INDEX orders_undelivered ON orders (created_at) WHERE undelivered = 1 AND status = 'completed';

-- An event may stand in the log before its order is kept.
CREATE INDEX events_by_operation ON events (json_extract(details, '$.operation')) WHERE kind = 'transfer';

-- Delivered payments leave orders_undelivered, or reading it would cost more
-- with every payment that was ever made. Whichever of a payment, its share and
-- its refund comes last finds the others.
CREATE TRIGGER share_delivers_payments AFTER INSERT ON shares BEGIN
    UPDATE orders SET undelivered = 0
    WHERE locator = NEW.locator AND recipient = NEW.recipient AND undelivered = 1;
END;
CREATE TRIGGER refund_settles_payment AFTER INSERT ON orders WHEN NEW.refund_of IS NOT NULL BEGIN
    UPDATE orders SET undelivered = 0 WHERE id = NEW.refund_of;
END;
CREATE TRIGGER payment_is_settled_already AFTER INSERT ON orders
WHEN NEW.undelivered = 1 AND (
    EXISTS (SELECT 1 FROM shares WHERE locator = NEW.locator AND recipient = NEW.recipient)
    OR EXISTS (SELECT 1 FROM orders WHERE refund_of = NEW.id)
) BEGIN
    UPDATE orders SET undelivered = 0 WHERE number = NEW.number;
END;

CREATE TABLE tokens (
    ordinal  INTEGER PRIMARY KEY,
    address  BLOB NOT NULL UNIQUE,
    kind     TEXT NOT NULL,
    symbol   TEXT NOT NULL,
    name     TEXT NOT NULL,
    decimals INTEGER NOT NULL,
    issued   INTEGER NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;
