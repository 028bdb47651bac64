-- A receipt that travels with its object names the anchor that first covered
-- its event. Where that anchor leaves the chain or moves to another block, the
-- receipt is due again.

CREATE INDEX shares_receipt_spread ON shares (event_index) WHERE receipt_state = 2;

CREATE TRIGGER checkpoint_left AFTER DELETE ON checkpoints BEGIN
    UPDATE shares SET receipt_state = 1
    WHERE receipt_state = 2 AND event_index < OLD.size
        AND event_index >= coalesce((SELECT max(size) FROM checkpoints WHERE size < OLD.size), 0);
END;

CREATE TRIGGER checkpoint_moved AFTER UPDATE ON checkpoints
WHEN OLD.block <> NEW.block OR OLD.timestamp <> NEW.timestamp BEGIN
    UPDATE shares SET receipt_state = 1
    WHERE receipt_state = 2 AND event_index < NEW.size
        AND event_index >= coalesce((SELECT max(size) FROM checkpoints WHERE size < NEW.size), 0);
END;
