/// A file of the console in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageFile {
    /// Value of `Content-Type`.
    pub media_type: &'static str,
    /// Value of `Content-Security-Policy`: what the file may load and do as a page.
    pub policy: &'static str,
    /// Value of `ETag`, with its quotes; another one where the bytes are others.
    pub etag: &'static str,
    /// What it holds.
    pub bytes: &'static [u8],
}

/// Knows the files of the console, which are part of the program.
pub trait ConsolePages: Send + Sync {
    /// The file under this path, which begins with `/`; `None` where there is none.
    fn file(&self, path: &str) -> Option<PageFile>;
}
