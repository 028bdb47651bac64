//! Many changes in one transaction, the frequent kinds many rows at a time.

use dm_core::{
    operation::OperationId,
    order::{OrderRecord, OrderState},
    ports::{CatalogError, LogEntry, TreeNode},
    share::{NewShare, ReadableObject},
};
use sqlx::SqliteConnection;

use super::{
    api_keys,
    change::{Change, Outcome},
    checkpoints, erasures, event_log, key_changes, key_uses, mandates, order_writes, peers, readable_objects,
    replicas, revocations, shares, tokens,
    transaction::{self, Failure},
    users,
};

/// Makes the changes in one transaction and says what came of each; when it
/// returns they are durable.
///
/// # Errors
/// Where the database fails. The transaction may still be open then.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    changes: &[&Change],
) -> Result<Vec<Outcome>, Failure> {
    let outcomes = make(connection, changes).await.map_err(Failure::Before)?;
    transaction::commit(connection).await.map_err(Failure::Commit)?;
    Ok(outcomes)
}

async fn make(connection: &mut SqliteConnection, changes: &[&Change]) -> Result<Vec<Outcome>, CatalogError> {
    transaction::begin(connection).await?;
    let mut batch = Batch::new(connection, changes.len());
    for (place, change) in changes.iter().enumerate() {
        batch.add(place, change).await?;
    }
    batch.flush().await?;
    Ok(batch.outcomes)
}

