//! A store in memory, which can be told to break its promises.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{io::BufReader, net::TcpStream};

use super::{
    http::{Answer, Request},
    server::Server,
};

/// A promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Answers the request for a range with the whole object.
    IgnoresRanges,
    /// Answers the request for a range with the range behind it, and names the right one.
    ShiftsRanges,
    /// Gives back the first version of an object that was written anew.
    ReadsOldVersions,
    /// Takes objects and does not have them.
    ForgetsWrites,
    /// Joins parts in the order in which they came.
    MixesParts,
    /// Knows nothing of parts.
    KnowsNoParts,
    /// Does not list what was written.
    ListsNothing,
    /// Has objects that were deleted.
    KeepsDeleted,
}

/// The store; ended when dropped. It has every bucket.
pub struct S3Double {
    server: Server,
    objects: Arc<Mutex<Objects>>,
}

#[derive(Default)]
struct Objects {
    lie: Option<Lie>,
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, Vec<(usize, Vec<u8>)>>,
    begun: u64,
}

impl S3Double {
    /// A store that keeps its promises, or breaks one.
    pub fn start(lie: Option<Lie>) -> Self {
        let objects = Arc::new(Mutex::new(Objects {
            lie,
            ..Objects::default()
        }));
        let shared = objects.clone();
        let server = Server::start(move |stream| {
            let objects = shared.clone();
            async move {
                // A client that goes away has its reasons.
                let _ = serve(stream, &objects).await;
            }
        });
        Self { server, objects }
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The paths of all objects: `/BUCKET/KEY`.
    pub fn paths(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// What is under a path.
    pub fn object(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().objects.get(path).cloned()
    }

    /// Puts something under a path, or takes it away.
    pub fn set_object(&self, path: &str, bytes: Option<Vec<u8>>) {
        let mut objects = self.lock();
        match bytes {
            Some(bytes) => objects.objects.insert(path.to_owned(), bytes),
            None => objects.objects.remove(path),
        };
    }

    /// How many uploads in parts are under way.
    pub fn uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(stream: TcpStream, objects: &Mutex<Objects>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream).await? {
        let answer = objects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answer(&request);
        if request.header("connection") == Some("close") {
            return answer.header("connection", "close").write(&mut stream).await;
        }
        answer.write(&mut stream).await?;
    }
    Ok(())
}

impl Objects {
    fn lies(&self, lie: Lie) -> bool {
        self.lie == Some(lie)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path();
        let upload = request.parameter("uploadId");
        match (request.method.as_str(), upload) {
            ("PUT", Some(upload)) => self.put_part(&upload, request),
            ("PUT", None) => self.put(path, request.body.clone()),
            ("POST", _) if self.lies(Lie::KnowsNoParts) => Answer::error(501, "NotImplemented"),
            ("POST", Some(upload)) => self.complete(&path, &upload),
            ("POST", None) => self.begin(&path),
            ("DELETE", Some(upload)) => match self.uploads.remove(&upload) {
                Some(_) => Answer::new(204, ""),
                None => Answer::error(404, "NoSuchUpload"),
            },
            ("DELETE", None) => {
                if !self.lies(Lie::KeepsDeleted) {
                    self.objects.remove(&path);
                }
                Answer::new(204, "")
            }
            ("GET", _) if request.parameter("list-type").is_some() => self.list(&path, request),
            ("GET", _) => self.get(&path, request.header("range")),
            _ => Answer::error(405, "MethodNotAllowed"),
        }
    }

    fn put(&mut self, path: String, body: Vec<u8>) -> Answer {
        match self.lie {
            Some(Lie::ForgetsWrites) => {}
            Some(Lie::ReadsOldVersions) => {
                self.objects.entry(path).or_insert(body);
            }
            _ => {
                self.objects.insert(path, body);
            }
        }
        Answer::new(200, "").header("etag", "\"1\"")
    }

    fn begin(&mut self, path: &str) -> Answer {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), Vec::new());
        Answer::new(
            200,
            format!(
                "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{path}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ),
        )
    }

    fn put_part(&mut self, upload: &str, request: &Request) -> Answer {
        let number = request
            .parameter("partNumber")
            .and_then(|number| number.parse().ok());
        let (Some(parts), Some(number)) = (self.uploads.get_mut(upload), number) else {
            return Answer::error(404, "NoSuchUpload");
        };
        parts.retain(|(known, _)| *known != number);
        parts.push((number, request.body.clone()));
        Answer::new(200, "").header("etag", format!("\"{number}\""))
    }

    fn complete(&mut self, path: &str, upload: &str) -> Answer {
        let Some(mut parts) = self.uploads.remove(upload) else {
            return Answer::error(404, "NoSuchUpload");
        };
        if !self.lies(Lie::MixesParts) {
            parts.sort_by_key(|(number, _)| *number);
        }
        let whole = parts.into_iter().flat_map(|(_, part)| part).collect();
        self.put(path.to_owned(), whole);
        Answer::new(
            200,
            format!(
                "<CompleteMultipartUploadResult><Key>{path}</Key><ETag>\"1\"</ETag></CompleteMultipartUploadResult>"
            ),
        )
    }

    fn list(&self, bucket: &str, request: &Request) -> Answer {
        let root = format!("{}/", bucket.trim_end_matches('/'));
        let prefix = request.parameter("prefix").unwrap_or_default();
        let after = request.parameter("start-after").unwrap_or_default();
        let mut xml = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
        for (path, object) in &self.objects {
            let Some(key) = path.strip_prefix(&root) else {
                continue;
            };
            if key.starts_with(&prefix) && key > after.as_str() && !self.lies(Lie::ListsNothing) {
                let size = object.len();
                xml.push_str(&format!("<Contents><Key>{key}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>\"1\"</ETag><Size>{size}</Size></Contents>"));
            }
        }
        xml.push_str("</ListBucketResult>");
        Answer::new(200, xml)
    }

    fn get(&self, path: &str, range: Option<&str>) -> Answer {
        let Some(object) = self.objects.get(path) else {
            return Answer::error(404, "NoSuchKey");
        };
        let whole = (0, object.len());
        let range = range.filter(|_| !self.lies(Lie::IgnoresRanges));
        let (status, (start, end)) = match range.map(|range| bounds(range, object.len())) {
            None => (200, whole),
            Some(Some(bounds)) => (206, bounds),
            Some(None) => return Answer::error(416, "InvalidRange"),
        };
        let body = if status == 206 && self.lies(Lie::ShiftsRanges) {
            let mut shifted = object[start..end].to_vec();
            shifted.rotate_left(1);
            shifted
        } else {
            object[start..end].to_vec()
        };
        let answer = Answer::new(status, body)
            .header("etag", "\"1\"")
            .header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
        match status {
            206 => answer.header(
                "content-range",
                format!("bytes {start}-{}/{}", end - 1, object.len()),
            ),
            _ => answer,
        }
    }
}

/// Where a range begins and ends in an object of this length.
fn bounds(range: &str, len: usize) -> Option<(usize, usize)> {
    let (start, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start.parse::<usize>(), last.parse::<usize>()) {
        (Ok(start), Ok(last)) => (start, (last + 1).min(len)),
        (Ok(start), Err(_)) => (start, len),
        (Err(_), Ok(suffix)) => (len.saturating_sub(suffix), len),
        (Err(_), Err(_)) => return None,
    };
    (start < end).then_some((start, end))
}
