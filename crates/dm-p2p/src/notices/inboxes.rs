//! Which letters wait for whom, and which give way where they are too many. Does no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use dm_core::{Address, letter::Letter};
use libp2p::PeerId;

use super::message::Place;

/// How many letters are kept, notices and acknowledgements together.
#[derive(Debug, Clone, Copy)]
pub(super) struct InboxLimits {
    /// In all.
    pub(super) total: usize,
    /// For one recipient.
    pub(super) of_recipient: usize,
    /// Of one sender, for all recipients together.
    pub(super) of_sender: usize,
    /// Recipients whose named senders are remembered.
    pub(super) naming: usize,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            total: 32_768,
            of_recipient: 1024,
            of_sender: 4096,
            naming: 1024,
        }
    }
}

/// A notice of a replica adds nothing to one about the same object that ends at most so much
/// earlier, in milliseconds: a day.
const SAME_END: u64 = 24 * 3_600_000;

/// The letters that wait. Those of senders and owners that the recipient has named stay
/// before others. Of the others, the peer that has brought the most gives up the one that
/// ends first: a flood crowds out itself, whatever keys it signs with.
pub(super) struct Inboxes {
    limits: InboxLimits,
    of: HashMap<Address, Inbox>,
    /// How many each recipient has.
    by_size: BTreeSet<(usize, Address)>,
    of_sender: HashMap<Address, usize>,
    total: usize,
    named: HashMap<Address, Vec<Address>>,
    /// Who has named senders, the longest unheard first.
    naming: VecDeque<Address>,
}

type Inbox = BTreeMap<Place, Waiting>;

/// What is known of a letter without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) by: PeerId,
    sequence: u64,
    ends_at: u64,
}

/// A letter that waits: its addressee, and its place in the inbox.
pub(super) type Key = (Address, Place);

/// What becomes of a letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is kept in the place of these.
    Kept(Vec<Key>),
    /// It, or a newer one, is here already.
    Held,
    /// There is no room for it.
    Full,
}

impl Inboxes {
    pub(super) fn new(limits: InboxLimits) -> Self {
        Self {
            limits,
            of: HashMap::new(),
            by_size: BTreeSet::new(),
            of_sender: HashMap::new(),
            total: 0,
            named: HashMap::new(),
            naming: VecDeque::new(),
        }
    }

    /// Takes a letter that a peer has brought, if there is room.
    pub(super) fn insert(&mut self, letter: &Letter, by: PeerId) -> Admission {
        let (recipient, place) = (letter.addressee(), (letter.sender(), letter.object()));
        let held = self.of.get(&recipient).and_then(|inbox| inbox.get(&place));
        if let Some(held) = held {
            if (held.sequence, held.ends_at) >= (letter.sequence(), letter.ends_at()) {
                return Admission::Held;
            }
            self.remove(&(recipient, place));
        } else if self.says_nothing_new(letter) {
            return Admission::Held;
        }
        let waiting = Waiting {
            by,
            sequence: letter.sequence(),
            ends_at: letter.ends_at(),
        };
        if self.of_sender.get(&letter.sender()).copied().unwrap_or_default() >= self.limits.of_sender {
            return Admission::Full;
        }
        self.put((recipient, place), waiting);
        let mut gone = Vec::new();
        while let Some(surplus) = self.surplus(recipient) {
            self.remove(&surplus);
            gone.push(surplus);
        }
        if gone.contains(&(recipient, place)) {
            Admission::Full
        } else {
            Admission::Kept(gone)
        }
    }

    /// Whether a notice that is not by the owner tells its recipient of an envelope of which
    /// another one does: what counts is the envelope, and replicas of it are many.
    fn says_nothing_new(&self, letter: &Letter) -> bool {
        let (recipient, object) = (letter.addressee(), letter.object());
        // An acknowledgement is for the owner, and never by it.
        let is_of_replica = object.owner != recipient && object.owner != letter.sender();
        is_of_replica
            && self.of.get(&recipient).is_some_and(|inbox| {
                let mut others = inbox.iter().filter(|((_, held), _)| *held == object);
                others.any(|(_, held)| {
                    let lasts_as_long = held.ends_at.saturating_add(SAME_END) >= letter.ends_at();
                    lasts_as_long && held.sequence >= letter.sequence()
                })
            })
    }

