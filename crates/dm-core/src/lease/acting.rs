//! By which right work is done: that of the leader in one epoch, that of an instance that has a
//! turn, or that of any instance.
//!
//! The right goes with the work, as a tracing span does, and not with a port: requests, which
//! any instance serves, and the leader's tasks share services, and with them most of their code.

use std::sync::Arc;

use bytes::Bytes;

use super::Epoch;

/// What an instance that has turns relies on: this entry of a namespace that all instances share is
/// what it was. Whoever takes a turn away, because its holder seems to be gone, changes the holder's
/// entry in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The namespace.
    pub namespace: Arc<str>,
    /// Which entry.
    pub key: Bytes,
    /// What it was; `None` where there was none.
    pub value: Option<Bytes>,
}

/// By which right work is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Right {
    /// That of the leader of this epoch.
    pub epoch: Option<Epoch>,
    /// That of an instance in its turn.
    pub standing: Option<Arc<Standing>>,
}

tokio::task_local! {
    static RIGHT: Right;
}

/// Does work of the leader of an epoch. Each write to the catalog within it checks, in its own
/// transaction, that the lease is of this epoch and has not ended. Where it has, the write
/// changes nothing and fails with [`NotLeading`](crate::ports::CatalogError::NotLeading).
/// Reads are not checked.
///
/// Work that is handed to a task of its own leaves the epoch, unless it is
/// [taken along](in_same_epoch).
pub async fn in_epoch<Work: Future>(epoch: Epoch, work: Work) -> Work::Output {
    let epoch = Some(epoch);
    in_right(
        Right {
            epoch,
            ..current_right()
        },
        work,
    )
    .await
}

/// Does work of an instance that has a turn. Each write to the catalog within it checks, in its own
/// transaction, that the instance still stands as it did when it took the turn. Where it does not,
/// the write changes nothing and fails with [`TurnLost`](crate::ports::CatalogError::TurnLost).
/// Otherwise as [`in_epoch`], which it may be in as well.
pub async fn in_turn<Work: Future>(standing: Arc<Standing>, work: Work) -> Work::Output {
    let standing = Some(standing);
    in_right(
        Right {
            standing,
            ..current_right()
        },
        work,
    )
    .await
}

/// Does work by this right and no other.
pub async fn in_right<Work: Future>(right: Right, work: Work) -> Work::Output {
    RIGHT.scope(right, work).await
}

/// Takes the right along into a task of its own: epoch and turn, where there are any.
pub fn in_same_epoch<Work: Future>(work: Work) -> impl Future<Output = Work::Output> {
    in_right(current_right(), work)
}

/// The epoch in whose right this is done; `None` where any instance may do it.
pub fn current_epoch() -> Option<Epoch> {
    RIGHT.try_with(|right| right.epoch).ok().flatten()
}

/// By which right this is done.
pub fn current_right() -> Right {
    RIGHT.try_with(Right::clone).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_of_its_own_is_in_an_epoch_only_where_it_is_taken_along() {
        assert_eq!(current_epoch(), None);
        let (left, taken) = in_epoch(Epoch(7), async {
            assert_eq!(current_epoch(), Some(Epoch(7)));
            let left = tokio::spawn(async { current_epoch() });
            let taken = tokio::spawn(in_same_epoch(async { current_epoch() }));
            (left.await.unwrap(), taken.await.unwrap())
        })
        .await;
        assert_eq!((left, taken), (None, Some(Epoch(7))));
        assert_eq!(in_same_epoch(async { current_epoch() }).await, None);
    }

    #[tokio::test]
    async fn a_turn_of_the_leader_is_in_its_epoch_as_well() {
        let standing = Arc::new(Standing {
            namespace: "turns".into(),
            key: Bytes::from_static(b"key"),
            value: None,
        });
        let turn = in_turn(standing.clone(), async { current_right() });
        let right = in_epoch(Epoch(7), turn).await;
        assert_eq!((right.epoch, right.standing), (Some(Epoch(7)), Some(standing)));
        assert_eq!(current_right(), Right::default());
    }
}
