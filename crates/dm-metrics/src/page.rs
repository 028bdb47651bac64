//! The page that is scraped.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    format,
    readings::{Readings, Source},
};

/// For how long a page is handed out before the sources are read again: however many ask,
/// and however often, they cost no more than that.
const FRESH_FOR: Duration = Duration::from_millis(500);

/// The text of all metrics.
#[derive(Default)]
pub struct Page {
    sources: Vec<Box<dyn Source>>,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Page {
    /// A page of what these sources tell.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self {
            sources,
            last: Mutex::default(),
        }
    }

    /// The page, no older than half a second.
    pub fn text(&self) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, text)) = &*last
            && made.elapsed() < FRESH_FOR
        {
            return text.clone();
        }
        let text = self.make();
        *last = Some((Instant::now(), text.clone()));
        text
    }

    fn make(&self) -> Bytes {
        let mut readings = Readings::default();
        self.sources.iter().for_each(|source| source.read(&mut readings));
        // A text takes everything; what is cut would not end as a page must.
        format::text(readings).map_or_else(|_| Bytes::new(), Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use dm_core::meter::Histogram;

    use super::*;
    use crate::list;

    #[test]
    fn the_text_is_what_the_format_asks_for() {
        let seconds = Histogram::of_group_sizes();
        seconds.note(3.0, 2);
        seconds.note(1e9, 1);
        let seconds = seconds.reading();
        let page = Page::new(vec![Box::new(move |readings: &mut Readings| {
            readings.add(&list::NETWORK_PEERS, &["connected"], 3u64);
            readings.add(&list::NETWORK_PEERS, &["a \"b\"\\\n"], 4u64);
            readings.add(&list::NETWORK_BYTES, &["sent"], 7u64);
            readings.add(&list::KEY_AGE, &[], 1.5);
            readings.add(&list::BUILD, &["0.1.0"], 1u64);
            readings.add(&list::LOG_ANCHOR_SECONDS, &[], seconds.clone());
        })]);
        let text = String::from_utf8(page.text().to_vec()).unwrap();
        for line in [
            "# TYPE dm_network_peers gauge",
            "dm_network_peers{state=\"connected\"} 3.0",
            r#"dm_network_peers{state="a \"b\"\\\n"} 4.0"#,
            "# TYPE dm_network_bytes counter",
            "# UNIT dm_network_bytes bytes",
            "dm_network_bytes_total{direction=\"sent\"} 7.0",
            "dm_key_age_seconds 1.5",
            "dm_build_info{version=\"0.1.0\"} 1",
            "dm_log_anchor_delay_seconds_bucket{le=\"4.0\"} 2",
            "dm_log_anchor_delay_seconds_bucket{le=\"+Inf\"} 3",
            "dm_log_anchor_delay_seconds_count 3",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn many_who_ask_at_once_cost_few_readings() {
        let read = Arc::new(AtomicU64::new(0));
        let counted = read.clone();
        let page = Page::new(vec![Box::new(move |_: &mut Readings| {
            counted.fetch_add(1, Ordering::Relaxed);
        })]);
        // Meanwhile half a second passes on no machine for most of them.
        (0..1000).for_each(|_| drop(page.text()));
        assert!(read.load(Ordering::Relaxed) < 100);
    }
}
