//! What a page of a large inbox costs, by each kind of filter. `INBOX_ITEMS` sets another
//! number of items than 100,000.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use dm_core::{
    hash::DataHash,
    inbox::{InboxItem, InboxQuery, ItemState, Term},
    ports::InboxCatalog,
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::address;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;

/// Items that are listed at the same time.
const AT_ONCE: usize = 256;
/// Items of a page.
const PAGE: usize = 100;
/// Pages of each kind.
const PAGES: usize = 200;

const fn term(kind: u8, value: u64) -> Term {
    let mut bytes = [0; 16];
    let value = value.to_be_bytes();
    let mut place = 0;
    while place < 8 {
        bytes[8 + place] = value[place];
        place += 1;
    }
    bytes[0] = kind;
    Term(bytes)
}

/// Its sender is one of ten, its name its own, one label one of two and another one of a
/// thousand.
async fn list(catalog: &SqliteCatalog, n: u64) {
    let item = InboxItem {
        data_hash: DataHash::of(&n.to_be_bytes()),
        owner: address((n % 10) as u8),
        size: n,
        descriptor: vec![7; 329].into(),
        sequence: 1,
        shared_at: n,
        received_at: n,
        expires_at: None,
        state: ItemState::New,
        fetched_at: None,
        anchored: true,
    };
    let terms = [term(0, n % 10), term(1, n), term(2, n % 2), term(3, n % 1000)];
    catalog.list_item(&item, &terms).await.unwrap();
    if n.is_multiple_of(100) {
        catalog
            .advance_item(&item.id(), ItemState::Fetched, 1)
            .await
            .unwrap();
    }
}

async fn measure(catalog: &SqliteCatalog, name: &str, query: InboxQuery) {
    let mut times: Vec<Duration> = Vec::with_capacity(PAGES);
    let mut found = 0;
    for _ in 0..PAGES {
        let began = Instant::now();
        found = catalog.inbox_items(&query).await.unwrap().len();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!(
        "{name:<32} {found:>4} items  p50 {:>9.3?}  p99 {:>9.3?}",
        times[PAGES / 2],
        times[PAGES * 99 / 100]
    );
}

fn main() {
    let count: u64 = std::env::var("INBOX_ITEMS").map_or(100_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let catalog = SqliteCatalog::open(folder.path().join("catalog.db"))
            .await
            .unwrap();
        let began = Instant::now();
        stream::iter(0..count)
            .map(|n| {
                let catalog = catalog.clone();
                async move { tokio::spawn(async move { list(&catalog, n).await }).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await
            .unwrap();
        println!("{count} items listed in {:.1?}", began.elapsed());
        let page = |terms: &[Term], states: &[ItemState]| InboxQuery {
            terms: terms.to_vec(),
            states: states.iter().copied().collect(),
            limit: PAGE,
            ..InboxQuery::default()
        };
        let (sender, rare, half) = (term(0, 3), term(3, 513), term(2, 1));
        let fetched = [ItemState::Fetched];
        for (name, query) in [
            ("all", page(&[], &[])),
            (
                "all, from the middle",
                InboxQuery {
                    before: Some(count / 2),
                    ..page(&[], &[])
                },
            ),
            ("state", page(&[], &fetched)),
            ("state of no item", page(&[], &[ItemState::Acknowledged])),
            ("sender", page(&[sender], &[])),
            ("sender and state of no item", page(&[sender], &fetched)),
            ("name", page(&[term(1, count / 3)], &[])),
            ("label of half of them", page(&[half], &[])),
            ("label of a thousandth", page(&[rare], &[])),
            ("two labels", page(&[half, rare], &[])),
            ("sender and label", page(&[sender, half], &[])),
            ("sender, label, rare label", page(&[sender, half, rare], &[])),
            ("labels that exclude each other", page(&[half, term(3, 512)], &[])),
            (
                "since",
                InboxQuery {
                    since: Some(count - 50),
                    ..page(&[], &[])
                },
            ),
            (
                "since, sender",
                InboxQuery {
                    since: Some(count - 50),
                    ..page(&[sender], &[])
                },
            ),
        ] {
            measure(&catalog, name, query).await;
        }
        catalog.close().await.unwrap();
    });
}
