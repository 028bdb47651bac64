//! Contacts: names for the addresses of others, how far they are trusted, and what has
//! changed about them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    clock::now_ms,
    contact::{Contact, ContactName, MAX_NOTE, Party, SeenRecord, Trust},
    news::News,
    ports::{AddressDirectory, CatalogError, ContactBook},
};
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::ServiceError;

/// Most contacts: more than an organisation has partners.
const MAX_CONTACTS: u64 = 10_000;
/// Between two rounds through the address records of all contacts.
const ROUND_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Contacts that are read at a time.
const PAGE: usize = 100;

/// What the service works with.
#[derive(Clone)]
pub struct ContactPorts {
    /// Keeps the contacts.
    pub book: Arc<dyn ContactBook>,
    /// Finds their address records.
    pub directory: Arc<dyn AddressDirectory>,
    /// Hears of changes.
    pub bus: EventBus,
}

/// The contacts of a node; cheap to clone.
#[derive(Clone)]
pub struct Contacts {
    ports: ContactPorts,
    /// One change at a time: each depends on what there is.
    changing: Arc<Mutex<()>>,
}

/// By which names these accounts are known here, of those that are.
pub(crate) async fn names_of(
    book: &dyn ContactBook,
    accounts: impl Iterator<Item = Address>,
) -> Result<HashMap<Address, ContactName>, CatalogError> {
    let mut names = HashMap::new();
    for account in accounts.collect::<HashSet<_>>() {
        if let Some(contact) = book.contact_at(account).await? {
            names.insert(account, contact.name);
        }
    }
    Ok(names)
}

/// Whom an operator gives a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContact {
    /// The node account.
    pub address: Address,
    /// How far it is trusted.
    pub trust: Trust,
    /// What the operator notes: at most [`MAX_NOTE`] characters, none of them a control
    /// character but for line breaks.
    pub note: Option<String>,
}

/// Why something cannot be done with a contact.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    /// There is no contact of this name.
    #[error("there is no contact {0}")]
    Unknown(ContactName),
    /// Another contact has the address.
    #[error("address belongs to the contact {0}")]
    AddressTaken(ContactName),
    /// There is no room for another one.
    #[error("there are {MAX_CONTACTS} contacts already; remove one first")]
    TooMany,
    /// The note is too long, or no text; completes "note …".
    #[error("note {0}")]
    Note(&'static str),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Contacts {
    /// Works with these.
    pub fn new(ports: ContactPorts) -> Self {
        Self {
            ports,
            changing: Arc::default(),
        }
    }

    /// Gives an address a name, or changes what is known under the name. Both confirm what
    /// the address record says now. Whether the name is new comes with the contact.
    ///
    /// # Errors
    /// [`ContactError::AddressTaken`], [`ContactError::TooMany`], [`ContactError::Note`].
    pub async fn put(&self, name: ContactName, new: NewContact) -> Result<(Contact, bool), ContactError> {
        check_note(new.note.as_deref())?;
        let _changing = self.changing().await;
        let book = &self.ports.book;
        if let Some(other) = book.contact_at(new.address).await?
            && other.name != name
        {
            return Err(ContactError::AddressTaken(other.name));
        }
        let earlier = book.contact(&name).await?;
        let is_new = earlier.is_none();
        if is_new && book.count_contacts().await? >= MAX_CONTACTS {
            return Err(ContactError::TooMany);
        }
        let added_at = earlier.as_ref().map_or_else(now_ms, |earlier| earlier.added_at);
        let confirmed = earlier
            .filter(|earlier| earlier.address == new.address)
            .and_then(|mut earlier| {
                earlier.confirm();
                earlier.confirmed
            });
        let contact = Contact {
            name,
            address: new.address,
            trust: new.trust,
            note: new.note,
            added_at,
            confirmed,
            changed: None,
        };
        book.put_contact(&contact).await?;
        Ok((contact, is_new))
    }

    /// The contact of this name.
    ///
    /// # Errors
    /// [`ContactError::Unknown`].
    pub async fn get(&self, name: &ContactName) -> Result<Contact, ContactError> {
        let found = self.ports.book.contact(name).await?;
        found.ok_or_else(|| ContactError::Unknown(name.clone()))
    }

    /// At most `limit` contacts after `after`, in the order of their names.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn list(
        &self,
        after: Option<&ContactName>,
        limit: usize,
    ) -> Result<Vec<Contact>, ContactError> {
        Ok(self.ports.book.contacts(after, limit).await?)
    }

    /// Strikes a contact out.
    ///
    /// # Errors
    /// [`ContactError::Unknown`].
    pub async fn remove(&self, name: &ContactName) -> Result<(), ContactError> {
        let _changing = self.changing().await;
        if self.ports.book.remove_contact(name).await? {
            Ok(())
        } else {
            Err(ContactError::Unknown(name.clone()))
        }
    }

    /// The address of a party.
    ///
    /// # Errors
    /// [`ContactError::Unknown`].
    pub async fn address_of(&self, party: Party) -> Result<Address, ContactError> {
        match party {
            Party::Address(address) => Ok(address),
            Party::Contact(name) => Ok(self.get(&name).await?.address),
        }
    }

    /// Looks at the address records of all contacts again and again, until `shutdown`.
    ///
    /// # Errors
    /// Faults of the catalog; whoever supervises it starts it again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let looking = async {
            loop {
                self.look_at_all().await?;
                tokio::time::sleep(ROUND_INTERVAL).await;
            }
        };
        shutdown.run_until_cancelled(looking).await.unwrap_or(Ok(()))
    }

    /// Looks once at the address record of each contact.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn look_at_all(&self) -> Result<(), ServiceError> {
        let mut after = None;
        loop {
            let page = self.ports.book.contacts(after.as_ref(), PAGE).await?;
            for contact in &page {
                self.look_at(contact).await?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.name.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn look_at(&self, contact: &Contact) -> Result<(), ServiceError> {
        // Who cannot be asked, or has no record, has not changed.
        let Ok(Some(record)) = self.ports.directory.find_address(contact.address).await else {
            return Ok(());
        };
        let _changing = self.changing().await;
        let found = self.ports.book.contact(&contact.name).await?;
        let Some(mut kept) = found.filter(|kept| kept.address == contact.address) else {
            return Ok(());
        };
        if !kept.see(SeenRecord::from(&*record), now_ms()) {
            return Ok(());
        }
        self.ports.book.put_contact(&kept).await?;
        let changes = kept.changes();
        if !changes.is_empty() {
            tracing::warn!(contact = %kept.name, address = %kept.address, ?changes, "a contact has changed");
            self.ports.bus.publish(News::ContactChanged {
                name: kept.name,
                address: kept.address,
                what: changes,
            });
        }
        Ok(())
    }

    async fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }
}

fn check_note(note: Option<&str>) -> Result<(), ContactError> {
    let Some(note) = note else { return Ok(()) };
    if note.chars().count() > MAX_NOTE {
        return Err(ContactError::Note("must be at most 500 characters"));
    }
    if note.chars().any(|c| c.is_control() && c != '\n') {
        return Err(ContactError::Note("must be without control characters"));
    }
    Ok(())
}
