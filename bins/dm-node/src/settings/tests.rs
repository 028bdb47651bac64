use super::*;

fn config_of(settings: &[(&str, &str)]) -> (NodeConfig, Vec<ConfigFault>) {
    let mut merged = Dict::new();
    for (name, text) in settings {
        let (name, value) = parsed((*name).to_owned(), text);
        insert(&mut merged, &name, value);
    }
    extract(merged)
}

#[test]
fn the_default_file_shows_the_defaults() {
    let uncommented: String = DEFAULT_FILE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if is_setting(setting) => setting,
            _ => line,
        })
        .filter(|line| !line.starts_with("db_path") && !line.starts_with("sqlite_db_path"))
        .filter(|line| !line.starts_with("plugin_dir") && !line.contains("_file ="))
        .filter(|line| !line.starts_with("node_signature"))
        .map(|line| format!("{line}\n"))
        .collect();
    let config: NodeConfig = Figment::from(Toml::string(&uncommented)).extract().unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", NodeConfig::default()));
}

/// Whether a comment is a setting that was commented out.
fn is_setting(text: &str) -> bool {
    text.split_once(" = ").is_some_and(|(name, _)| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    })
}

#[test]
fn the_default_file_can_be_used_as_it_is() {
    let (config, faults) = extract(Figment::from(Toml::string(DEFAULT_FILE)).extract().unwrap());
    assert_eq!(faults, []);
    assert_eq!(format!("{config:?}"), format!("{:?}", NodeConfig::default()));
}

#[test]
fn every_setting_of_the_default_file_can_be_given_as_text() {
    let mut section = String::new();
    let mut seen = 0;
    for line in DEFAULT_FILE.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        }
        let Some(setting) = line.strip_prefix("# ").filter(|setting| is_setting(setting)) else {
            continue;
        };
        let (name, value) = setting.split_once(" = ").unwrap();
        let text = value.trim_matches(['"', '[', ']']);
        let (_, faults) = config_of(&[(&format!("{section}{name}"), text)]);
        assert_eq!(faults, [], "{setting}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn nested_settings_and_lists_come_from_text() {
    let (config, faults) = config_of(&[
        ("external_api.rate_limit.per_second", "77"),
        ("external_api.rate_limit.burst", "99"),
        ("initial_peers", "127.0.0.1:9000, /ip4/10.0.0.1/tcp/1"),
        ("node_id", "12345"),
    ]);
    assert_eq!(faults, []);
    assert_eq!(config.external_api.rate_limit.per_second, 77);
    assert_eq!(config.external_api.port, 8081);
    assert_eq!(config.initial_peers, ["127.0.0.1:9000", "/ip4/10.0.0.1/tcp/1"]);
    assert_eq!(config.node_id, "12345");
}

#[test]
fn a_partial_section_keeps_the_other_defaults_of_its_api() {
    let (config, faults) = config_of(&[("internal_api.port", "1234")]);
    assert_eq!(faults, []);
    assert_eq!(config.internal_api.port, 1234);
    assert!(
        config.internal_api.host.is_loopback(),
        "{}",
        config.internal_api.host
    );
    assert_eq!(config.internal_api.rate_limit.per_second, 50);
}

#[test]
fn all_faults_are_found_at_once() {
    let (_, faults) = config_of(&[
        ("p2p_port", "many"),
        ("no_such_setting", "1"),
        ("external_api.host", "nowhere"),
        ("log.format", "xml"),
    ]);
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    for field in ["p2p_port", "no_such_setting", "external_api.host", "log.format"] {
        assert!(fields.contains(&field), "{field} is missing in {faults:?}");
    }
}
