-- Key-value namespaces, where they are not kept beside the objects.
CREATE TABLE namespaces (
    namespace TEXT NOT NULL,
    key       BLOB NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
