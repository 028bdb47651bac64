//! What keys are used for: counted in memory, kept now and then.

use std::{collections::HashMap, sync::Arc};

use dm_core::api_key::{KeyUsage, Principal};

/// Bytes that may have passed for a key with a budget without being kept: a
/// process that is killed gives fewer than these back, and instances that count
/// at once do not know of these of each other.
pub(super) const MOST_OWED: u64 = 1 << 20;

/// The use of keys, with their ids.
pub(super) type Usage = Vec<(Arc<str>, KeyUsage)>;

/// Counts for every key that was recognised; decides what has room and what
/// has to be kept, and does neither I/O nor waiting.
#[derive(Default)]
pub(super) struct Ledger {
    lines: HashMap<Arc<str>, Line>,
}

struct Line {
    /// As far as it is known here.
    usage: KeyUsage,
    /// What of it the catalog has.
    kept: KeyUsage,
}

impl Ledger {
    /// Notes that a key is used at `now` (milliseconds since the Unix epoch).
    /// At its first use `kept` says what the catalog has of it.
    pub(super) fn touch(&mut self, id: &Arc<str>, kept: KeyUsage, now: u64) {
        if let Some(line) = self.lines.get_mut(id) {
            line.usage.last_used_at = Some(now);
            return;
        }
        let usage = KeyUsage {
            last_used_at: Some(now),
            ..kept
        };
        self.lines.insert(id.clone(), Line { usage, kept });
    }

    /// What a key was used for; nothing where it was not touched.
    pub(super) fn usage(&self, id: &str) -> Option<KeyUsage> {
        self.lines.get(id).map(|line| line.usage)
    }

    /// Bytes left of the key's budget, if it has one.
    pub(super) fn left(&self, bearer: &Principal) -> Option<u64> {
        let used = self.usage(&bearer.key_id).unwrap_or_default().bytes_used;
        let budget = bearer.rights.bytes_budget?;
        Some(budget.saturating_sub(used))
    }

    /// Counts bytes if the budget has room for all of them.
    ///
    /// # Errors
    /// The bytes that are left.
    pub(super) fn spend(&mut self, bearer: &Principal, bytes: u64) -> Result<(), u64> {
        match self.left(bearer) {
            Some(left) if left < bytes => Err(left),
            _ => {
                self.note(bearer, bytes);
                Ok(())
            }
        }
    }

    /// Counts bytes, whatever the budget says.
    pub(super) fn note(&mut self, bearer: &Principal, bytes: u64) {
        if let Some(line) = self.lines.get_mut(&bearer.key_id) {
            // The catalog's numbers end there, after 8 EiB.
            line.usage.bytes_used = line.usage.bytes_used.saturating_add(bytes).min(i64::MAX as u64);
        }
    }

    /// Whether what passed for the key must be kept before more may pass.
    pub(super) fn must_be_kept(&self, bearer: &Principal) -> bool {
        let owed = |line: &Line| line.usage.bytes_used.saturating_sub(line.kept.bytes_used);
        bearer.rights.bytes_budget.is_some()
            && self
                .lines
                .get(&bearer.key_id)
                .is_some_and(|line| owed(line) >= MOST_OWED)
    }

    /// What is to be added to what is kept.
    pub(super) fn unkept(&self) -> Usage {
        let unkept = |line: &Line| KeyUsage {
            bytes_used: line.usage.bytes_used.saturating_sub(line.kept.bytes_used),
            last_used_at: line.usage.last_used_at,
        };
        self.lines
            .iter()
            .filter(|(_, line)| line.usage != line.kept)
            .map(|(id, line)| (id.clone(), unkept(line)))
            .collect()
    }

