use std::sync::{Arc, OnceLock};

use alloy::primitives::Address;
use revm::state::AccountInfo;

use super::{Replaced, Slot};

/// One block's place in the history of the state: the values that it replaced,
/// and the way to the layers above.
///
/// A reader who began at some block holds that block's layer and thereby all
/// later ones: what they replaced is what it must see. A layer is linked
/// before anything of its block reaches the cache or the store, so a reader
/// who first reads the present value and then walks the layers is never misled.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    replaced: Replaced,
    next: OnceLock<Arc<Layer>>,
}

impl Layer {
    /// Puts a layer on top of this one. The mining thread alone does this,
    /// once for each layer.
    pub(crate) fn link(&self, replaced: Replaced) -> Arc<Self> {
        let above = Arc::new(Self {
            replaced,
            next: OnceLock::new(),
        });
        Arc::clone(self.next.get_or_init(|| above))
    }

    /// The account as it was at this layer, where a later one replaced it.
    pub(super) fn account(&self, address: &Address) -> Option<&Option<AccountInfo>> {
        self.find(|replaced| replaced.accounts.get(address))
    }

    /// The slot as it was at this layer, where a later one replaced it.
    pub(super) fn slot(&self, slot: &Slot) -> Option<&alloy::primitives::U256> {
        self.find(|replaced| replaced.slots.get(slot))
    }

    fn find<'a, T>(&'a self, value: impl Fn(&'a Replaced) -> Option<T>) -> Option<T> {
        let mut layer = self;
        while let Some(above) = layer.next.get() {
            if let Some(found) = value(&above.replaced) {
                return Some(found);
            }
            layer = above;
        }
        None
    }
}
