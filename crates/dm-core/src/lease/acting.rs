//! By which right work is done: that of the leader in one epoch, or that of any instance.
//!
//! The epoch goes with the work, as a tracing span does, and not with a port: requests, which
//! any instance serves, and the leader's tasks share services, and with them most of their code.

use super::Epoch;

tokio::task_local! {
    static EPOCH: Epoch;
}

/// Does work of the leader of an epoch. Each write to the catalog within it checks, in its own
/// transaction, that the lease is of this epoch and has not ended. Where it has, the write
/// changes nothing and fails with [`NotLeading`](crate::ports::CatalogError::NotLeading).
/// Reads are not checked.
///
/// Work that is handed to a task of its own leaves the epoch, unless it is
/// [taken along](in_same_epoch).
pub async fn in_epoch<Work: Future>(epoch: Epoch, work: Work) -> Work::Output {
    EPOCH.scope(epoch, work).await
}

/// Takes the epoch along into a task of its own, where there is one.
pub fn in_same_epoch<Work: Future>(work: Work) -> impl Future<Output = Work::Output> {
    let epoch = current_epoch();
    async move {
        match epoch {
            Some(epoch) => in_epoch(epoch, work).await,
            None => work.await,
        }
    }
}

/// The epoch in whose right this is done; `None` where any instance may do it.
pub fn current_epoch() -> Option<Epoch> {
    EPOCH.try_with(|epoch| *epoch).ok()
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
}
