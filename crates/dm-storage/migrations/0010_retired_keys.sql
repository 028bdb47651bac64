-- Versions of the node's key that wrap nothing any more. A content key that one of
-- them wraps would be lost when the version is destroyed: it is refused.

CREATE TABLE retired_key_versions (
    version INTEGER PRIMARY KEY
) STRICT;

CREATE INDEX prepared_keys_by_key ON prepared_keys (key_version);

CREATE TRIGGER wrapped_by_retired_version BEFORE INSERT ON readable_objects
WHEN EXISTS (SELECT 1 FROM retired_key_versions WHERE version = NEW.key_version) BEGIN
    SELECT RAISE(ABORT, 'the key version is retired');
END;
CREATE TRIGGER prepared_by_retired_version BEFORE INSERT ON prepared_keys
WHEN EXISTS (SELECT 1 FROM retired_key_versions WHERE version = NEW.key_version) BEGIN
    SELECT RAISE(ABORT, 'the key version is retired');
END;
CREATE TRIGGER wrapped_again_by_retired_version BEFORE UPDATE OF key_version ON readable_objects
WHEN EXISTS (SELECT 1 FROM retired_key_versions WHERE version = NEW.key_version) BEGIN
    SELECT RAISE(ABORT, 'the key version is retired');
END;
