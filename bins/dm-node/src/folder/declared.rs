//! What is said of an archive before it is read.

/// How much a folder has in it, as the media type of its archive says:
/// `application/x-tar; entries=12; bytes=34567`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Files and folders.
    pub(crate) entries: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
}

const TYPE: &str = "application/x-tar";

impl Declared {
    /// The media type that says so.
    pub(crate) fn media_type(self) -> String {
        format!("{TYPE}; entries={}; bytes={}", self.entries, self.bytes)
    }

    /// What a media type says; `None` where it is not that of a folder.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        let mut parts = media_type.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(TYPE) {
            return None;
        }
        let (mut entries, mut bytes) = (None, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.to_ascii_lowercase().as_str() {
                "entries" => entries = value.parse().ok(),
                "bytes" => bytes = value.parse().ok(),
                _ => {}
            }
        }
        Some(Self {
            entries: entries?,
            bytes: bytes?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_core::descriptor::MediaType;

    use super::*;

    #[test]
    fn what_a_media_type_declares_is_read_again() {
        let declared = Declared {
            entries: 12,
            bytes: u64::MAX,
        };
        let media_type: MediaType = declared.media_type().parse().unwrap();
        assert_eq!(Declared::of(media_type.as_str()), Some(declared));
        assert_eq!(
            Declared::of("Application/X-Tar;bytes=0 ; ENTRIES=1"),
            Some(Declared { entries: 1, bytes: 0 })
        );
    }

    #[test]
    fn other_archives_are_no_folders() {
        for other in [
            "",
            "application/x-tar",
            "application/x-tar; entries=1",
            "application/x-tar; entries=1; bytes=-1",
            "application/x-tar; entries=1; bytes=18446744073709551616",
            "application/zip; entries=1; bytes=1",
        ] {
            assert_eq!(Declared::of(other), None, "{other}");
        }
    }
}