    /// Whether the letter waits.
    pub(super) fn contains(&self, (recipient, place): &Key) -> bool {
        self.of
            .get(recipient)
            .is_some_and(|inbox| inbox.contains_key(place))
    }

    /// Removes a letter.
    pub(super) fn remove(&mut self, key: &Key) {
        let (recipient, place) = key;
        let Some(mut inbox) = self.of.remove(recipient) else {
            return;
        };
        self.by_size.remove(&(inbox.len(), *recipient));
        if inbox.remove(place).is_some() {
            self.total -= 1;
            let of_sender = self.of_sender.entry(place.0).or_default();
            *of_sender = of_sender.saturating_sub(1);
            if *of_sender == 0 {
                self.of_sender.remove(&place.0);
            }
        }
        self.keep(*recipient, inbox);
    }

    /// Removes the letters that have ended.
    pub(super) fn take_ended(&mut self, now: u64) -> Vec<Key> {
        let ended: Vec<Key> = self
            .of
            .iter()
            .flat_map(|(recipient, inbox)| {
                let ended = inbox.iter().filter(|(_, waiting)| waiting.ends_at <= now);
                ended.map(|(place, _)| (*recipient, *place))
            })
            .collect();
        ended.iter().for_each(|key| self.remove(key));
        ended
    }

    /// The recipient asks for the letters of these senders and owners before others.
    pub(super) fn name(&mut self, recipient: Address, named: Vec<Address>) {
        self.naming.retain(|other| *other != recipient);
        self.named.remove(&recipient);
        if named.is_empty() {
            return;
        }
        self.named.insert(recipient, named);
        self.naming.push_back(recipient);
        if self.naming.len() > self.limits.naming
            && let Some(oldest) = self.naming.pop_front()
        {
            self.named.remove(&oldest);
        }
    }

    /// A page of what waits for the recipient, and where the next one begins. The first
    /// page has what is of senders and owners that the recipient has named.
    pub(super) fn page(
        &self,
        recipient: Address,
        after: Option<Place>,
        limit: usize,
    ) -> (Vec<Place>, Option<Place>) {
        let Some(inbox) = self.of.get(&recipient) else {
            return (Vec::new(), None);
        };
        let mut page: Vec<Place> = Vec::new();
        if after.is_none() {
            let named = inbox.keys().filter(|place| self.is_named(&recipient, place));
            page.extend(named.take(limit / 2));
        }
        let mut others = inbox
            .keys()
            .filter(|place| after.is_none_or(|after| **place > after));
        let mut last = None;
        while page.len() < limit
            && let Some(place) = others.next()
        {
            last = Some(*place);
            if after.is_some() || !page.contains(place) {
                page.push(*place);
            }
        }
        (page, last.filter(|_| others.next().is_some()))
    }

    fn is_named(&self, recipient: &Address, (sender, object): &Place) -> bool {
        let named = self.named.get(recipient);
        named.is_some_and(|named| named.contains(sender) || named.contains(&object.owner))
    }

    /// What gives way, where there are too many.
    fn surplus(&self, recipient: Address) -> Option<Key> {
        let inbox = self.of.get(&recipient)?;
        let recipient = if inbox.len() > self.limits.of_recipient {
            recipient
        } else if self.total > self.limits.total {
            self.by_size.last()?.1
        } else {
            return None;
        };
        self.least(recipient).map(|place| (recipient, place))
    }

    /// The letter of an inbox that gives way first.
    fn least(&self, recipient: Address) -> Option<Place> {
        let inbox = self.of.get(&recipient)?;
        let mut of_peer: HashMap<PeerId, usize> = HashMap::new();
        let mut of_sender: HashMap<Address, usize> = HashMap::new();
        for ((sender, _), waiting) in inbox {
            *of_peer.entry(waiting.by).or_default() += 1;
            *of_sender.entry(*sender).or_default() += 1;
        }
        let burden = |place: &Place, waiting: &Waiting| {
            let count = of_peer.get(&waiting.by).copied().unwrap_or_default();
            count.max(of_sender.get(&place.0).copied().unwrap_or_default())
        };
        let ranked = inbox.iter().min_by_key(|(place, waiting)| {
            let burden = burden(place, waiting);
            (
                self.is_named(&recipient, place),
                std::cmp::Reverse(burden),
                waiting.ends_at,
            )
        });
        ranked.map(|(place, _)| *place)
    }