/// Collects changes whose order does not matter, kind by kind. Those of
/// different kinds touch different tables, or come to the same either way
/// round; what they must not pass is what takes shares or keys away.
struct Batch<'a> {
    connection: &'a mut SqliteConnection,
    outcomes: Vec<Outcome>,
    shares: Vec<(usize, &'a NewShare)>,
    readables: Vec<&'a ReadableObject>,
    orders: Vec<(usize, &'a OrderRecord)>,
    order_states: Vec<(OperationId, &'a OrderState)>,
    closed_orders: Vec<OperationId>,
    entries: Vec<&'a LogEntry>,
    nodes: Vec<&'a TreeNode>,
    log_length: Option<u64>,
    others: Vec<(usize, &'a Change)>,
}

impl<'a> Batch<'a> {
    fn new(connection: &'a mut SqliteConnection, changes: usize) -> Self {
        Self {
            connection,
            outcomes: vec![Outcome::Done; changes],
            shares: Vec::new(),
            readables: Vec::new(),
            orders: Vec::new(),
            order_states: Vec::new(),
            closed_orders: Vec::new(),
            entries: Vec::new(),
            nodes: Vec::new(),
            log_length: None,
            others: Vec::new(),
        }
    }

    async fn add(&mut self, place: usize, change: &'a Change) -> Result<(), CatalogError> {
        match change {
            Change::CommitShare(share) => self.shares.push((place, share)),
            Change::PutReadable(object) => self.readables.push(object),
            Change::InsertOrder(order) => self.orders.push((place, order)),
            Change::SetOrderState { id, state } => self.order_states.push((*id, state)),
            Change::CloseOrder(id) => self.closed_orders.push(*id),
            Change::Append { entries, nodes } => self.add_events(place, entries, nodes).await?,
            Change::RemoveReadable(data_hash) => {
                self.flush().await?;
                let existed = readable_objects::remove(self.connection, data_hash).await?;
                self.set_outcome(place, Outcome::Existed(existed));
            }
            Change::ForgetShare { data_hash, recipient } => {
                self.flush().await?;
                let existed = shares::take_back(self.connection, data_hash, *recipient).await?;
                self.set_outcome(place, Outcome::Existed(existed));
            }
            Change::BeginErasure(data_hash) => {
                self.flush().await?;
                let existed = erasures::begin(self.connection, data_hash).await?;
                self.set_outcome(place, Outcome::Existed(existed));
            }
            Change::RetireKey(version) => {
                self.flush().await?;
                let retirement = key_uses::retire(self.connection, *version).await?;
                self.set_outcome(place, Outcome::Retirement(retirement));
            }
            Change::BeginRevocation { data_hash, recipient } => {
                self.flush().await?;
                revocations::begin(self.connection, data_hash, *recipient).await?;
            }
            Change::AdoptPreparedKey {
                data_hash,
                chunk_list,
            } => {
                self.flush().await?;
                let existed = revocations::adopt(self.connection, data_hash, chunk_list).await?;
                self.set_outcome(place, Outcome::Existed(existed));
            }
            other => self.others.push((place, other)),
        }
        Ok(())
    }

    /// Takes events that go on where the log ends; others are refused alone.
    async fn add_events(
        &mut self,
        place: usize,
        entries: &'a [LogEntry],
        nodes: &'a [TreeNode],
    ) -> Result<(), CatalogError> {
        let length = match self.log_length {
            Some(length) => length,
            None => event_log::length(&mut *self.connection).await?,
        };
        self.log_length = Some(length);
        if !entries
            .iter()
            .map(|entry| entry.index)
            .eq((length..).take(entries.len()))
        {
            let reason = format!("the log has {length} events, and the new ones do not go on from there");
            self.set_outcome(place, Outcome::Refused(reason));
            return Ok(());
        }
        self.log_length = Some(length + entries.len() as u64);
        self.entries.extend(entries);
        self.nodes.extend(nodes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), CatalogError> {
        let new_shares = std::mem::take(&mut self.shares);
        for (place, inserted) in shares::commit(self.connection, &new_shares).await? {
            self.set_outcome(place, Outcome::Share(inserted));
        }
        readable_objects::put(self.connection, &std::mem::take(&mut self.readables)).await?;
        self.flush_orders().await?;
        let mut nodes = std::mem::take(&mut self.nodes);
        event_log::append(self.connection, &std::mem::take(&mut self.entries), &mut nodes).await?;
        for (place, change) in std::mem::take(&mut self.others) {
            let outcome = make_alone(self.connection, change).await?;
            self.set_outcome(place, outcome);
        }
        Ok(())
    }

    /// New orders first: a state may be that of one of them.
    async fn flush_orders(&mut self) -> Result<(), CatalogError> {
        let new_orders = std::mem::take(&mut self.orders);
        for (place, inserted) in order_writes::insert(self.connection, &new_orders).await? {
            self.set_outcome(place, Outcome::Order(inserted));
        }
        order_writes::set_states(self.connection, &std::mem::take(&mut self.order_states)).await?;
        order_writes::close(self.connection, &std::mem::take(&mut self.closed_orders)).await
    }

    fn set_outcome(&mut self, place: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(place) {
            *slot = outcome;
        }
    }
}

/// Makes a change of a kind that is not collected.
async fn make_alone(connection: &mut SqliteConnection, change: &Change) -> Result<Outcome, CatalogError> {
    match change {
        Change::SetGrantOwed {
            data_hash,
            recipient,
            owed,
        } => {
            shares::set_grant_owed(connection, data_hash, *recipient, *owed).await?;
        }
        Change::SetReceiptSpread { data_hash, recipient } => {
            shares::set_receipt_spread(connection, data_hash, *recipient).await?;
        }
        Change::SetReplicas {
            id,
            sequence,
            replicas,
        } => {
            replicas::set(connection, id, *sequence, *replicas).await?;
        }
        Change::PutCheckpoint(checkpoint) => checkpoints::put(connection, checkpoint).await?,
        Change::RemoveCheckpoint(size) => checkpoints::remove(connection, *size).await?,
        Change::InsertApiKey(key) => return api_keys::insert(connection, key).await,
        Change::RevokeApiKey { id, now } => return api_keys::revoke(connection, id, *now).await,
        Change::PutApiKeyUsage(usage) => api_keys::put_usage(connection, usage).await?,
        Change::PutPeers(records) => peers::put(connection, records).await?,
        Change::RemovePeers(peer_ids) => peers::remove(connection, peer_ids).await?,
        Change::Rewrap(keys) => readable_objects::rewrap(connection, keys).await?,
        Change::ScheduleErasure { data_hash, at } => erasures::schedule(connection, data_hash, *at).await?,
        Change::EndErasure(data_hash) => erasures::end(connection, data_hash).await?,
        Change::KeyChangeBegun(begun) => key_changes::begin(connection, begun).await?,
        Change::KeyChangeEnded(id) => key_changes::end(connection, id).await?,
        Change::EndRevocation { data_hash, recipient } => {
            revocations::end(connection, data_hash, *recipient).await?;
        }
        Change::PrepareKey(next) => revocations::prepare(connection, next).await?,
        Change::SetOrderTries { id, state, tries } => {
            order_writes::set_tries(connection, *id, state, tries).await?;
        }
        Change::AddToken(token) => return tokens::add(connection, token).await,
        Change::UpdateToken(facts) => return tokens::update(connection, facts).await,
        Change::InsertUser(user) => return users::insert(connection, user).await,
        Change::RemoveUser(id) => return users::remove(connection, id).await,
        Change::ForgetMandates(now) => mandates::forget(connection, *now).await?,
        Change::CommitShare(_)
        | Change::ForgetShare { .. }
        | Change::PutReadable(_)
        | Change::RemoveReadable(_)
        | Change::BeginErasure(_)
        | Change::RetireKey(_)
        | Change::BeginRevocation { .. }
        | Change::AdoptPreparedKey { .. }
        | Change::InsertOrder(_)
        | Change::SetOrderState { .. }
        | Change::CloseOrder(_)
        | Change::Append { .. } => {}
    }
    Ok(Outcome::Done)
}