    /// Notes what was added, and what is kept by it: others have added the rest.
    pub(super) fn kept(&mut self, added: &Usage, kept: &Usage) {
        for (id, added) in added {
            if let Some(line) = self.lines.get_mut(id) {
                line.kept.bytes_used = line.kept.bytes_used.saturating_add(added.bytes_used);
                line.kept.last_used_at = added.last_used_at;
            }
        }
        for (id, kept) in kept {
            if let Some(line) = self.lines.get_mut(id) {
                let of_others = kept.bytes_used.saturating_sub(line.kept.bytes_used);
                line.kept.bytes_used += of_others;
                line.usage.bytes_used = line
                    .usage
                    .bytes_used
                    .saturating_add(of_others)
                    .min(i64::MAX as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::api_key::Rights;
    use proptest::prelude::*;

    use super::*;

    fn bearer(id: &str, bytes_budget: Option<u64>) -> Principal {
        Principal {
            expires_at: None,
            person: None,
            key_id: id.into(),
            name: id.into(),
            rights: Arc::new(Rights {
                bytes_budget,
                ..Rights::default()
            }),
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Spend(usize, u64),
        Note(usize, u64),
        Keep,
        Kill,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3usize, 0..MOST_OWED).prop_map(|(key, bytes)| Step::Spend(key, bytes)),
            1 => (0..3usize, 0..5000u64).prop_map(|(key, bytes)| Step::Note(key, bytes)),
            1 => Just(Step::Keep),
            1 => Just(Step::Kill),
        ]
    }

    /// The catalog, as far as it matters here.
    #[derive(Default)]
    struct Kept(HashMap<Arc<str>, KeyUsage>);

    impl Kept {
        fn take(&mut self, ledger: &mut Ledger) {
            let added = ledger.unkept();
            let mut kept = Usage::new();
            for (id, added) in &added {
                let line = self.0.entry(id.clone()).or_default();
                line.bytes_used += added.bytes_used;
                line.last_used_at = added.last_used_at;
                kept.push((id.clone(), *line));
            }
            ledger.kept(&added, &kept);
        }

        fn of(&self, id: &str) -> KeyUsage {
            self.0.get(id).copied().unwrap_or_default()
        }
    }

    proptest! {
        /// Whatever passes, and however often the process is killed: a kill
        /// gives less than the bound back, and apart from that the budget is
        /// never overdrawn by what can be held back.
        #[test]
        fn a_kill_gives_back_less_than_a_mebibyte(steps in proptest::collection::vec(step(), 0..60)) {
            const BUDGET: u64 = 8 << 20;
            let keys = [bearer("a", Some(BUDGET)), bearer("b", Some(BUDGET)), bearer("c", None)];
            let (mut ledger, mut kept) = (Ledger::default(), Kept::default());
            for step in steps {
                for key in &keys {
                    ledger.touch(&key.key_id, kept.of(&key.key_id), 1);
                }
                match step {
                    Step::Spend(key, bytes) => {
                        let before = ledger.left(&keys[key]);
                        let spent = ledger.spend(&keys[key], bytes).is_ok();
                        prop_assert_eq!(spent, before.is_none_or(|left| bytes <= left));
                        prop_assert_eq!(ledger.left(&keys[key]), before.map(|left| left - if spent { bytes } else { 0 }));
                        if ledger.must_be_kept(&keys[key]) {
                            kept.take(&mut ledger);
                        }
                    }
                    Step::Note(key, bytes) => ledger.note(&keys[key], bytes),
                    Step::Keep => kept.take(&mut ledger),
                    Step::Kill => {
                        for key in &keys[..2] {
                            let lost = ledger.usage(&key.key_id).unwrap().bytes_used - kept.of(&key.key_id).bytes_used;
                            // Notes are answers of a few hundred bytes.
                            prop_assert!(lost < MOST_OWED + 60 * 5000, "{lost}");
                        }
                        ledger = Ledger::default();
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_kept_is_not_kept_again_before_it_changes() {
        let mut ledger = Ledger::default();
        let key = bearer("a", None);
        ledger.touch(&key.key_id, KeyUsage::default(), 5);
        let usage = ledger.unkept();
        assert_eq!(usage.len(), 1);
        ledger.note(&key, 1);
        // What comes while that is added is added later.
        ledger.kept(&usage, &usage);
        let later = ledger.unkept();
        assert_eq!(later[0].1.bytes_used, 1);
        ledger.kept(&later, &later);
        assert_eq!(ledger.unkept(), []);
    }

    #[test]
    fn what_others_have_added_counts_as_well() {
        let mut ledger = Ledger::default();
        let key = bearer("a", Some(100));
        ledger.touch(&key.key_id, KeyUsage::default(), 5);
        ledger.spend(&key, 10).unwrap();
        let added = ledger.unkept();
        let kept = KeyUsage {
            bytes_used: 10 + 60,
            last_used_at: Some(5),
        };
        ledger.spend(&key, 1).unwrap();
        ledger.kept(&added, &vec![(key.key_id.clone(), kept)]);
        assert_eq!(ledger.left(&key), Some(29));
        assert_eq!(ledger.unkept()[0].1.bytes_used, 1);
    }

    #[test]
    fn counts_do_not_run_over() {
        let mut ledger = Ledger::default();
        let key = bearer("a", None);
        ledger.touch(&key.key_id, KeyUsage::default(), 5);
        for _ in 0..3 {
            ledger.spend(&key, u64::MAX).unwrap();
        }
        assert_eq!(ledger.usage("a").unwrap().bytes_used, i64::MAX as u64);
    }
}
