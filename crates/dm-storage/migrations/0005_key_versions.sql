-- Which version of the node's key wraps a content key: to find those that an older
-- version wraps after a rotation.

CREATE INDEX readable_objects_by_key ON readable_objects (key_version, id);
