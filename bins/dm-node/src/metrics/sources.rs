//! How each part of the node answers whoever reads the metrics. A part of a later version
//! adds a function here, and its metrics to the list of `dm-metrics`.

use dm_core::{clock::now_ms, health::HealthLevel, meter::CommitMeter, peer::PeerStatus};
use dm_metrics::{Metric, Readings, Source, list};

use super::{
    Metered,
    samples::{Sample, Samples},
};

/// A source for each part.
pub(super) fn of(metered: Metered, samples: Samples) -> Vec<Box<dyn Source>> {
    let parts: [fn(&Metered, &mut Readings); 11] = [
        requests,
        shares,
        log,
        object_store,
        catalog,
        repair,
        network,
        webhooks,
        traces,
        keys,
        plugins,
    ];
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for part in parts {
        let metered = metered.clone();
        sources.push(Box::new(move |readings: &mut Readings| part(&metered, readings)));
    }
    sources.push(Box::new(move |readings: &mut Readings| {
        health(&metered, readings);
    }));
    sources.push(Box::new(move |readings: &mut Readings| {
        sampled(&samples.last(), readings);
    }));
    sources
}

fn requests(metered: &Metered, readings: &mut Readings) {
    for (api, requests) in metered.api.readings() {
        for request in requests {
            let (method, route) = (request.method, request.route);
            for (status, count) in request.by_status {
                let labels = [api, method, route, &status.to_string()];
                readings.add(&list::HTTP_REQUESTS, &labels, count);
            }
            readings.add(&list::HTTP_SECONDS, &[api, method, route], request.seconds);
        }
    }
    readings.add(&list::WRONG_API_KEYS, &[], metered.key_guard.wrong_keys());
}

fn shares(metered: &Metered, readings: &mut Readings) {
    let meter = metered.catalog.meter();
    let shares = [
        ("shared", &meter.shared),
        ("anchored", &meter.anchored),
        ("acknowledged", &meter.acknowledged),
        ("revoked", &meter.revoked),
        ("erased", &meter.erased),
        ("expired", &meter.expired),
    ];
    for (state, counter) in shares {
        readings.add(&list::SHARES, &[state], counter.value());
    }
    readings.add(&list::INBOX, &["received"], meter.received.value());
    readings.add(&list::INBOX, &["fetched"], meter.fetched.value());
    readings.add(&list::ORDERS, &["completed"], meter.orders_completed.value());
    readings.add(&list::ORDERS, &["failed"], meter.orders_failed.value());
}

fn log(metered: &Metered, readings: &mut Readings) {
    let log = metered.log.reading();
    readings.add(&list::LOG_EVENTS, &[], log.recorded);
    let unanchored = log.recorded.saturating_sub(log.anchored);
    readings.add(&list::LOG_UNANCHORED, &[], unanchored);
    readings.add(&list::LOG_ANCHORS, &[], log.anchors);
    readings.add(&list::LOG_ANCHOR_SECONDS, &[], log.to_anchor);
}

fn object_store(metered: &Metered, readings: &mut Readings) {
    let (meter, limits) = (&metered.storage, &metered.limits);
    let kept = meter.kept();
    readings.add(&list::STORE_OBJECTS, &[], meter.objects());
    readings.add(&list::STORE_BYTES, &["own"], kept.own);
    readings.add(&list::STORE_BYTES, &["foreign"], kept.foreign);
    readings.add(&list::STORE_LIMIT, &["own"], limits.own);
    readings.add(&list::STORE_LIMIT, &["foreign"], limits.foreign);
    readings.add(&list::STORE_DAMAGED, &[], meter.damaged());
    readings.add(&list::STORE_WAITING, &[], meter.waiting_changes());
    readings.add(&list::STORE_READ_SECONDS, &[], meter.reads().reading());
    let metrics = [
        &list::STORE_COMMIT_SECONDS,
        &list::STORE_COMMIT_CHANGES,
        &list::STORE_COMMITS_FAILED,
    ];
    commits(meter.commits(), metrics, readings);
}

fn catalog(metered: &Metered, readings: &mut Readings) {
    readings.add(
        &list::CATALOG_READ_SECONDS,
        &[],
        metered.catalog.reads().reading(),
    );
    readings.add(&list::CATALOG_WAITING, &[], metered.catalog.waiting_changes());
    let metrics = [
        &list::CATALOG_COMMIT_SECONDS,
        &list::CATALOG_COMMIT_CHANGES,
        &list::CATALOG_COMMITS_FAILED,
    ];
    commits(&metered.catalog.meter().commits, metrics, readings);
}

fn commits(meter: &CommitMeter, [seconds, changes, failed]: [&Metric; 3], readings: &mut Readings) {
    readings.add(seconds, &[], meter.seconds.reading());
    readings.add(changes, &[], meter.changes.reading());
    readings.add(failed, &[], meter.failed.value());
}

fn repair(metered: &Metered, readings: &mut Readings) {
    let meter = metered.repairer.meter();
    let challenges = [
        ("proven", &meter.proven),
        ("missing", &meter.missing),
        ("wrong", &meter.wrong),
        ("silent", &meter.silent),
    ];
    for (result, counter) in challenges {
        readings.add(&list::REPAIR_CHALLENGES, &[result], counter.value());
    }
    readings.add(&list::REPAIR_COPIES, &["made"], meter.copies_made.value());
    readings.add(&list::REPAIR_COPIES, &["refused"], meter.copies_refused.value());
}

