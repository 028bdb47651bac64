//! Many changes in one transaction, the frequent kinds many rows at a time.

use dm_core::{
    news::News,
    operation::OperationId,
    order::{OrderRecord, OrderState},
    ports::{CatalogError, ErasureCause, LogEntry, ShareInsert, TreeNode},
    share::{NewShare, ReadableObject},
};
use sqlx::SqliteConnection;

use super::{
    api_keys,
    change::{BulkChange, Change, Fence, OrderedChange, Outcome, SingleChange},
    checkpoints, contacts, deliveries, erasures, event_log, inbox, instances, journal, key_changes, key_uses,
    leases, mandates, namespaces, order_writes, peers, readable_objects, replicas, revocations, sent,
    share_writes,
    sql::Connection,
    subscriptions, tokens,
    traced_news::NewsOfCommit,
    transaction::{self, Failure},
    uploads, users,
};

/// What came of a transaction.
#[derive(Debug)]
pub(super) struct Made {
    /// What came of each change, by its place.
    pub(super) outcomes: Vec<Outcome>,
    /// Position of the newest event of the journal, if the transaction wrote any.
    pub(super) journal_end: Option<u64>,
    /// What has happened.
    pub(super) news: NewsOfCommit,
}

/// Makes the changes in one transaction and writes down in the journal what has
/// happened by them; when it returns all of it is durable.
///
/// # Errors
/// Where the database fails. The transaction may still be open then.
pub(super) async fn commit(connection: &mut SqliteConnection, changes: &[&Change]) -> Result<Made, Failure> {
    transaction::begin(connection).await?;
    let made = make(&mut Connection::Sqlite(connection), changes).await;
    let made = made.map_err(Failure::Before)?;
    transaction::commit(connection).await.map_err(Failure::Commit)?;
    Ok(made)
}

/// Makes the changes within a transaction.
///
/// # Errors
/// Where the database fails.
pub(super) async fn make(connection: &mut Connection<'_>, changes: &[&Change]) -> Result<Made, CatalogError> {
    let mut batch = Batch::new(connection, changes.len());
    for (place, change) in changes.iter().enumerate() {
        batch.add(place, change).await?;
    }
    batch.flush().await?;
    Ok(Made {
        journal_end: journal::append(batch.connection, batch.news.all()).await?,
        outcomes: batch.outcomes,
        news: batch.news,
    })
}

