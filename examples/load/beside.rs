//! The same work by two programs in turn, and the ratios of what each took: by two binaries of
//! the node, or by the node and a peer of `iroh-blobs`.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::report::median;

mod iroh;
mod nodes;

/// Rounds where nobody says how many.
pub(crate) const ROUNDS: usize = 5;
/// Bytes of a small object; how many are fetched one by one, and as many again at once.
const SMALL: usize = 64 * 1024;
const SMALL_OBJECTS: usize = 200;
/// Small objects that are fetched at once.
const AT_ONCE: usize = 16;

/// What is measured, and what one round of it took.
type Figure = (&'static str, f64);

const IMPORT: &str = "import of 1 GiB, durable: s";
const IMPORT_CPU: &str = "import of 1 GiB: CPU s of all processes";
const FETCH: &str = "1 GiB from another: s, beside a download and reading it";
const FETCH_SYNCED: &str = "1 GiB from another: s, beside a download with fsync";
const FETCH_ALONE: &str = "1 GiB from another: s, beside a download alone";
const FETCH_CPU: &str = "1 GiB from another: CPU s of all processes";
const FIRST_BYTE: &str = "1 GiB from another: ms to the first byte";
const MEMORY: &str = "1 GiB from another: most MiB of the reader";
const AGAIN: &str = "1 GiB read again: s";
const SMALL_EACH: &str = "64 KiB from another, one by one: ms, p50";
const SMALL_AT_ONCE: &str = "64 KiB from another, 16 at once: ms, p50";
const SMALL_CPU: &str = "64 KiB from another: CPU ms each";

/// Who does the work.
pub(crate) enum Side {
    /// Nodes of this binary.
    Node(PathBuf),
    /// Peers of `examples/iroh-blobs`.
    Iroh(PathBuf),
}

impl Side {
    /// The side that a command names; `None` where it names none.
    pub(crate) fn of(command: &str, program: &Path) -> anyhow::Result<Option<Self>> {
        match command {
            "against" => Ok(Some(Self::Node(program.canonicalize()?))),
            "iroh" => Ok(Some(Self::Iroh(program.canonicalize()?))),
            _ => Ok(None),
        }
    }

    async fn round(&self) -> anyhow::Result<Vec<Figure>> {
        match self {
            Self::Node(binary) => nodes::round(binary).await,
            Self::Iroh(program) => iroh::round(program).await,
        }
    }
}

/// Runs both in turn, so many rounds, and prints what each took in the middle, and the ratio of
/// the rounds: the middle, the least and the most.
pub(crate) async fn measure(one: &Side, other: &Side, rounds: usize) -> anyhow::Result<()> {
    ensure!(rounds > 0, "at least one round");
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who comes second finds warmer caches, or a disk that is still busy.
        if round % 2 == 0 {
            of_one.push(one.round().await?);
            of_other.push(other.round().await?);
        } else {
            of_other.push(other.round().await?);
            of_one.push(one.round().await?);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    println!(
        "{:<58} {:>9} {:>9} {:>6}   least to most",
        "", "first", "second", "ratio"
    );
    let rows: Vec<&str> = of_one[0].iter().map(|(what, _)| *what).collect();
    for what in rows {
        let (Some(ones), Some(others)) = (figures(&of_one, what), figures(&of_other, what)) else {
            continue;
        };
        let mut ratios: Vec<f64> = ones.iter().zip(&others).map(|(one, other)| one / other).collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "{what:<58} {:>9.3} {:>9.3} {:>6.2}   {:.2} to {:.2}",
            median(ones),
            median(others),
            median(ratios.clone()),
            ratios[0],
            ratios[ratios.len() - 1],
        );
    }
    Ok(())
}

/// One figure of each round; `None` where a round lacks it.
fn figures(rounds: &[Vec<Figure>], what: &str) -> Option<Vec<f64>> {
    let of_round = |round: &Vec<Figure>| {
        round
            .iter()
            .find(|(name, _)| *name == what)
            .map(|(_, figure)| *figure)
    };
    rounds.iter().map(of_round).collect()
}
