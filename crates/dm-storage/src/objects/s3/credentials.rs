//! Credentials from a file that may change: whoever renews them replaces the file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};

use crate::blocking::blocking;

/// The profile that is read.
const PROFILE: &str = "default";

/// Credentials of a file in the form of `~/.aws/credentials`; clones are the same.
#[derive(Debug, Clone)]
pub(super) struct CredentialsFile(Arc<Source>);

#[derive(Debug)]
struct Source {
    path: PathBuf,
    read: Mutex<Option<Read>>,
}

/// What was read last.
#[derive(Debug, Clone)]
struct Read {
    modified: SystemTime,
    len: u64,
    credential: Arc<AwsCredential>,
}

impl CredentialsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Source {
            path,
            read: Mutex::default(),
        }))
    }

    /// The credentials that stand in the file now.
    ///
    /// # Errors
    /// Says what is wrong with the file, without what stands in it.
    pub(super) fn credential(&self) -> Result<Arc<AwsCredential>, String> {
        let Source { path, read } = &*self.0;
        let problem = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let file = fs::metadata(path).map_err(problem)?;
        let (modified, len) = (file.modified().map_err(problem)?, file.len());
        let mut last = read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && (last.modified, last.len) == (modified, len)
        {
            return Ok(last.credential.clone());
        }
        let text = fs::read_to_string(path).map_err(problem)?;
        let credential = Arc::new(parse(&text).ok_or_else(|| missing(path))?);
        *last = Some(Read {
            modified,
            len,
            credential: credential.clone(),
        });
        Ok(credential)
    }
}

fn missing(path: &Path) -> String {
    format!(
        "{} has no aws_access_key_id and aws_secret_access_key in the profile [{PROFILE}]",
        path.display()
    )
}

#[async_trait]
impl CredentialProvider for CredentialsFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let file = self.clone();
        let read = blocking(move || Ok(file.credential())).await;
        let problem = match read {
            Ok(Ok(credential)) => return Ok(credential),
            Ok(Err(problem)) => problem,
            Err(error) => error.to_string(),
        };
        Err(object_store::Error::Generic {
            store: "S3",
            source: problem.into(),
        })
    }
}

/// The credentials of the profile in such a text.
fn parse(text: &str) -> Option<AwsCredential> {
    let (mut key_id, mut secret_key, mut token) = (None, None, None);
    let mut is_in_profile = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_in_profile = name.trim() == PROFILE;
        } else if let Some((name, value)) = line.split_once('=')
            && is_in_profile
        {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(AwsCredential {
        key_id: key_id?,
        secret_key: secret_key?,
        token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_is_read() {
        let text = "# keys\n[other]\naws_access_key_id = no\naws_secret_access_key = no\n\
                    [default]\r\naws_access_key_id=id\n aws_secret_access_key = a=b \nregion = x\n\
                    aws_session_token = t\n[last]\naws_access_key_id = no\n";
        let found = parse(text).unwrap();
        assert_eq!(
            (
                found.key_id.as_str(),
                found.secret_key.as_str(),
                found.token.as_deref()
            ),
            ("id", "a=b", Some("t"))
        );
        for text in [
            "",
            "[default]",
            "aws_access_key_id = a\naws_secret_access_key = b",
            "[default]\naws_access_key_id = a\naws_secret_access_key =",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_file_that_was_replaced_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let file = CredentialsFile::new(path.clone());
        assert!(file.credential().unwrap_err().contains("cannot read"));
        for id in ["first", "second one"] {
            fs::write(
                &path,
                format!("[default]\naws_access_key_id={id}\naws_secret_access_key=s\n"),
            )
            .unwrap();
            assert_eq!(file.credential().unwrap().key_id, id);
        }
        fs::write(&path, "[default]\nsecret").unwrap();
        let refused = file.credential().unwrap_err();
        assert!(
            refused.contains("[default]") && !refused.contains("secret]"),
            "{refused}"
        );
    }
}
