//! The place of one plugin, whether it runs or not.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dm_core::{
    plugin::{Hook, PluginEvent, PluginFault, PluginInfo, PluginStatus, Verdict},
    ports::Plugin,
};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{guarded::guarded, lifecycle::Lifecycle, meter::PluginMeter, question::Question};
use crate::ServiceError;

/// How long a question waits for a plugin that answers others.
const QUEUE_PATIENCE: Duration = Duration::from_secs(10);

/// A plugin that is called.
pub(super) struct Running {
    /// Which start of the plugin this is.
    pub(super) start: u64,
    pub(super) info: PluginInfo,
    pub(super) plugin: Arc<dyn Plugin>,
    calls: Semaphore,
    /// Ends the delivery of events.
    pub(super) stopping: CancellationToken,
    delivery: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    pub(super) fn new(start: u64, info: PluginInfo, plugin: Arc<dyn Plugin>) -> Self {
        Self {
            start,
            calls: Semaphore::new(info.parallel_calls.max(1)),
            info,
            plugin,
            stopping: CancellationToken::new(),
            delivery: Mutex::default(),
        }
    }

    /// The task that delivers events, which ends before the plugin does.
    pub(super) fn is_told_by(&self, delivery: JoinHandle<()>) {
        *self.delivery.lock().unwrap_or_else(PoisonError::into_inner) = Some(delivery);
    }

    async fn ask(&self, question: Question<'_>) -> Result<Result<Verdict, PluginFault>, ServiceError> {
        let waiting = tokio::time::timeout(QUEUE_PATIENCE, self.calls.acquire());
        // The semaphore is never closed.
        let Ok(Ok(_call)) = waiting.await else {
            return Err(ServiceError::Overloaded);
        };
        Ok(guarded(self.info.call_limit, question.put_to(self.plugin.as_ref())).await)
    }

    /// Hands the plugin an event, after the calls that wait already.
    pub(super) async fn tell(&self, event: &PluginEvent) -> Result<(), PluginFault> {
        let _call = self.calls.acquire().await;
        guarded(self.info.call_limit, self.plugin.on_event(event)).await
    }

    /// Ends the plugin's work; what it does wrong then matters no more.
    pub(super) async fn shut_down(&self) {
        self.stopping.cancel();
        let delivery = self
            .delivery
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ending = async {
            if let Some(delivery) = delivery {
                // A delivery that panicked has ended as well.
                let _ = delivery.await;
            }
            self.plugin.shutdown().await;
            Ok(())
        };
        if let Err(fault) = guarded(self.info.call_limit, ending).await {
            tracing::warn!(plugin = self.info.name, %fault, "a plugin did not shut down in order");
        }
    }
}

/// The place of one plugin.
pub(super) struct Slot {
    pub(super) name: String,
    /// Whether nothing that it has a say in happens without it.
    pub(super) required: bool,
    life: Mutex<Lifecycle>,
    running: RwLock<Option<Arc<Running>>>,
    /// What the plugin last said of itself.
    known: Mutex<Option<PluginInfo>>,
    events_missed: AtomicU64,
    pub(super) meter: PluginMeter,
    /// Held by whoever starts or stops the plugin.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Slot {
    pub(super) fn new(name: String, required: bool, enabled: bool) -> Self {
        Self {
            name,
            required,
            life: Mutex::new(Lifecycle::new(enabled, Instant::now())),
            running: RwLock::new(None),
            known: Mutex::new(None),
            events_missed: AtomicU64::new(0),
            meter: PluginMeter::default(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn life(&self) -> MutexGuard<'_, Lifecycle> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn running(&self) -> Option<Arc<Running>> {
        self.running
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_running(&self, running: Option<Arc<Running>>) -> Option<Arc<Running>> {
        let mut place = self.running.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, running)
    }

    pub(super) fn set_known(&self, info: &PluginInfo) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.clone());
    }

    fn known(&self) -> Option<PluginInfo> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn miss_events(&self, count: u64) {
        self.events_missed.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether the plugin has, or may have, a say in this.
    pub(super) fn concerns(&self, hook: Hook) -> bool {
        match self.running() {
            Some(running) => running.info.hooks.contains(&hook),
            None => self.required && self.known().is_none_or(|info| info.hooks.contains(&hook)),
        }
    }

    /// Puts the question to the plugin. `Err` with the start at fault where it
    /// gave no answer.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, ServiceError> {
        if !self.concerns(question.hook()) {
            return Ok(Answer::None);
        }
        let Some(running) = self.running() else {
            return if self.required {
                Err(self.away())
            } else {
                Ok(Answer::None)
            };
        };
        let started = Instant::now();
        let answered = running.ask(question).await?;
        self.meter.seconds.took(started.elapsed());
        Ok(match answered {
            Ok(verdict) => Answer::Verdict(verdict),
            Err(fault) => {
                self.meter.faults.increment();
                Answer::Fault(running, fault)
            }
        })
    }

    /// What a client is told where the plugin is needed and does not run.
    pub(super) fn away(&self) -> ServiceError {
        ServiceError::Unavailable(
            format!(
                "plugin {} is required and does not run; try again later",
                self.name
            )
            .into(),
        )
    }

    pub(super) fn status(&self) -> PluginStatus {
        let known = self.known();
        let life = self.life();
        PluginStatus {
            name: self.name.clone(),
            version: known.as_ref().map(|info| info.version.clone()),
            hooks: known.map(|info| info.hooks).unwrap_or_default(),
            state: life.state(),
            required: self.required,
            failures: life.failures(),
            last_error: life.last_error().map(str::to_owned),
            events_missed: self.events_missed.load(Ordering::Relaxed),
        }
    }
}

/// What came of a question.
pub(super) enum Answer {
    /// The plugin has no say in this, or does not run and need not.
    None,
    Verdict(Verdict),
    /// The plugin is at fault.
    Fault(Arc<Running>, PluginFault),
}
