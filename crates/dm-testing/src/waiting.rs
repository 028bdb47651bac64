//! Waiting for what happens by itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits for something that must happen. Only a test that fails waits
/// so long, and a busy machine does not make one fail.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// First pause between two questions. Each pause is twice as long as the one before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// After [`PATIENCE`], naming `what` was awaited.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// The same for what may take longer than [`PATIENCE`].
///
/// # Panics
///
/// After `patience`, naming `what` was awaited.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    let mut pause = SHORTEST_PAUSE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain until {what}"
        );
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_is_returned() {
        let mut asked = 0;
        let answer = eventually("the third question is asked", async || {
            asked += 1;
            (asked == 3).then_some("answer")
        });
        assert_eq!(answer.await, "answer");
        assert_eq!(asked, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 60s in vain until pigs fly")]
    async fn what_never_happens_is_named() {
        eventually("pigs fly", async || None::<()>).await;
    }
}
