//! Sends spans, many in one request.

use std::{
    convert::Infallible,
    error::Error,
    fmt::Write,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use dm_core::{
    clock::now_ms,
    span::{EndedSpan, Tracer},
};
use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE, redirect::Policy};
use tokio::{
    sync::{Mutex, mpsc::Receiver},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    otlp::{self, Resource},
    queue::{Queue, TraceMeter},
};

/// Spans in one request.
const MOST: usize = 1024;
/// How long spans wait for others that go with them.
const LINGER: Duration = Duration::from_secs(1);
/// How long a collector may take for a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take when the node stops.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// Pauses before a request is made again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// Bytes of an answer that are read, so that the connection can be used again.
const MAX_ANSWER: usize = 16 * 1024;

/// Where spans are sent.
#[derive(Debug, Clone)]
pub struct ExporterConfig {
    /// The whole URL of the collector, http or https; often it ends with `/v1/traces`.
    pub url: String,
    /// Version of the program.
    pub version: &'static str,
}

/// The collector cannot be reached with these settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCollector {
    /// The URL is none.
    #[error("{0:?} is no URL")]
    Url(String),
    /// TLS cannot be set up.
    #[error("TLS for the collector of traces cannot be set up: {0}")]
    Tls(#[from] reqwest::Error),
}

/// Sends spans to a collector; cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    url: Url,
    resource: Resource,
    queue: Arc<Queue>,
    /// One task at a time takes them.
    waiting: Mutex<Receiver<EndedSpan>>,
    meter: Arc<TraceMeter>,
    fault: StdMutex<Option<Fault>>,
}

/// Since when the collector takes nothing (milliseconds since the Unix epoch), and why.
pub(crate) type Fault = (u64, String);

/// Why a request was not taken.
struct Refused {
    reason: String,
    /// Whether it may be taken later.
    is_passing: bool,
}

impl Exporter {
    /// Sends nothing before [`Exporter::run`].
    ///
    /// # Errors
    /// [`InvalidCollector`].
    pub fn new(config: &ExporterConfig) -> Result<Self, InvalidCollector> {
        let invalid = |_| InvalidCollector::Url(config.url.clone());
        let client = Client::builder()
            .user_agent(concat!("dm-node/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        let meter = Arc::new(TraceMeter::default());
        let (queue, waiting) = Queue::new(meter.clone());
        let mut instance = String::with_capacity(32);
        for byte in rand::random::<[u8; 16]>() {
            // A text takes everything.
            let _ = write!(instance, "{byte:02x}");
        }
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                url: config.url.parse().map_err(invalid)?,
                resource: Resource {
                    version: config.version,
                    instance,
                },
                queue: Arc::new(queue),
                waiting: Mutex::new(waiting),
                meter,
                fault: StdMutex::default(),
            }),
        })
    }

    /// Makes spans that are sent: `part` (0 to 1) of the traces that begin here. Spans tell
    /// something of data only where `shows_data` says so.
    pub fn tracer(&self, part: f64, shows_data: bool) -> Tracer {
        Tracer::new(self.shared.queue.clone(), part, shows_data)
    }

    /// What has become of spans.
    pub fn meter(&self) -> &TraceMeter {
        &self.shared.meter
    }

    /// Why the collector takes nothing, where it takes nothing.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.place_of_fault().clone()
    }

    /// The collector without the path of its URL, which may hold what is nobody's business.
    pub(crate) fn collector(&self) -> String {
        self.shared.url.origin().ascii_serialization()
    }

    /// Sends until the shutdown, and then what waits.
    ///
    /// # Errors
    /// Never; what a collector does not take is counted.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut waiting = self.shared.waiting.lock().await;
        let mut batch = Vec::with_capacity(MOST);
        while shutdown
            .run_until_cancelled(fill(&mut waiting, &mut batch))
            .await
            .is_some()
        {
            if shutdown.run_until_cancelled(self.send(&batch)).await.is_none() {
                // Once more, with what has come meanwhile.
                break;
            }
            batch.clear();
        }
        self.send_last(&mut waiting, batch).await;
        Ok(())
    }

    /// Sends what waits when the node stops, as much as the collector takes in a short time.
    async fn send_last(&self, waiting: &mut Receiver<EndedSpan>, mut batch: Vec<EndedSpan>) {
        while let Ok(span) = waiting.try_recv() {
            batch.push(span);
        }
        let deadline = Instant::now() + LAST_PATIENCE;
        for part in batch.chunks(MOST) {
            match timeout_at(deadline, self.post(part)).await {
                Ok(Ok(())) => self.shared.meter.exported.add(part.len() as u64),
                Ok(Err(_)) | Err(_) => self.shared.meter.lost.add(part.len() as u64),
            }
        }
    }

    /// Sends a batch, again where the collector is only away, and counts what comes of it.
    async fn send(&self, batch: &[EndedSpan]) {
        let spans = batch.len() as u64;
        let mut pauses = PAUSES.iter();
        loop {
            let refused = match self.post(batch).await {
                Ok(()) => {
                    self.shared.meter.exported.add(spans);
                    return self.is_well();
                }
                Err(refused) => refused,
            };
            let pause = pauses.next().filter(|_| refused.is_passing);
            self.has_failed(refused.reason);
            match pause {
                Some(pause) => sleep(*pause).await,
                None => return self.shared.meter.lost.add(spans),
            }
        }
    }

    async fn post(&self, batch: &[EndedSpan]) -> Result<(), Refused> {
        let shared = &self.shared;
        let request = shared
            .client
            .post(shared.url.clone())
            .header(CONTENT_TYPE, otlp::MEDIA_TYPE)
            .body(otlp::request(&shared.resource, batch));
        let mut response = request.send().await.map_err(|error| Refused {
            reason: describe(&error),
            is_passing: true,
        })?;
        let status = response.status();
        let mut read = 0;
        while read <= MAX_ANSWER
            && let Ok(Some(piece)) = response.chunk().await
        {
            read += piece.len();
        }
        if status.is_success() {
            return Ok(());
        }
        Err(Refused {
            reason: format!("it answered {status}"),
            is_passing: is_passing(status),
        })
    }

    fn is_well(&self) {
        if self.place_of_fault().take().is_some() {
            tracing::info!("the collector takes traces again");
        }
    }

    fn has_failed(&self, reason: String) {
        let mut fault = self.place_of_fault();
        if let Some((_, known)) = fault.as_mut() {
            *known = reason;
            return;
        }
        tracing::warn!(reason, "the collector takes no traces");
        *fault = Some((now_ms(), reason));
    }

    fn place_of_fault(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a span, and a little for those that go with it.
async fn fill(waiting: &mut Receiver<EndedSpan>, batch: &mut Vec<EndedSpan>) {
    if batch.is_empty() {
        waiting.recv_many(batch, MOST).await;
    }
    let deadline = Instant::now() + LINGER;
    while batch.len() < MOST {
        let more = waiting.recv_many(batch, MOST - batch.len());
        if timeout_at(deadline, more).await.is_err() {
            return;
        }
    }
}

/// The answers after which a request is made again, as OTLP says.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The error with its deepest cause, and without the URL, which the operator knows.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
