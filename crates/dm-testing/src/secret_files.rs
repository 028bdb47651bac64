//! The suite for files of secrets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::thread;

use dm_core::ports::{SecretFiles, SecretFilesError};

/// Makes one test for every promise of [`SecretFiles`]. Takes the name of an async
/// function that opens an empty place and returns `(Arc<dyn SecretFiles>, guard)`; the
/// guard lives until the test ends.
#[macro_export]
macro_rules! secret_files_conformance {
    ($open:path) => {
        $crate::secret_files_conformance!($open:
            a_file_is_loaded_as_it_was_written,
            a_file_is_replaced_only_where_it_is_what_was_expected,
            a_file_is_removed_only_where_it_is_what_was_expected,
            of_writers_that_expect_the_same_one_succeeds,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (files, _guard) = $open().await;
                $crate::secret_files::$promise(&*files);
            }
        )*
    };
}

/// Any bytes, and each name for itself.
pub fn a_file_is_loaded_as_it_was_written(files: &dyn SecretFiles) {
    assert_eq!(files.load("first.json").unwrap(), None);
    let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    files.replace("first.json", None, Some(&content)).unwrap();
    files.replace("second.json", None, Some(b"second")).unwrap();
    assert_eq!(files.load("first.json").unwrap(), Some(content));
    assert_eq!(
        files.load("second.json").unwrap().as_deref(),
        Some(&b"second"[..])
    );
    assert_ne!(files.place("first.json"), files.place("second.json"));
}

/// Who knows an older content, or none, changes nothing.
pub fn a_file_is_replaced_only_where_it_is_what_was_expected(files: &dyn SecretFiles) {
    let is_refused = |expected: Option<&[u8]>| {
        let refused = files.replace("keys.json", expected, Some(b"lost"));
        assert!(matches!(refused, Err(SecretFilesError::Conflict)), "{refused:?}");
    };
    is_refused(Some(b"first"));
    assert_eq!(files.load("keys.json").unwrap(), None);
    files.replace("keys.json", None, Some(b"first")).unwrap();
    is_refused(None);
    is_refused(Some(b"firs"));
    files
        .replace("keys.json", Some(b"first"), Some(b"second"))
        .unwrap();
    is_refused(Some(b"first"));
    assert_eq!(files.load("keys.json").unwrap().as_deref(), Some(&b"second"[..]));
}

/// The same holds for a file that is taken away.
pub fn a_file_is_removed_only_where_it_is_what_was_expected(files: &dyn SecretFiles) {
    files.replace("keys.json", None, Some(b"first")).unwrap();
    let refused = files.replace("keys.json", Some(b"other"), None);
    assert!(matches!(refused, Err(SecretFilesError::Conflict)), "{refused:?}");
    files.replace("keys.json", Some(b"first"), None).unwrap();
    assert_eq!(files.load("keys.json").unwrap(), None);
    files.replace("keys.json", None, Some(b"again")).unwrap();
}

/// However many write at once, each file is followed by one.
pub fn of_writers_that_expect_the_same_one_succeeds(files: &dyn SecretFiles) {
    let mut content: Option<Vec<u8>> = None;
    for round in 0..3_u8 {
        let write = |n: u8| files.replace("keys.json", content.as_deref(), Some(&[round, n]));
        let outcomes: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..6).map(|n| scope.spawn(move || write(n))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let won: Vec<usize> = (0..6).filter(|n| outcomes[*n].is_ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        for outcome in &outcomes {
            assert!(
                matches!(outcome, Ok(()) | Err(SecretFilesError::Conflict)),
                "{outcome:?}"
            );
        }
        content = files.load("keys.json").unwrap();
        assert_eq!(content, Some(vec![round, won[0] as u8]));
    }
}