/// Collects changes whose order does not matter, kind by kind. Those of
/// different kinds touch different tables, or come to the same either way
/// round; what they must not pass is what takes shares or keys away.
struct Batch<'a, 'c> {
    connection: &'a mut Connection<'c>,
    outcomes: Vec<Outcome>,
    shares: Vec<(usize, &'a NewShare)>,
    readables: Vec<&'a ReadableObject>,
    orders: Vec<(usize, &'a OrderRecord)>,
    order_states: Vec<(OperationId, &'a OrderState)>,
    closed_orders: Vec<OperationId>,
    entries: Vec<&'a LogEntry>,
    nodes: Vec<&'a TreeNode>,
    log_length: Option<u64>,
    singles: Vec<(usize, &'a SingleChange)>,
    news: NewsOfCommit,
    /// What holds and what does not, as this transaction has found.
    fences: Vec<(&'a Fence, bool)>,
}

impl<'a, 'c> Batch<'a, 'c> {
    fn new(connection: &'a mut Connection<'c>, changes: usize) -> Self {
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
            singles: Vec::new(),
            news: NewsOfCommit::default(),
            fences: Vec::new(),
        }
    }

    async fn add(&mut self, place: usize, change: &'a Change) -> Result<(), CatalogError> {
        match change {
            Change::Bulk(change) => self.collect(place, change).await,
            Change::Single(change) => {
                self.singles.push((place, change));
                Ok(())
            }
            Change::Fenced(fence, change) => {
                if self.allows(fence).await? {
                    return Box::pin(self.add(place, change)).await;
                }
                self.set_outcome(place, Outcome::Fenced(fence.clone()));
                Ok(())
            }
            Change::Ordered(change) => {
                self.flush().await?;
                self.fences.clear();
                let outcome = make_ordered(self.connection, change, &mut self.news).await?;
                self.set_outcome(place, outcome);
                Ok(())
            }
        }
    }

    /// Whether that holds. Nobody else changes it before the commit: all who write wait for the
    /// end of this transaction.
    async fn allows(&mut self, fence: &'a Fence) -> Result<bool, CatalogError> {
        if let Some((_, allows)) = self.fences.iter().find(|(known, _)| *known == fence) {
            return Ok(*allows);
        }
        let allows = match fence {
            Fence::Epoch(epoch) => leases::is_of(self.connection, *epoch).await?,
            Fence::Last(instance) => leases::was_last(self.connection, *instance).await?,
            Fence::Standing(standing) => namespaces::is_as(self.connection, standing).await?,
        };
        self.fences.push((fence, allows));
        Ok(allows)
    }

    async fn collect(&mut self, place: usize, change: &'a BulkChange) -> Result<(), CatalogError> {
        match change {
            BulkChange::CommitShare(share) => self.shares.push((place, share)),
            BulkChange::PutReadable(object) => {
                if !readable_objects::is_there(self.connection, &object.data_hash).await? {
                    let is_listed = inbox::is_listed(self.connection, &object.id).await?;
                    self.news.push(News::of_readable(object, is_listed));
                }
                self.readables.push(object);
            }
            BulkChange::InsertOrder(order) => self.orders.push((place, order)),
            BulkChange::SetOrderState { id, state } => self.order_states.push((*id, state)),
            BulkChange::CloseOrder(id) => self.closed_orders.push(*id),
            BulkChange::Append { entries, nodes } => self.add_events(place, entries, nodes).await?,
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
        for entry in entries {
            self.news.push_traced(News::of_event(entry), entry.trace);
        }
        self.news.extend(entries.iter().filter_map(News::of_evidence));
        self.entries.extend(entries);
        self.nodes.extend(nodes);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), CatalogError> {
        let new_shares = std::mem::take(&mut self.shares);
        let outcomes = share_writes::commit(self.connection, &new_shares).await?;
        for ((place, inserted), (_, share)) in outcomes.into_iter().zip(new_shares) {
            if inserted == ShareInsert::Inserted {
                self.news.push_traced(News::of_share(&share.record), share.trace);
            }
            self.set_outcome(place, Outcome::Share(inserted));
        }
        readable_objects::put(self.connection, &std::mem::take(&mut self.readables)).await?;
        self.flush_orders().await?;
        let mut nodes = std::mem::take(&mut self.nodes);
        event_log::append(self.connection, &std::mem::take(&mut self.entries), &mut nodes).await?;
        for (place, change) in std::mem::take(&mut self.singles) {
            let outcome = make_single(self.connection, change, &mut self.news).await?;
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
        let states = std::mem::take(&mut self.order_states);
        self.news
            .extend(order_writes::set_states(self.connection, &states).await?);
        order_writes::close(self.connection, &std::mem::take(&mut self.closed_orders)).await
    }

    fn set_outcome(&mut self, place: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(place) {
            *slot = outcome;
        }
    }
}

/// Makes a change after everything that was asked for before it.
async fn make_ordered(
    connection: &mut Connection<'_>,
    change: &OrderedChange,
    news: &mut NewsOfCommit,
) -> Result<Outcome, CatalogError> {
    Ok(match change {
        OrderedChange::RemoveReadable(data_hash) => {
            Outcome::Existed(readable_objects::remove(connection, data_hash).await?)
        }
        OrderedChange::RemoveItems(data_hash) => inbox::remove(connection, data_hash).await?,
        OrderedChange::ForgetShare { data_hash, recipient } => {
            Outcome::Existed(share_writes::take_back(connection, data_hash, *recipient).await?)
        }
        OrderedChange::BeginErasure { data_hash, cause } => {
            inbox::end(connection, data_hash, *cause).await?;
            sent::end_all(connection, data_hash, *cause).await?;
            let begun = erasures::begin(connection, data_hash).await?;
            let data_hash = *data_hash;
            news.extend(begun.is_new.then_some(match cause {
                ErasureCause::Ordered => News::DataErased { data_hash },
                ErasureCause::Expired => News::DataExpired { data_hash },
            }));
            Outcome::Existed(begun.had_key)
        }
        OrderedChange::RetireKey(version) => {
            Outcome::Retirement(key_uses::retire(connection, *version).await?)
        }
        OrderedChange::BeginRevocation { data_hash, recipient } => {
            let (data_hash, recipient) = (*data_hash, *recipient);
            sent::revoke(connection, &data_hash, recipient).await?;
            let is_new = revocations::begin(connection, &data_hash, recipient).await?;
            news.extend(is_new.then_some(News::DataRevoked { data_hash, recipient }));
            Outcome::Done
        }
        OrderedChange::AdoptPreparedKey {
            data_hash,
            chunk_list,
        } => Outcome::Existed(revocations::adopt(connection, data_hash, chunk_list).await?),
        OrderedChange::ChangeLease(change) => leases::change(connection, *change).await?,
    })
}

/// Makes a change on its own.
async fn make_single(
    connection: &mut Connection<'_>,
    change: &SingleChange,
    news: &mut NewsOfCommit,
) -> Result<Outcome, CatalogError> {
    match change {
        SingleChange::SetGrantOwed {
            data_hash,
            recipient,
            owed,
        } => {
            share_writes::set_grant_owed(connection, data_hash, *recipient, *owed).await?;
            sent::set_grant_owed(connection, data_hash, *recipient, *owed).await?;
        }
        SingleChange::SetReceiptSpread { data_hash, recipient } => {
            share_writes::set_receipt_spread(connection, data_hash, *recipient).await?;
        }
        SingleChange::SetReplicas {
            id,
            sequence,
            replicas,
        } => {
            replicas::set(connection, id, *sequence, *replicas).await?;
        }
        SingleChange::PutCheckpoint(checkpoint) => {
            news.extend(checkpoints::put(connection, checkpoint).await?);
        }
        SingleChange::RemoveCheckpoint(size) => checkpoints::remove(connection, *size).await?,
        SingleChange::InsertApiKey(key) => return api_keys::insert(connection, key).await,
        SingleChange::RevokeApiKey { id, now } => return api_keys::revoke(connection, id, *now).await,
        SingleChange::AddApiKeyUsage(usage) => return api_keys::add_usage(connection, usage).await,
        SingleChange::PutPeers(records) => peers::put(connection, records).await?,
        SingleChange::RemovePeers(peer_ids) => peers::remove(connection, peer_ids).await?,
        SingleChange::Rewrap(keys) => readable_objects::rewrap(connection, keys).await?,
        SingleChange::ScheduleErasure { data_hash, at } => {
            erasures::schedule(connection, data_hash, *at).await?;
        }
        SingleChange::EndErasure(data_hash) => erasures::end(connection, data_hash).await?,
        SingleChange::KeyChangeBegun(begun) => key_changes::begin(connection, begun).await?,
        SingleChange::KeyChangeEnded(id) => key_changes::end(connection, id).await?,
        SingleChange::EndRevocation { data_hash, recipient } => {
            revocations::end(connection, data_hash, *recipient).await?;
        }
        SingleChange::PrepareKey(next) => revocations::prepare(connection, next).await?,
        SingleChange::SetOrderTries { id, state, tries } => {
            news.extend(order_writes::set_tries(connection, *id, state, tries).await?);
        }
        SingleChange::AddToken(token) => {
            let added = tokens::add(connection, token).await?;
            news.extend((added == Outcome::Existed(false)).then(|| News::of_token(token)));
            return Ok(added);
        }
        SingleChange::UpdateToken(facts) => return tokens::update(connection, facts).await,
        SingleChange::InsertUser(user) => return users::insert(connection, user).await,
        SingleChange::RemoveUser(id) => return users::remove(connection, id).await,
        SingleChange::PutContact(contact) => return contacts::put(connection, contact).await,
        SingleChange::RemoveContact(name) => return contacts::remove(connection, name).await,
        SingleChange::ForgetMandates(now) => mandates::forget(connection, *now).await?,
        SingleChange::ListItem { item, terms } => {
            let outcome = inbox::list(connection, item, terms).await?;
            let is_new = outcome == Outcome::Existed(false);
            news.extend(News::of_item(item).filter(|_| is_new));
            return Ok(outcome);
        }
        SingleChange::AdvanceItem { object, state, now } => {
            return inbox::advance(connection, object, *state, *now).await;
        }
        SingleChange::ExpireItems(now) => inbox::expire(connection, *now).await?,
        SingleChange::NoteArrivals(arrivals) => inbox::note_arrivals(connection, arrivals).await?,
        SingleChange::RelistShares { data_hash, listing } => {
            sent::relist(connection, data_hash, listing).await?;
        }
        SingleChange::NoteNotified { told, now } => sent::note_notified(connection, told, *now).await?,
        SingleChange::SettleArrival(arrival) => inbox::settle_arrival(connection, arrival).await?,
        SingleChange::KeepDelivery(delivery) => deliveries::keep(connection, delivery).await?,
        SingleChange::AppendNews(appended) => news.extend(appended.iter().cloned()),
        SingleChange::PruneJournal { before, keep } => {
            return journal::prune(connection, *before, *keep).await;
        }
        SingleChange::InsertSubscription(subscription) => {
            return subscriptions::insert(connection, subscription).await;
        }
        SingleChange::SetSubscriptionState { id, state } => {
            return subscriptions::set_state(connection, *id, *state).await;
        }
        SingleChange::SetProgress {
            id,
            from,
            progress,
            given_up,
        } => {
            return subscriptions::set_progress(connection, *id, *from, progress, given_up.as_ref()).await;
        }
        SingleChange::Rewind { id, read_to } => {
            return subscriptions::rewind(connection, *id, *read_to).await;
        }
        SingleChange::RemoveSubscription(id) => return subscriptions::remove(connection, *id).await,
        SingleChange::InsertUpload(upload) => return uploads::insert(connection, upload).await,
        SingleChange::AdvanceUpload { id, received } => {
            return uploads::advance(connection, *id, received).await;
        }
        SingleChange::RefuseUpload(id) => return uploads::refuse(connection, *id).await,
        SingleChange::CloseUpload { id, data_hash } => {
            return uploads::close(connection, *id, data_hash).await;
        }
        SingleChange::NoteUploadShares {
            id,
            data_hash,
            recipients,
        } => uploads::note_shares(connection, *id, data_hash, recipients).await?,
        SingleChange::RemoveUpload(id) => return uploads::remove(connection, *id).await,
        SingleChange::NoteInstance(instance) => instances::note(connection, instance).await?,
        SingleChange::RemoveInstance(id) => return instances::remove(connection, *id).await,
        SingleChange::ChangeEntries(changes) => return namespaces::write(connection, changes).await,
    }
    Ok(Outcome::Done)
}
