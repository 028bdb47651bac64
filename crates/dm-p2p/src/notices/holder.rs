use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use dm_core::{
    Address,
    clock::now_ms,
    letter::Letter,
    ports::{KeyValueStore, NoticeSink, StoreError, WriteBatch},
};
use libp2p::PeerId;
use tokio::sync::OnceCell;

use super::{
    inboxes::{Admission, InboxLimits, Inboxes, Key},
    message::{LetterKind, Place},
};

/// Entries that are read at once.
const PAGE: usize = 1024;
/// Bytes of an address, and of a locator.
const ADDRESS: usize = 20;
const LOCATOR: usize = 32;

/// Stands before an acknowledgement in the store; no id of a peer has this length.
const ACKNOWLEDGEMENT: u8 = 0xFF;

/// Keeps the letters of others, and hands on those that are for this node.
pub(crate) struct NoticeHolder {
    own: Address,
    sink: Option<Arc<dyn NoticeSink>>,
    /// Where letters are kept; without it none are.
    store: Option<Arc<dyn KeyValueStore>>,
    inboxes: Mutex<Inboxes>,
    is_loaded: OnceCell<()>,
}

/// What has become of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It was for this node.
    Delivered,
    /// It waits for its addressee.
    Kept,
    /// It has ended, or is from the future.
    NotCurrent,
    /// There is no room for it.
    Full,
    /// The store failed.
    Failed,
}

impl NoticeHolder {
    pub(crate) fn new(
        own: Address,
        sink: Option<Arc<dyn NoticeSink>>,
        store: Option<Arc<dyn KeyValueStore>>,
    ) -> Self {
        Self {
            own,
            sink,
            store,
            inboxes: Mutex::new(Inboxes::new(InboxLimits::default())),
            is_loaded: OnceCell::new(),
        }
    }

