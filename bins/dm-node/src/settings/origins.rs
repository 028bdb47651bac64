//! Where the settings come from.

use std::{collections::BTreeMap, path::Path};

use dm_api::{SettingOrigin, ShownSetting};
use figment::value::Dict;
use serde_json::Value;

use super::{dict, names};

/// Where each setting comes from that is given, by its dotted name; the last source wins.
#[derive(Debug, Default)]
pub(super) struct Origins(BTreeMap<String, SettingOrigin>);

impl Origins {
    pub(super) fn note(&mut self, name: &str, origin: SettingOrigin) {
        self.0.insert(name.to_owned(), origin);
    }

    pub(super) fn note_file(&mut self, file: &Path, settings: &Dict) {
        for name in dict::names(settings) {
            self.note(&name, SettingOrigin::File(file.display().to_string()));
        }
    }

    /// Every setting with its value: those of the default file in its order, then others that are
    /// given. `given` holds the values of those that are given, without secrets.
    pub(super) fn settings(&self, given: &Value) -> Vec<ShownSetting> {
        let listed = names::shown_in_default_file();
        let mut settings: Vec<ShownSetting> = listed
            .iter()
            .map(|(name, value)| {
                self.given(name, given).unwrap_or_else(|| ShownSetting {
                    name: name.clone(),
                    value: default_of(name, value),
                    origin: SettingOrigin::Default,
                })
            })
            .collect();
        let others = self.0.keys().filter(|name| !is_listed(name, &listed));
        settings.extend(others.filter_map(|name| self.given(name, given)));
        settings
    }

    fn given(&self, name: &str, given: &Value) -> Option<ShownSetting> {
        let origin = self.0.get(name)?;
        // One that was empty is not set any more.
        let value = given.pointer(&format!("/{}", name.replace('.', "/")))?;
        Some(ShownSetting {
            name: name.to_owned(),
            value: value.clone(),
            origin: origin.clone(),
        })
    }
}

fn is_listed(name: &str, listed: &[(String, &str)]) -> bool {
    listed.iter().any(|(listed, _)| listed == name)
}

/// The default of a setting, from the line that shows it.
fn default_of(name: &str, line: &str) -> Value {
    if names::EXAMPLES.contains(&name) {
        return Value::Null;
    }
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {line}")).ok();
    parsed.map_or(Value::Null, |table| {
        table["value"].clone().try_into().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setting<'a>(settings: &'a [ShownSetting], name: &str) -> &'a ShownSetting {
        settings.iter().find(|setting| setting.name == name).unwrap()
    }

    #[test]
    fn each_setting_is_shown_with_the_source_that_won() {
        let mut origins = Origins::default();
        let file: Dict = toml::from_str("p2p_port = 1\n[plugins.granted]\nguard = [\"log\"]").unwrap();
        origins.note_file(Path::new("/etc/node.toml"), &file);
        origins.note("p2p_port", SettingOrigin::Environment("P2P_PORT".to_owned()));
        origins.note("key_master_password", SettingOrigin::Option);
        origins.note("db_path", SettingOrigin::Command);
        let given = json!({
            "p2p_port": 2, "key_master_password": "(removed)", "plugins": {"granted": {"guard": ["log"]}},
        });
        let settings = origins.settings(&given);
        let port = setting(&settings, "p2p_port");
        let shown = serde_json::to_value(port).unwrap();
        assert_eq!(
            shown,
            json!({"name": "p2p_port", "value": 2, "from": "environment", "place": "P2P_PORT"})
        );
        let granted = setting(&settings, "plugins.granted.guard");
        assert_eq!(granted.origin, SettingOrigin::File("/etc/node.toml".into()));
        assert_eq!(setting(&settings, "key_master_password").value, "(removed)");
        let empty = setting(&settings, "db_path");
        assert_eq!(
            (&empty.value, &empty.origin),
            (&Value::Null, &SettingOrigin::Default)
        );
    }

    #[test]
    fn what_nobody_gives_has_its_default() {
        let settings = Origins::default().settings(&json!({}));
        let names: Vec<&str> = settings.iter().map(|setting| setting.name.as_str()).collect();
        let listed = names::shown_in_default_file();
        let listed: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, listed);
        assert_eq!(setting(&settings, "external_api.port").value, 8081);
        assert_eq!(setting(&settings, "catalog_url").value, Value::Null);
        assert_eq!(
            serde_json::to_value(setting(&settings, "node_id")).unwrap(),
            json!({"name": "node_id", "value": "dm-node", "from": "default"})
        );
    }
}
