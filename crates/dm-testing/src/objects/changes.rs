//! What every feed of changed objects promises; `object_changes_conformance!` makes the tests.

use dm_core::{
    envelope::ObjectId,
    ports::{ObjectChange, ObjectChanges, ObjectStore},
};

use super::SampleObject;

/// Makes one test for every promise of [`ObjectChanges`]. Takes the name of an
/// async function that opens an empty store and returns
/// `(Arc<dyn ObjectStore>, Arc<dyn ObjectChanges>, guard)`; the guard lives until the test ends.
#[macro_export]
macro_rules! object_changes_conformance {
    ($open:path) => {
        $crate::object_changes_conformance!($open:
            each_change_is_told_in_its_order,
            what_changes_nothing_is_not_told,
            a_change_is_told_until_it_is_settled,
            who_waits_is_woken_by_a_change,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (store, changes, _guard) = $open().await;
                $crate::objects::$promise(&*store, &*changes).await;
            }
        )*
    };
}

async fn told(changes: &dyn ObjectChanges) -> Vec<(ObjectId, Option<u64>)> {
    let all = changes.unsettled(None, 1000).await.unwrap();
    assert!(all.is_sorted_by(|one, next| one.position < next.position));
    all.iter()
        .map(|change| (change.object, change.sequence))
        .collect()
}

/// What is stored, replaced and removed is told in that order, page by page.
pub async fn each_change_is_told_in_its_order(store: &dyn ObjectStore, changes: &dyn ObjectChanges) {
    let (small, large) = (SampleObject::new(1, 1, 10), SampleObject::new(2, 2, 3_000_000));
    small.store_in(store).await.unwrap();
    large.store_in(store).await.unwrap();
    let newer = small.envelope_with_sequence(1, 5);
    assert!(store.replace_envelope(&newer).await.unwrap());
    assert!(store.remove(&large.id()).await.unwrap());
    let expected = [
        (small.id(), Some(1)),
        (large.id(), Some(1)),
        (small.id(), Some(5)),
        (large.id(), None),
    ];
    assert_eq!(told(changes).await, expected);
    let mut paged: Vec<ObjectChange> = Vec::new();
    loop {
        let after = paged.last().map(|change| change.position);
        let page = changes.unsettled(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, changes.unsettled(None, 1000).await.unwrap());
}

/// A change that was refused, or that changed nothing, is none.
pub async fn what_changes_nothing_is_not_told(store: &dyn ObjectStore, changes: &dyn ObjectChanges) {
    let object = SampleObject::new(1, 1, 10);
    assert!(!store.remove(&object.id()).await.unwrap());
    object.store_in(store).await.unwrap();
    object.store_in(store).await.unwrap_err();
    assert!(!store.replace_envelope(&object.envelope).await.unwrap());
    assert_eq!(told(changes).await, [(object.id(), Some(1))]);
}

/// Settled changes are gone; one of the same object that came later stays.
pub async fn a_change_is_told_until_it_is_settled(store: &dyn ObjectStore, changes: &dyn ObjectChanges) {
    let object = SampleObject::new(1, 1, 10);
    object.store_in(store).await.unwrap();
    let first = changes.unsettled(None, 10).await.unwrap();
    store.remove(&object.id()).await.unwrap();
    object.store_in(store).await.unwrap();
    changes.settle(&first).await.unwrap();
    assert_eq!(told(changes).await, [(object.id(), None), (object.id(), Some(1))]);
    // A second time it does no harm.
    changes.settle(&first).await.unwrap();
    let rest = changes.unsettled(None, 10).await.unwrap();
    changes.settle(&rest).await.unwrap();
    assert_eq!(told(changes).await, []);
}

/// A follower need not ask again and again.
pub async fn who_waits_is_woken_by_a_change(store: &dyn ObjectStore, changes: &dyn ObjectChanges) {
    let object = SampleObject::new(1, 1, 10);
    let ((), stored) = futures::join!(changes.wait(), object.store_in(store));
    stored.unwrap();
    assert_eq!(told(changes).await.len(), 1);
}
