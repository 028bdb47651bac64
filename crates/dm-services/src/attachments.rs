//! What travels sealed in an envelope, opened.

use alloy_primitives::Address;
use dm_core::{
    descriptor::Descriptor, envelope::Envelope, event::EventKind, hash::DataHash, ports::Sealer,
    receipt::Receipt, secret::ContentKey,
};

/// The descriptor in an envelope, with the content key of its object; `None` where there
/// is none, or where it speaks of other data than the object has.
pub(crate) fn open_descriptor(
    sealer: &dyn Sealer,
    envelope: &Envelope,
    key: &ContentKey,
) -> Option<Descriptor> {
    let key = key.for_descriptor();
    let opened = envelope
        .attachments
        .iter()
        .find_map(|attachment| sealer.open(&key, attachment).ok())?;
    Descriptor::decode(&opened).filter(|descriptor| descriptor.data_hash.locator() == envelope.id.locator)
}

/// A receipt that travelled with an object; `None` where it is none.
pub(crate) fn open_receipt(sealer: &dyn Sealer, data_hash: &DataHash, sealed: &[u8]) -> Option<Receipt> {
    let json = sealer.open(&ContentKey::for_receipts(data_hash), sealed).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The newest fitting receipt in an envelope. It speaks for a share by the envelope's
/// owner, with `recipient` if one is named, or it is none.
pub(crate) fn receipt_in(
    sealer: &dyn Sealer,
    envelope: &Envelope,
    data_hash: &DataHash,
    recipient: Option<Address>,
) -> Option<Receipt> {
    envelope.attachments.iter().rev().find_map(|sealed| {
        let receipt = open_receipt(sealer, data_hash, sealed)?;
        let event = &receipt.event;
        let fits = matches!(event.event_type, EventKind::DataShare | EventKind::Grant)
            && event.data_hash == Some(*data_hash)
            && event.log == envelope.id.owner
            && recipient.is_none_or(|recipient| event.recipient == Some(recipient));
        fits.then_some(receipt)
    })
}
