use std::collections::HashMap;

use bytes::Bytes;

use crate::engine::{Change, Table};

/// Changes to the tables, the last one to each key.
#[derive(Default)]
pub(crate) struct Changes {
    tables: [HashMap<Bytes, Option<Bytes>>; Table::ALL.len()],
    bytes: usize,
}

impl Changes {
    pub(crate) fn set(&mut self, table: Table, key: Bytes, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        self.tables[table as usize].insert(key, value);
    }

    /// What was set, `None` where nothing was.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<&Option<Bytes>> {
        self.tables[table as usize].get(key)
    }

    pub(super) fn absorb(&mut self, later: Self) {
        for (table, changes) in self.tables.iter_mut().zip(later.tables) {
            table.extend(changes);
        }
        self.bytes += later.bytes;
    }

    /// Bytes of keys and values that were set, roughly what a commit writes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tables.iter().all(HashMap::is_empty)
    }

    /// The changes; their bytes are shared.
    pub(crate) fn list(&self) -> Vec<Change> {
        let of_table = |(table, changes): (Table, &HashMap<Bytes, Option<Bytes>>)| {
            let change = |(key, value): (&Bytes, &Option<Bytes>)| Change {
                table,
                key: key.clone(),
                value: value.clone(),
            };
            changes.iter().map(change).collect::<Vec<_>>()
        };
        Table::ALL
            .into_iter()
            .zip(&self.tables)
            .flat_map(of_table)
            .collect()
    }

    pub(crate) fn into_list(self) -> Vec<Change> {
        let of_table = |(table, changes): (Table, HashMap<Bytes, Option<Bytes>>)| {
            changes
                .into_iter()
                .map(move |(key, value)| Change { table, key, value })
        };
        Table::ALL
            .into_iter()
            .zip(self.tables)
            .flat_map(of_table)
            .collect()
    }
}