fn network(metered: &Metered, readings: &mut Readings) {
    let (stats, now) = (metered.network.stats(), now_ms());
    let is_banned = |peer: &PeerStatus| peer.standing.banned_until.is_some_and(|until| until > now);
    let banned = metered.network.peers().into_iter().filter(is_banned).count();
    readings.add(&list::NETWORK_PEERS, &["known"], stats.total_peers);
    readings.add(&list::NETWORK_PEERS, &["healthy"], stats.healthy_peers);
    readings.add(&list::NETWORK_PEERS, &["connected"], stats.active_peers);
    readings.add(&list::NETWORK_PEERS, &["banned"], banned);
    readings.add(&list::NETWORK_BYTES, &["sent"], stats.data_sent);
    readings.add(&list::NETWORK_BYTES, &["received"], stats.data_received);
    readings.add(&list::NETWORK_NOT_UNDERSTOOD, &[], stats.not_understood);
}

fn webhooks(metered: &Metered, readings: &mut Readings) {
    let meter = metered.subscriptions.meter();
    readings.add(&list::WEBHOOK_CALLS, &["taken"], meter.taken.value());
    readings.add(&list::WEBHOOK_CALLS, &["failed"], meter.failed.value());
    readings.add(&list::WEBHOOK_CALLS, &["gone"], meter.gone.value());
    readings.add(&list::WEBHOOK_GIVEN_UP, &[], meter.given_up.value());
    readings.add(&list::WEBHOOK_SECONDS, &[], meter.seconds.reading());
}

fn traces(metered: &Metered, readings: &mut Readings) {
    let Some(exporter) = &metered.exporter else {
        return;
    };
    let meter = exporter.meter();
    for (result, counter) in [
        ("exported", &meter.exported),
        ("dropped", &meter.dropped),
        ("lost", &meter.lost),
    ] {
        readings.add(&list::TRACE_SPANS, &[result], counter.value());
    }
}

fn keys(metered: &Metered, readings: &mut Readings) {
    let versions = metered.key_ring.versions();
    readings.add(&list::KEY_VERSIONS, &[], versions.len());
    if let Some(newest) = versions.last() {
        let age = now_ms().saturating_sub(newest.created_at);
        readings.add(&list::KEY_AGE, &[], age as f64 / 1000.0);
    }
}

fn plugins(metered: &Metered, readings: &mut Readings) {
    for plugin in metered.plugins.readings() {
        let labels = [plugin.name.as_str()];
        readings.add(&list::PLUGIN_RUNNING, &labels, plugin.is_running);
        readings.add(&list::PLUGIN_FAULTS, &labels, plugin.faults);
        readings.add(&list::PLUGIN_EVENTS_MISSED, &labels, plugin.events_missed);
        readings.add(&list::PLUGIN_SECONDS, &labels, plugin.seconds);
    }
}

fn health(metered: &Metered, readings: &mut Readings) {
    let report = metered.health.report();
    let is_connected = report.components.blockchain == "connected";
    readings.add(&list::CHAIN_CONNECTED, &[], is_connected);
    readings.add(&list::HEALTH_STATUS, &[], level(report.status));
    for (part, health) in &report.parts {
        readings.add(&list::HEALTH_PART, &[part], level(health.status));
    }
    let failed = report.tasks.values().filter(|task| !task.running).count();
    readings.add(&list::TASKS_FAILED, &[], failed);
}

fn level(level: HealthLevel) -> u64 {
    match level {
        HealthLevel::Healthy => 0,
        HealthLevel::Degraded => 1,
        HealthLevel::Unhealthy => 2,
    }
}

fn sampled(sample: &Sample, readings: &mut Readings) {
    if let Some(transactions) = sample.transactions {
        readings.add(&list::CHAIN_PENDING, &[], transactions.pending);
        readings.add(&list::CHAIN_MINED, &["mined"], transactions.mined);
        readings.add(&list::CHAIN_MINED, &["replaced"], transactions.replaced);
        readings.add(&list::CHAIN_MINED, &["refused"], transactions.refused);
        readings.add(&list::CHAIN_GAS, &[], transactions.gas);
        readings.add(&list::CHAIN_FEES, &[], transactions.fees_gwei);
    }
    if let Some(repair) = sample.repair {
        readings.add(&list::REPAIR_OBJECTS, &[], repair.objects);
        readings.add(&list::REPAIR_SHORT, &[], repair.short);
    }
    if let Some(deliveries) = sample.deliveries {
        readings.add(&list::WEBHOOK_SUBSCRIPTIONS, &["active"], deliveries.active);
        readings.add(&list::WEBHOOK_SUBSCRIPTIONS, &["paused"], deliveries.paused);
        readings.add(&list::WEBHOOK_SUBSCRIPTIONS, &["ended"], deliveries.ended);
        readings.add(&list::WEBHOOK_SUBSCRIPTIONS, &["failing"], deliveries.failing);
        readings.add(&list::WEBHOOK_LAG, &[], deliveries.furthest_behind);
    }
    if let Some(instances) = sample.instances {
        readings.add(&list::INSTANCES, &["there"], instances.there);
        readings.add(&list::INSTANCES, &["silent"], instances.silent);
        readings.add(&list::INSTANCE_LEADS, &[], instances.leads);
    }
}
