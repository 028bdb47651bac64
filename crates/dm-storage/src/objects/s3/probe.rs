//! Tries at the start whether the store keeps the promises that this crate builds on: what
//! was written is read back at once, also by ranges and after it was written anew; parts
//! become the whole; what is written is listed, and what is deleted is gone.

use bytes::Bytes;
use dm_core::{clock::now_ms, config::ObjectsUrl, ports::StoreError};
use object_store::path::Path;

use super::{broken, client::Client, fault::Fault, setup::Keys};

/// Bytes of the small object.
const SMALL: usize = 1000;
/// Bytes of the first part: the fewest that stores allow.
const FIRST_PART: usize = 5 << 20;
/// Keys that are listed at once.
const PAGE: usize = 100;

/// Runs the probe.
///
/// # Errors
/// `StorageFault::BrokenBucket` says which promise was broken and how,
/// [`StoreError::Unavailable`] that the store does not answer.
pub(super) async fn run(client: &Client, keys: &Keys, url: &ObjectsUrl) -> Result<(), StoreError> {
    let probe = Probe { client, keys, url };
    // Of a start that was interrupted.
    probe.clear().await?;
    // A name that no earlier answer of the store can be about.
    let name = format!("{:x}-{:x}", now_ms(), std::process::id());
    let (small, parts) = (
        keys.probes().join(format!("{name}-small")),
        keys.probes().join(format!("{name}-parts")),
    );
    let kept = async {
        probe.small_object(&small).await?;
        probe.object_in_parts(&parts).await?;
        probe.listing(&[&small, &parts]).await
    };
    let kept = kept.await;
    let deleted = probe.deleting(&[&small, &parts]).await;
    kept.and(deleted)
}

struct Probe<'a> {
    client: &'a Client,
    keys: &'a Keys,
    url: &'a ObjectsUrl,
}

impl Probe<'_> {
    fn broken(&self, what: impl Into<String>) -> StoreError {
        broken(self.url, what)
    }

    /// What a fault means that came after the store had taken something.
    fn after(&self, did: &str, fault: Fault) -> StoreError {
        match fault {
            fault @ (Fault::Passing(_) | Fault::Full) => fault.into_store_error(&self.url.to_string()),
            fault => self.broken(format!("{did}: {}", fault.reason())),
        }
    }

    async fn clear(&self) -> Result<(), StoreError> {
        let unusable = |fault: Fault| fault.into_store_error(&self.url.to_string());
        let left = self
            .client
            .list(&self.keys.probes(), None, PAGE)
            .await
            .map_err(unusable)?;
        for key in left {
            self.client.delete(&key).await.map_err(unusable)?;
        }
        Ok(())
    }

    /// Is read back as it was written last, whole and in part.
    async fn small_object(&self, key: &Path) -> Result<(), StoreError> {
        for seed in [1, 2] {
            let written = pattern(SMALL, seed);
            let put = self.client.put(key, written.clone()).await;
            put.map_err(|fault| fault.into_store_error(&self.url.to_string()))?;
            let read = self.client.read_all(key).await;
            let read = read.map_err(|fault| self.after("it does not give back what it has taken", fault))?;
            if read != written {
                let what = if seed == 1 {
                    "something else"
                } else {
                    "an earlier version"
                };
                return Err(self.broken(format!("it gave back {what} in place of what was written")));
            }
        }
        let written = pattern(SMALL, 2);
        let read = self.client.read(key, 100..200).await;
        let (part, size) =
            read.map_err(|fault| self.after("it does not give back a part of an object", fault))?;
        if part != written[100..200] || size != SMALL as u64 {
            return Err(self.broken("it gave back another part of an object than the one that was asked for"));
        }
        let read = self.client.read_end(key, 10).await;
        let (end, _) =
            read.map_err(|fault| self.after("it does not give back the end of an object", fault))?;
        if end != written[SMALL - 10..] {
            return Err(self.broken("it gave back something else in place of the end of an object"));
        }
        Ok(())
    }

    /// Parts become an object, in their order.
    async fn object_in_parts(&self, key: &Path) -> Result<(), StoreError> {
        let (first, second) = (pattern(FIRST_PART, 3), pattern(SMALL, 4));
        let upload = async {
            let upload = self.client.begin_upload(key).await?;
            let sent = async {
                // The last one first: they are sent in any order.
                let last = self.client.put_part(key, &upload, 1, second.clone()).await?;
                let parts = vec![self.client.put_part(key, &upload, 0, first.clone()).await?, last];
                let len = (first.len() + second.len()) as u64;
                self.client.complete_upload(key, &upload, parts, len).await
            };
            let sent = sent.await;
            if sent.is_err() {
                // The fault itself is what matters.
                let _ = self.client.abort_upload(key, &upload).await;
            }
            sent
        };
        let uploaded = upload.await;
        uploaded.map_err(|fault| self.after("it does not take an object in parts", fault))?;
        let (around, end) = (FIRST_PART as u64, FIRST_PART as u64 + SMALL as u64);
        let read = self.client.read(key, around - 50..end).await;
        let (read, size) =
            read.map_err(|fault| self.after("it does not give back an object in parts", fault))?;
        if size != end || read[..50] != first[FIRST_PART - 50..] || read[50..] != second {
            return Err(self.broken("what it made of the parts of an object is not what was sent"));
        }
        Ok(())
    }

    async fn listing(&self, written: &[&Path]) -> Result<(), StoreError> {
        let listed = self.client.list(&self.keys.probes(), None, PAGE).await;
        let listed = listed.map_err(|fault| self.after("it does not list its objects", fault))?;
        match written.iter().find(|key| !listed.contains(key)) {
            Some(_) => Err(self.broken("it does not list an object that was just written")),
            None => Ok(()),
        }
    }

    async fn deleting(&self, written: &[&Path]) -> Result<(), StoreError> {
        for key in written {
            let deleted = self.client.delete(key).await;
            deleted.map_err(|fault| self.after("it does not delete", fault))?;
            match self.client.read_all(key).await {
                Err(Fault::Missing) => {}
                Ok(_) => return Err(self.broken("it gave back an object that was deleted")),
                Err(fault) => return Err(self.after("it does not tell that an object is missing", fault)),
            }
        }
        Ok(())
    }
}

/// Bytes that differ at every place and between seeds.
fn pattern(len: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes = (0..len).map(|_| {
        state = state
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 56) as u8
    });
    bytes.collect()
}
