-- Refunds are tried until they are made, ended by an operator, or called off
-- because the payment counts for its share again.

-- What came of the attempts, in JSON; NULL where there were none.
ALTER TABLE orders ADD COLUMN tries TEXT;

-- A refund that was called off leaves its payment as if there were none.
DROP TRIGGER refund_settles_payment;
DROP TRIGGER payment_is_settled_already;
CREATE TRIGGER refund_settles_payment AFTER INSERT ON orders
WHEN NEW.refund_of IS NOT NULL AND NEW.status <> 'called_off' BEGIN
    UPDATE orders SET undelivered = 0 WHERE id = NEW.refund_of;
END;
CREATE TRIGGER refund_stands AFTER UPDATE OF status ON orders
WHEN NEW.refund_of IS NOT NULL AND NEW.status <> 'called_off' AND OLD.status = 'called_off' BEGIN
    UPDATE orders SET undelivered = 0 WHERE id = NEW.refund_of;
END;
CREATE TRIGGER refund_is_called_off AFTER UPDATE OF status ON orders
WHEN NEW.refund_of IS NOT NULL AND NEW.status = 'called_off' AND OLD.status <> 'called_off' BEGIN
    UPDATE orders SET undelivered = 1
    WHERE id = NEW.refund_of AND locator IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM shares WHERE shares.locator = orders.locator AND shares.recipient = orders.recipient
    );
END;
CREATE TRIGGER payment_is_settled_already AFTER INSERT ON orders
WHEN NEW.undelivered = 1 AND (
    EXISTS (SELECT 1 FROM shares WHERE locator = NEW.locator AND recipient = NEW.recipient)
    OR EXISTS (SELECT 1 FROM orders WHERE refund_of = NEW.id AND status <> 'called_off')
) BEGIN
    UPDATE orders SET undelivered = 0 WHERE number = NEW.number;
END;

-- Refunds that earlier versions have given up are taken up again, but for those that
-- were under way in a backup: the node that it is of may have made them.
--
-- A transaction that was undone in a block that may still be taken back is followed further.
UPDATE orders SET
    state = json_object('status', 'sent', 'tx_hash', json_extract(state, '$.tx_hash')),
    status = 'sent'
WHERE refund_of IS NOT NULL AND status = 'failed' AND is_closed = 0
    AND json_extract(state, '$.tx_hash') IS NOT NULL
    AND json_extract(state, '$.reason') NOT LIKE 'it was under way when the backup was made%';
UPDATE orders SET
    tries = json_object(
        'failed', 1, 'spent', json_extract(state, '$.tx_hash') IS NOT NULL,
        'reason', json_extract(state, '$.reason'), 'next_at', 0, 'payer', NULL
    ),
    state = '{"status":"accepted"}',
    status = 'accepted',
    is_closed = 0
WHERE refund_of IS NOT NULL AND status = 'failed'
    AND json_extract(state, '$.reason') NOT LIKE 'it was under way when the backup was made%';