    /// Takes letters that a peer has brought together, whose signatures have been checked; what
    /// has become of each, in their order. What is to be written is written in one change.
    pub(crate) async fn take(&self, letters: Vec<Letter>, by: PeerId) -> Vec<Holding> {
        let mut holdings = vec![Holding::NotCurrent; letters.len()];
        let (mut own, mut of_others) = (Vec::new(), Vec::new());
        for (place, letter) in letters.into_iter().enumerate() {
            if letter.is_current(now_ms()) {
                let is_own = self.sink.is_some() && letter.addressee() == self.own;
                let kind = if is_own { &mut own } else { &mut of_others };
                kind.push((place, letter));
            }
        }
        let (places, own): (Vec<usize>, Vec<Letter>) = own.into_iter().unzip();
        let (other_places, of_others): (Vec<usize>, Vec<Letter>) = of_others.into_iter().unzip();
        let (delivered, kept) = futures::join!(self.deliver(own), self.keep(&of_others, by));
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "letters for others are not kept");
            vec![Holding::Failed; of_others.len()]
        });
        let done = places.into_iter().zip(delivered);
        for (place, holding) in done.chain(other_places.into_iter().zip(kept)) {
            if let Some(slot) = holdings.get_mut(place) {
                *slot = holding;
            }
        }
        holdings
    }

    /// Hands over letters that are for this node.
    async fn deliver(&self, letters: Vec<Letter>) -> Vec<Holding> {
        let Some(sink) = self.sink.as_ref().filter(|_| !letters.is_empty()) else {
            return Vec::new();
        };
        let are_taken = sink.arrived(letters).await.into_iter();
        let holding = |is_taken| {
            if is_taken {
                Holding::Delivered
            } else {
                Holding::Full
            }
        };
        are_taken.map(holding).collect()
    }

    /// Keeps letters that are for others.
    async fn keep(&self, letters: &[Letter], by: PeerId) -> Result<Vec<Holding>, StoreError> {
        let Some(store) = self.store.as_ref().filter(|_| !letters.is_empty()) else {
            return Ok(vec![Holding::Full; letters.len()]);
        };
        self.load(&**store).await?;
        let (holdings, mut new, batch) = self.enter_new(letters, by);
        if new.is_empty() {
            return Ok(holdings);
        }
        store.commit(batch).await?;
        {
            let inboxes = self.inboxes();
            new.retain(|key| !inboxes.contains(key));
        }
        if !new.is_empty() {
            // Others have taken their places meanwhile, and may have been written first.
            store.commit(deletion(&new)).await?;
        }
        Ok(holdings)
    }

    /// Enters letters that a peer has brought; what has become of each, which are new, and what
    /// is to be written.
    fn enter_new(&self, letters: &[Letter], by: PeerId) -> (Vec<Holding>, Vec<Key>, WriteBatch) {
        let (mut inboxes, mut new, mut batch) = (self.inboxes(), Vec::new(), WriteBatch::new());
        let enter = |letter: &Letter| match inboxes.insert(letter, by) {
            Admission::Held => Holding::Kept,
            Admission::Full => Holding::Full,
            Admission::Kept(gone) => {
                let key = (letter.addressee(), (letter.sender(), letter.object()));
                delete(&mut batch, &gone);
                batch.put(encode_key(&key), encode(letter, &by));
                new.push(key);
                Holding::Kept
            }
        };
        let holdings = letters.iter().map(enter).collect();
        (holdings, new, batch)
    }

    /// A page of the letters that wait for an addressee, and where the next one begins. The
    /// senders and owners in `named` come first, on the first page, and are remembered.
    pub(crate) async fn page(
        &self,
        addressee: Address,
        named: Vec<Address>,
        after: Option<Place>,
        limit: usize,
    ) -> Result<(Vec<Letter>, Option<Place>), StoreError> {
        let Some(store) = &self.store else {
            return Ok((Vec::new(), None));
        };
        self.load(&**store).await?;
        let (places, next) = {
            let mut inboxes = self.inboxes();
            if after.is_none() {
                inboxes.name(addressee, named);
            }
            inboxes.page(addressee, after, limit)
        };
        let (mut letters, now) = (Vec::with_capacity(places.len()), now_ms());
        for place in places {
            let value = store.get(&encode_key(&(addressee, place))).await?;
            let letter = value.and_then(|value| decode(&value)).map(|(letter, _)| letter);
            letters.extend(letter.filter(|letter| letter.is_current(now)));
        }
        Ok((letters, next))
    }

    /// Deletes the letters that have ended.
    pub(crate) async fn clean_up(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        self.load(&**store).await?;
        let ended = self.inboxes().take_ended(now_ms());
        for page in ended.chunks(PAGE) {
            store.commit(deletion(page)).await?;
        }
        Ok(())
    }

    /// Reads, once, what an earlier run has kept.
    async fn load(&self, store: &dyn KeyValueStore) -> Result<(), StoreError> {
        let load = || async {
            let mut after: Option<Bytes> = None;
            loop {
                let page = store.scan(&[], after.as_deref(), PAGE).await?;
                let Some((last, _)) = page.last() else {
                    return Ok(());
                };
                after = Some(last.clone());
                let batch = self.enter_stored(page);
                if !batch.changes.is_empty() {
                    store.commit(batch).await?;
                }
            }
        };
        self.is_loaded.get_or_try_init(load).await.map(|_| ())
    }

    /// Enters stored letters; what is to be deleted of them.
    fn enter_stored(&self, page: Vec<(Bytes, Bytes)>) -> WriteBatch {
        let (mut batch, mut inboxes, now) = (WriteBatch::new(), self.inboxes(), now_ms());
        for (key, value) in page {
            match decode(&value).filter(|(letter, _)| now < letter.ends_at()) {
                Some((letter, by)) => match inboxes.insert(&letter, by) {
                    Admission::Kept(gone) => delete(&mut batch, &gone),
                    Admission::Held => {}
                    Admission::Full => {
                        batch.delete(key);
                    }
                },
                None => {
                    batch.delete(key);
                }
            }
        }
        batch
    }

    fn inboxes(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deletion(keys: &[Key]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    delete(&mut batch, keys);
    batch
}

fn delete(batch: &mut WriteBatch, keys: &[Key]) {
    for key in keys {
        batch.delete(encode_key(key));
    }
}

fn encode_key((addressee, (sender, object)): &Key) -> Bytes {
    let mut key = BytesMut::with_capacity(3 * ADDRESS + LOCATOR);
    key.extend_from_slice(addressee.as_slice());
    key.extend_from_slice(sender.as_slice());
    key.extend_from_slice(object.locator.as_bytes());
    key.extend_from_slice(object.owner.as_slice());
    key.freeze()
}

/// The peer that brought it, with its length in front, and the letter.
fn encode(letter: &Letter, by: &PeerId) -> Bytes {
    let peer = by.to_bytes();
    let mut value = BytesMut::with_capacity(2 + peer.len() + letter.bytes().len());
    if LetterKind::of(letter) == LetterKind::Acknowledgement {
        value.extend_from_slice(&[ACKNOWLEDGEMENT]);
    }
    // A peer id has 42 bytes at most.
    value.extend_from_slice(&[peer.len() as u8]);
    value.extend_from_slice(&peer);
    value.extend_from_slice(letter.bytes());
    value.freeze()
}

fn decode(value: &Bytes) -> Option<(Letter, PeerId)> {
    let mut rest = value.clone();
    let mut kind = LetterKind::Notice;
    if rest.first() == Some(&ACKNOWLEDGEMENT) {
        kind = LetterKind::Acknowledgement;
        rest.advance(1);
    }
    let len = rest.first().copied()?;
    rest.advance(1);
    if rest.len() < usize::from(len) {
        return None;
    }
    let peer = PeerId::from_bytes(&rest.split_to(usize::from(len))).ok()?;
    Some((kind.read_trusted(rest).ok()?, peer))
}

#[cfg(test)]
mod tests {
    use dm_core::{
        acknowledgement::Acknowledgement, envelope::ObjectId, notice::Notice, ports::Signer, signed::Signed,
    };
    use dm_testing::{key_value::MemoryKeyValueStore, objects::SampleObject, signer::TestSigner};

    use super::*;

    const RECIPIENT: Address = Address::repeat_byte(9);

    fn notice(sender: u8, made_at: u64, ends_at: u64) -> Letter {
        let signer = TestSigner::new(sender);
        let notice = Notice {
            sender: signer.address(),
            recipient: RECIPIENT,
            object: SampleObject::new(1, 1, 1).id(),
            sequence: 1,
            made_at,
            ends_at,
        };
        Signed::sign(notice, &signer).unwrap().into()
    }

    fn acknowledgement(sender: u8, made_at: u64) -> Letter {
        let signer = TestSigner::new(sender);
        let statement = Acknowledgement {
            recipient: signer.address(),
            object: ObjectId {
                owner: RECIPIENT,
                ..SampleObject::new(1, 1, 1).id()
            },
            commitment: [1; 32],
            sequence: 1,
            fetched_at: made_at,
            made_at,
        };
        Signed::sign(statement, &signer).unwrap().into()
    }

    fn holder(store: &MemoryKeyValueStore) -> NoticeHolder {
        NoticeHolder::new(Address::ZERO, None, Some(Arc::new(store.clone())))
    }

    async fn waiting(holder: &NoticeHolder) -> Vec<Letter> {
        holder.page(RECIPIENT, Vec::new(), None, 9).await.unwrap().0
    }

    #[tokio::test]
    async fn what_is_kept_is_there_after_a_restart_until_it_ends() {
        let (store, now) = (MemoryKeyValueStore::new(), now_ms());
        let lasting = notice(1, now, now + 60_000);
        let ending = notice(2, now - 10, now + 200);
        let acknowledgement = acknowledgement(3, now);
        let first = holder(&store);
        for letter in [&lasting, &ending, &acknowledgement] {
            let taken = first.take(vec![letter.clone()], PeerId::random()).await;
            assert_eq!(taken, [Holding::Kept]);
        }
        drop(first);
        let second = holder(&store);
        for letter in [&lasting, &acknowledgement] {
            assert!(waiting(&second).await.contains(letter));
        }
        while waiting(&second).await.len() > 2 {
            tokio::task::yield_now().await;
        }
        second.clean_up().await.unwrap();
        assert_eq!(store.scan(&[], None, 9).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_damaged_in_the_store_is_dropped() {
        let store = MemoryKeyValueStore::new();
        let mut batch = WriteBatch::new();
        batch
            .put(&b"a"[..], &b""[..])
            .put(&b"b"[..], &[200, 1][..])
            .put(&b"c"[..], vec![7; 300])
            .put(&b"d"[..], &[ACKNOWLEDGEMENT][..]);
        store.commit(batch).await.unwrap();
        assert!(waiting(&holder(&store)).await.is_empty());
        assert!(store.scan(&[], None, 9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_has_ended_or_is_from_the_future_is_not_kept() {
        let (holder, now) = (holder(&MemoryKeyValueStore::new()), now_ms());
        for wrong in [
            notice(1, 1, 2),
            notice(1, now + 3_600_000, now + 7_200_000),
            acknowledgement(1, 1),
            acknowledgement(1, now + 3_600_000),
        ] {
            let taken = holder.take(vec![wrong], PeerId::random()).await;
            assert_eq!(taken, [Holding::NotCurrent]);
        }
        assert!(waiting(&holder).await.is_empty());
    }
}