    fn put(&mut self, (recipient, place): Key, waiting: Waiting) {
        let mut inbox = self.of.remove(&recipient).unwrap_or_default();
        self.by_size.remove(&(inbox.len(), recipient));
        if inbox.insert(place, waiting).is_none() {
            self.total += 1;
            *self.of_sender.entry(place.0).or_default() += 1;
        }
        self.keep(recipient, inbox);
    }

    fn keep(&mut self, recipient: Address, inbox: Inbox) {
        if !inbox.is_empty() {
            self.by_size.insert((inbox.len(), recipient));
            self.of.insert(recipient, inbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{notice::Notice, signed::Signed};
    use dm_testing::{objects::SampleObject, signer::TestSigner};

    use super::*;

    const LIMITS: InboxLimits = InboxLimits {
        total: 30,
        of_recipient: 20,
        of_sender: 25,
        naming: 2,
    };

    fn recipient(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// One by the owner.
    fn notice(sender: u8, to: u8, seed: u64, sequence: u64, ends_at: u64) -> Letter {
        notice_about(sender, sender, to, seed, sequence, ends_at)
    }

    fn notice_about(owner: u8, sender: u8, to: u8, seed: u64, sequence: u64, ends_at: u64) -> Letter {
        let signer = TestSigner::new(sender);
        let notice = Notice {
            sender: dm_core::ports::Signer::address(&signer),
            recipient: recipient(to),
            object: SampleObject::new(owner, seed, 1).id(),
            sequence,
            made_at: 1,
            ends_at,
        };
        Signed::sign(notice, &signer).unwrap().into()
    }

    fn is_kept(inboxes: &Inboxes, letter: &Letter) -> bool {
        let inbox = inboxes.of.get(&letter.addressee());
        inbox.is_some_and(|inbox| inbox.contains_key(&(letter.sender(), letter.object())))
    }

    #[test]
    fn the_newest_notice_of_a_sender_about_an_object_is_kept_once() {
        let (mut inboxes, peer) = (Inboxes::new(LIMITS), PeerId::random());
        let kept = || Admission::Kept(Vec::new());
        assert_eq!(inboxes.insert(&notice(1, 9, 1, 1, 50), peer), kept());
        assert_eq!(inboxes.insert(&notice(1, 9, 1, 1, 50), peer), Admission::Held);
        assert_eq!(inboxes.insert(&notice(1, 9, 1, 2, 50), peer), kept());
        assert_eq!(inboxes.insert(&notice(1, 9, 1, 1, 60), peer), Admission::Held);
        assert_eq!((inboxes.total, inboxes.of_sender.len()), (1, 1));
        assert_eq!(inboxes.take_ended(50).len(), 1);
        assert!(inboxes.of.is_empty() && inboxes.of_sender.is_empty() && inboxes.by_size.is_empty());
    }

    #[test]
    fn of_the_replicas_of_an_object_one_is_enough_beside_its_owner() {
        let (mut inboxes, peer) = (Inboxes::new(LIMITS), PeerId::random());
        let kept = || Admission::Kept(Vec::new());
        let of_replica = |sender, ends_at| notice_about(1, sender, 9, 1, 1, ends_at);
        let end = 10 * SAME_END;
        assert_eq!(inboxes.insert(&of_replica(2, end), peer), kept());
        assert_eq!(inboxes.insert(&of_replica(3, end), peer), Admission::Held);
        assert_eq!(
            inboxes.insert(&of_replica(3, end + SAME_END), peer),
            Admission::Held
        );
        // One that lasts longer or speaks of a later envelope counts, and so does the owner's.
        let later = notice_about(1, 5, 9, 1, 2, end);
        assert_eq!(inboxes.insert(&later, peer), kept());
        assert_eq!(inboxes.insert(&of_replica(3, end + 2 * SAME_END), peer), kept());
        assert_eq!(inboxes.insert(&notice(1, 9, 1, 1, end), peer), kept());
        assert_eq!(inboxes.insert(&of_replica(4, end), peer), Admission::Held);
        assert_eq!(inboxes.insert(&notice_about(1, 4, 9, 2, 1, end), peer), kept());
    }

    #[test]
    fn a_flood_of_one_peer_with_many_senders_crowds_out_itself() {
        let (mut inboxes, flooder) = (Inboxes::new(LIMITS), PeerId::random());
        let honest = notice(1, 9, 1, 1, 10);
        inboxes.insert(&honest, PeerId::random());
        for sender in 2..100 {
            inboxes.insert(&notice(sender, 9, 1, 1, 1_000), flooder);
        }
        assert!(is_kept(&inboxes, &honest));
        assert_eq!(inboxes.total, LIMITS.of_recipient);
    }

    #[test]
    fn a_flood_of_many_peers_does_not_crowd_out_a_sender_that_was_named() {
        let mut inboxes = Inboxes::new(LIMITS);
        let contact = notice(1, 9, 1, 1, 10);
        inboxes.name(recipient(9), vec![contact.sender()]);
        inboxes.insert(&contact, PeerId::random());
        for sender in 2..100 {
            inboxes.insert(&notice(sender, 9, 1, 1, 1_000), PeerId::random());
        }
        assert!(is_kept(&inboxes, &contact));
        let (page, next) = inboxes.page(recipient(9), None, 4);
        assert_eq!(page[0], (contact.sender(), contact.object()));
        assert!(next.is_some());
        // It comes also after the flood.
        let other = notice(1, 9, 2, 1, 10);
        inboxes.insert(&other, PeerId::random());
        assert!(is_kept(&inboxes, &other));
    }

    #[test]
    fn the_fullest_inbox_makes_room_and_a_sender_has_a_bound_of_its_own() {
        let mut inboxes = Inboxes::new(LIMITS);
        for seed in 0..40 {
            inboxes.insert(&notice(1, 9, seed, 1, 10), PeerId::random());
        }
        for to in 20..35 {
            assert!(matches!(
                inboxes.insert(&notice(2, to, 1, 1, 10), PeerId::random()),
                Admission::Kept(_)
            ));
        }
        assert_eq!(inboxes.total, LIMITS.total);
        assert_eq!(inboxes.of[&recipient(9)].len(), 15);
        for to in 40..80 {
            inboxes.insert(&notice(3, to, 1, 1, 10), PeerId::random());
        }
        let sender = notice(3, 1, 1, 1, 10).sender();
        assert!(inboxes.of_sender[&sender] <= LIMITS.of_sender);
    }

    #[test]
    fn all_pages_together_are_the_inbox() {
        let mut inboxes = Inboxes::new(LIMITS);
        let named = notice(3, 9, 7, 1, 10);
        inboxes.name(recipient(9), vec![named.sender()]);
        for sender in 1..5 {
            for seed in 0..4 {
                inboxes.insert(&notice(sender, 9, seed, 1, 10), PeerId::random());
            }
        }
        let (mut all, mut after) = (BTreeSet::new(), None);
        loop {
            let (page, next) = inboxes.page(recipient(9), after, 3);
            all.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all.len(), 16);
        assert!(inboxes.page(recipient(8), None, 3).0.is_empty());
    }

    #[test]
    fn the_number_of_recipients_whose_wishes_are_remembered_is_bounded() {
        let mut inboxes = Inboxes::new(LIMITS);
        for number in 1..10 {
            inboxes.name(recipient(number), vec![recipient(99)]);
            inboxes.name(recipient(number), vec![recipient(98)]);
        }
        assert_eq!((inboxes.named.len(), inboxes.naming.len()), (2, 2));
        inboxes.name(recipient(9), Vec::new());
        assert_eq!(inboxes.named.len(), 1);
    }
}
