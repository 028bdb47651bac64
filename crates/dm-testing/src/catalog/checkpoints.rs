//! What [`EventLog`] promises about checkpoints.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::ports::EventLog;

use super::samples::checkpoint;

pub async fn a_checkpoint_is_kept_as_it_was_given(catalog: &impl EventLog) {
    assert_eq!(catalog.last_checkpoint().await.unwrap(), None);
    for kept in [checkpoint(5, false), checkpoint(9, true)] {
        catalog.put_checkpoint(&kept).await.unwrap();
        assert_eq!(catalog.last_checkpoint().await.unwrap(), Some(kept));
    }
    catalog.put_checkpoint(&checkpoint(7, true)).await.unwrap();
    assert_eq!(
        catalog.last_checkpoint().await.unwrap(),
        Some(checkpoint(9, true))
    );
}

pub async fn a_checkpoint_of_the_same_size_is_replaced(catalog: &impl EventLog) {
    catalog.put_checkpoint(&checkpoint(5, false)).await.unwrap();
    let mut elsewhere = checkpoint(5, true);
    elsewhere.anchor.block += 1;
    catalog.put_checkpoint(&elsewhere).await.unwrap();
    assert_eq!(catalog.last_checkpoint().await.unwrap(), Some(elsewhere));
    assert_eq!(catalog.open_checkpoints().await.unwrap(), []);
}

pub async fn an_event_is_covered_by_the_smallest_larger_checkpoint(catalog: &impl EventLog) {
    for size in [9, 5, 7] {
        catalog.put_checkpoint(&checkpoint(size, true)).await.unwrap();
    }
    for (index, size) in [
        (0, Some(5)),
        (4, Some(5)),
        (5, Some(7)),
        (8, Some(9)),
        (9, None),
        (u64::MAX, None),
    ] {
        let covering = catalog.checkpoint_covering(index).await.unwrap();
        assert_eq!(covering.map(|found| found.checkpoint.size), size, "event {index}");
        let together = catalog.checkpoints_covering(&[index]).await.unwrap();
        assert_eq!(together.get(&index).copied(), covering);
    }
    let several = catalog.checkpoints_covering(&[8, 0, 4, 9]).await.unwrap();
    let sizes = several
        .iter()
        .map(|(index, found)| (*index, found.checkpoint.size));
    assert_eq!(sizes.collect::<Vec<_>>(), [(0, 5), (4, 5), (8, 9)]);
}

pub async fn a_removed_checkpoint_covers_nothing(catalog: &impl EventLog) {
    catalog.put_checkpoint(&checkpoint(5, false)).await.unwrap();
    catalog.put_checkpoint(&checkpoint(9, false)).await.unwrap();
    catalog.remove_checkpoint(5).await.unwrap();
    catalog.remove_checkpoint(6).await.unwrap();
    assert_eq!(
        catalog.checkpoint_covering(0).await.unwrap(),
        Some(checkpoint(9, false))
    );
    assert_eq!(catalog.open_checkpoints().await.unwrap(), [checkpoint(9, false)]);
}

pub async fn open_checkpoints_are_listed_smallest_first(catalog: &impl EventLog) {
    for (size, is_final) in [(9, false), (5, false), (7, true)] {
        catalog.put_checkpoint(&checkpoint(size, is_final)).await.unwrap();
    }
    let open = catalog.open_checkpoints().await.unwrap();
    assert_eq!(open, [checkpoint(5, false), checkpoint(9, false)]);
}
