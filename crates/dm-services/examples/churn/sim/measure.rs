use super::{HOUR, MINUTE, Scenario};

/// What was seen in one minute.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Minutes since the start.
    pub(crate) minute: u64,
    /// Objects that were shared and are not lost.
    pub(crate) objects: usize,
    /// Of these, the ones that a node at home has.
    pub(crate) readable: usize,
    /// Mean number of copies at home.
    pub(crate) copies: f64,
}

/// What came of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// What was simulated.
    pub(crate) scenario: Scenario,
    /// Minute by minute.
    pub(crate) samples: Vec<Sample>,
    /// Objects of which no disk is left that will return.
    pub(crate) lost: usize,
    /// From a holder's leaving until its object has its copies again, in
    /// milliseconds, in rising order.
    pub(crate) repair_times: Vec<u64>,
    /// Challenges sent.
    pub(crate) challenges: u64,
    /// Searches on the DHT.
    pub(crate) searches: u64,
    /// Copies that were made by repair.
    pub(crate) copies_made: u64,
    /// Sum over time of the nodes at home, in node-hours.
    pub(crate) node_hours: f64,
    /// Real time that it took.
    pub(crate) took: std::time::Duration,
}

impl Outcome {
    /// Lowest part of the objects that could be read at any sampled moment.
    pub(crate) fn worst_readable(&self) -> f64 {
        self.parts().fold(1.0, f64::min)
    }

    /// Mean part of the objects that could be read.
    pub(crate) fn mean_readable(&self) -> f64 {
        let parts: Vec<f64> = self.parts().collect();
        parts.iter().sum::<f64>() / parts.len().max(1) as f64
    }

    /// Mean number of copies at home.
    pub(crate) fn mean_copies(&self) -> f64 {
        let busy = self.samples.iter().filter(|sample| sample.objects > 0);
        let (sum, count) = busy.fold((0.0, 0), |(sum, count), sample| (sum + sample.copies, count + 1));
        sum / f64::from(count.max(1))
    }

    /// Copies that a node at home makes in a day.
    pub(crate) fn copies_per_node_day(&self) -> f64 {
        self.copies_made as f64 / self.node_hours * 24.0
    }

    /// Challenges that a node at home sends in an hour.
    pub(crate) fn challenges_per_node_hour(&self) -> f64 {
        self.challenges as f64 / self.node_hours
    }

    /// Searches that a node at home begins in an hour.
    pub(crate) fn searches_per_node_hour(&self) -> f64 {
        self.searches as f64 / self.node_hours
    }

    /// The time within which this part of the repairs was done, in seconds.
    pub(crate) fn repair_time(&self, part: f64) -> f64 {
        let index = (self.repair_times.len() as f64 * part) as usize;
        let time = self
            .repair_times
            .get(index.min(self.repair_times.len().saturating_sub(1)));
        time.map_or(0.0, |time| *time as f64 / 1000.0)
    }

    fn parts(&self) -> impl Iterator<Item = f64> {
        let busy = self.samples.iter().filter(|sample| sample.objects > 0);
        busy.map(|sample| sample.readable as f64 / sample.objects as f64)
    }
}

/// Counts the copies of each object.
pub(super) struct Gauge {
    factor: u32,
    home: Vec<u32>,
    disks: Vec<u32>,
    shared: Vec<bool>,
    short_since: Vec<Option<u64>>,
    pub(super) repair_times: Vec<u64>,
    pub(super) samples: Vec<Sample>,
    pub(super) node_hours: f64,
}

impl Gauge {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            factor: scenario.config.factor,
            home: vec![0; scenario.objects],
            disks: vec![0; scenario.objects],
            shared: vec![false; scenario.objects],
            short_since: vec![None; scenario.objects],
            repair_times: Vec::new(),
            samples: Vec::new(),
            node_hours: 0.0,
        }
    }

    pub(super) fn share(&mut self, object: usize) {
        self.shared[object] = true;
    }

    /// A copy appears on a disk, or vanishes with it.
    pub(super) fn disk(&mut self, object: usize, is_there: bool) {
        change(&mut self.disks[object], is_there);
    }

    /// A copy can be read, or not any more.
    pub(super) fn home(&mut self, object: usize, is_there: bool, now: u64) {
        change(&mut self.home[object], is_there);
        let is_short = self.home[object] < self.factor;
        match self.short_since[object] {
            None if is_short && !is_there => self.short_since[object] = Some(now),
            Some(since) if !is_short => {
                self.repair_times.push(now - since);
                self.short_since[object] = None;
            }
            _ => {}
        }
    }

    pub(super) fn sample(&mut self, now: u64, nodes_home: usize) {
        let alive = |object: &usize| self.shared[*object] && self.disks[*object] > 0;
        let objects: Vec<usize> = (0..self.home.len()).filter(alive).collect();
        let copies: u64 = objects.iter().map(|object| u64::from(self.home[*object])).sum();
        self.samples.push(Sample {
            minute: now / MINUTE,
            objects: objects.len(),
            readable: objects.iter().filter(|object| self.home[**object] > 0).count(),
            copies: copies as f64 / objects.len().max(1) as f64,
        });
        self.node_hours += nodes_home as f64 * MINUTE as f64 / HOUR as f64;
    }

    pub(super) fn lost(&self) -> usize {
        let lost = |object: &usize| self.shared[*object] && self.disks[*object] == 0;
        (0..self.disks.len()).filter(lost).count()
    }
}

fn change(count: &mut u32, up: bool) {
    *count = if up { *count + 1 } else { *count - 1 };
}
