//! Looks after what is stored, in the background.

use std::time::Duration;

use dm_core::{
    Address,
    config::{NetworkConfig, StorageConfig},
    services::{Caretaker, CaretakerPorts, ScrubPorts, ScrubSettings, Scrubber, caretaker::plan::Policy},
    tasks::Supervisor,
};

/// Looks after the copies of what is stored, in the background.
pub(crate) fn start_caretaker(
    ports: CaretakerPorts,
    own: Address,
    local_peer: &str,
    network: &NetworkConfig,
    supervisor: &Supervisor,
) -> Caretaker {
    let caretaker = Caretaker::new(ports, own, local_peer, Policy::of(network));
    let running = caretaker.clone();
    supervisor.spawn("caretaker", move |shutdown| {
        let caretaker = running.clone();
        async move { caretaker.run(shutdown).await }
    });
    caretaker
}

/// Looks for damage in the background, and mends it.
pub(crate) fn start_scrubber(
    ports: ScrubPorts,
    storage: &StorageConfig,
    supervisor: &Supervisor,
) -> Scrubber {
    let settings = ScrubSettings {
        bytes_per_second: storage.scrub_bytes_per_sec,
        interval: Duration::from_secs(storage.scrub_interval_secs),
    };
    let scrubber = Scrubber::new(ports, settings);
    let running = scrubber.clone();
    supervisor.spawn("scrub", move |shutdown| {
        let scrubber = running.clone();
        async move { scrubber.run(shutdown).await }
    });
    scrubber
}
