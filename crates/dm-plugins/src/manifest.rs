//! The manifest of a plugin: `plugin.toml`.

use dm_core::plugin::{Hook, is_plugin_name};
use serde::Deserialize;

use crate::permission::Permission;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name, which is the name of its folder.
    pub name: String,
    /// Its version, in its own words, at most 64 bytes.
    pub version: String,
    /// File of the component, in the same folder.
    #[serde(default = "default_component")]
    pub component: String,
    /// What it wants to be called for.
    pub hooks: Vec<Hook>,
    /// What it wants to do besides.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// What it needs at most.
    #[serde(default)]
    pub limits: Limits,
    /// Its own settings, which it gets as JSON.
    #[serde(default)]
    pub settings: toml::Table,
}

/// What a plugin needs at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Milliseconds of a call.
    pub call_ms: u64,
    /// Bytes that it hands to the node in one call.
    pub message_bytes: u64,
    /// Bytes of its own data.
    pub store_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            call_ms: 1000,
            message_bytes: 1 << 20,
            store_bytes: 16 << 20,
        }
    }
}

fn default_component() -> String {
    "plugin.wasm".to_owned()
}

/// Why a manifest is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is no TOML, or has other fields than a manifest.
    #[error("plugin.toml: {}", .0.message())]
    Toml(#[from] toml::de::Error),
    /// A field has a value that it cannot have.
    #[error("plugin.toml: {field} {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Completes the sentence "`<field>` …".
        reason: String,
    },
}

impl Manifest {
    /// Reads a manifest from its TOML text.
    ///
    /// # Errors
    /// [`ManifestError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        require(is_plugin_name(&self.name), "name", || {
            "must be 1 to 64 of a-z, 0-9 and -".to_owned()
        })?;
        require((1..=64).contains(&self.version.len()), "version", || {
            "must have 1 to 64 bytes".to_owned()
        })?;
        require(is_file_name(&self.component), "component", || {
            "must be the name of a file in the plugin's folder".to_owned()
        })?;
        require(
            !self.hooks.contains(&Hook::Content) || self.permissions.contains(&Permission::Content),
            "hooks",
            || "has `content`, which needs the permission `content`".to_owned(),
        )?;
        let limits = &self.limits;
        for (field, value) in [
            ("limits.memory_bytes", limits.memory_bytes),
            ("limits.call_ms", limits.call_ms),
            ("limits.message_bytes", limits.message_bytes),
            ("limits.store_bytes", limits.store_bytes),
        ] {
            require(value > 0, field, || "must be at least 1".to_owned())?;
        }
        require(
            limits.message_bytes <= limits.memory_bytes,
            "limits.message_bytes",
            || "must not be more than limits.memory_bytes".to_owned(),
        )
    }

    /// Checks the manifest against what the operator allows.
    ///
    /// # Errors
    /// [`ManifestError::Invalid`] names the first thing that is not allowed.
    pub fn check_allowed(&self, granted: &[Permission], most: &Limits) -> Result<(), ManifestError> {
        for permission in &self.permissions {
            require(granted.contains(permission), "permissions", || {
                format!(
                    "has `{permission}`, which the node's setting plugins.granted.{} does not have",
                    self.name
                )
            })?;
        }
        let limits = &self.limits;
        for (field, setting, value, most) in [
            (
                "limits.memory_bytes",
                "max_memory_bytes",
                limits.memory_bytes,
                most.memory_bytes,
            ),
            ("limits.call_ms", "max_call_ms", limits.call_ms, most.call_ms),
            (
                "limits.store_bytes",
                "max_store_bytes",
                limits.store_bytes,
                most.store_bytes,
            ),
        ] {
            require(value <= most, field, || {
                format!("is {value}, more than the node's setting plugins.{setting} = {most}")
            })?;
        }
        Ok(())
    }
}

fn is_file_name(text: &str) -> bool {
    let mut parts = std::path::Path::new(text).components();
    matches!(parts.next(), Some(std::path::Component::Normal(_)))
        && parts.next().is_none()
        && !text.contains('/')
}

fn require(holds: bool, field: &'static str, reason: impl FnOnce() -> String) -> Result<(), ManifestError> {
    if holds {
        return Ok(());
    }
    Err(ManifestError::Invalid {
        field,
        reason: reason(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "name = 'guard'\nversion = '1'\nhooks = ['share']\n";

    fn fault(text: &str) -> String {
        Manifest::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn unknown_fields_hooks_and_permissions_are_refused_by_name() {
        assert!(fault(&format!("{GOOD}colour = 'red'")).contains("colour"));
        assert!(fault(&format!("{GOOD}[limits]\nfiles = 3")).contains("files"));
        assert!(fault("name = 'a'\nversion = '1'\nhooks = ['everything']").contains("everything"));
        assert!(fault(&format!("{GOOD}permissions = ['root']")).contains("root"));
        assert!(fault("name = 'a'\nversion = '1'").contains("hooks"));
        assert!(fault("name = 'a'\nversion = '1'\nhooks = ['content']").contains("permission `content`"));
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        for text in [
            GOOD.replace("guard", "../guard"),
            GOOD.replace("guard", ""),
            GOOD.replace("'1'", "''"),
            format!("{GOOD}component = '../other/plugin.wasm'"),
            format!("{GOOD}component = '/etc/passwd'"),
            format!("{GOOD}component = '..'"),
            format!("{GOOD}component = 'a/'"),
            format!("{GOOD}[limits]\nmemory_bytes = 0"),
            format!("{GOOD}[limits]\ncall_ms = -1"),
            format!("{GOOD}[limits]\nmessage_bytes = 100000000"),
        ] {
            assert!(Manifest::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_plugin_gets_nothing_that_the_operator_did_not_grant() {
        let manifest =
            Manifest::parse(&format!("{GOOD}permissions = ['node.health', 'http://a:1']")).unwrap();
        let most = Limits::default();
        let fault = manifest
            .check_allowed(&[Permission::NodeHealth], &most)
            .unwrap_err();
        assert_eq!(
            fault.to_string(),
            "plugin.toml: permissions has `http://a:1`, which the node's setting plugins.granted.guard does not have"
        );
        let granted = [
            Permission::NodeHealth,
            "http://a:1/".parse().unwrap(),
            Permission::Content,
        ];
        manifest.check_allowed(&granted, &most).unwrap();
        let less = Limits {
            memory_bytes: 1 << 20,
            ..most
        };
        let fault = manifest.check_allowed(&granted, &less).unwrap_err();
        assert!(fault.to_string().contains("plugins.max_memory_bytes = 1048576"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,400}") {
            let _ = Manifest::parse(&text);
            let _ = Manifest::parse(&format!("{GOOD}{text}"));
        }
    }
}
