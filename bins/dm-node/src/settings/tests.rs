use super::*;

fn config_of(settings: &[(&str, &str)]) -> (NodeConfig, Vec<ConfigFault>) {
    let mut merged = Dict::new();
    for (name, text) in settings {
        let (name, value) = parsed((*name).to_owned(), text);
        dict::insert(&mut merged, &name, value);
    }
    let mut faults = Vec::new();
    (extract(merged, &mut faults), faults)
}

/// The configuration that a text in TOML makes, and its faults.
fn read_toml(text: &str) -> (LoadedConfig, Vec<String>) {
    let mut faults = Vec::new();
    let loaded = read(toml::from_str(text).unwrap(), &mut faults);
    (loaded, faults.iter().map(ToString::to_string).collect())
}

#[test]
fn the_default_file_shows_the_defaults() {
    let mut merged = Dict::new();
    for (name, value) in names::shown_in_default_file() {
        if !names::EXAMPLES.contains(&name.as_str()) {
            let line: Dict = toml::from_str(&format!("value = {value}")).unwrap();
            dict::insert(&mut merged, &name, line["value"].clone());
        }
    }
    let mut faults = Vec::new();
    let config = extract(merged, &mut faults);
    assert_eq!(faults, []);
    assert_eq!(format!("{config:?}"), format!("{:?}", NodeConfig::default()));
}

#[test]
fn the_default_file_can_be_used_as_it_is() {
    let (settings, faults) = read_toml(DEFAULT_FILE);
    assert_eq!(faults, [""; 0]);
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(
        format!("{:?}", settings.config),
        format!("{:?}", NodeConfig::default())
    );
}

#[test]
fn every_setting_of_the_default_file_can_be_given_as_text() {
    for (name, value) in names::shown_in_default_file() {
        let text = value.trim_matches(['"', '[', ']']);
        let (_, faults) = config_of(&[(&name, text)]);
        assert_eq!(faults, [], "{name}");
    }
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

#[test]
fn no_message_shows_the_value_of_a_secret() {
    for name in [
        "private_key",
        "key_master_password",
        "blockchain_url",
        "catalog_url",
        "storage.s3.secret_access_key",
        "storage.s3.session_token",
    ] {
        for value in [
            "20242024",
            "true",
            "[\"20242024\"]",
            "{ a = \"20242024\" }",
            "2024.2024",
        ] {
            let (_, faults) = read_toml(&format!("{name} = {value}"));
            assert!(faults[0].starts_with(&format!("{name}: ")), "{faults:?}");
            assert!(!faults.concat().contains("2024"), "{faults:?}");
            assert!(!faults.concat().contains("true"), "{faults:?}");
        }
    }
    let (_, faults) = read_toml("private_key = \"20242024\"\nblockchain_url = \"ftp://20242024\"");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(!faults.concat().contains("2024"), "{faults:?}");
    // The name of a secret that is not spelt right does not show its value either.
    let (_, faults) = read_toml("privat_key = \"20242024\"\n[keys]\nkey_master_password = 20242024");
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.concat().contains("did you mean private_key"), "{faults:?}");
    assert!(!faults.concat().contains("2024"), "{faults:?}");
}

#[test]
fn a_bucket_needs_credentials_and_goes_without_tls_only_where_that_is_said() {
    let bucket = "[storage]\nobjects_url = \"s3://bucket/node\"\n[storage.s3]\n";
    let fields = |rest: &str| {
        let (_, faults) = read_toml(&format!("{bucket}{rest}"));
        let fields = faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap().to_owned());
        fields.collect::<Vec<_>>()
    };
    assert_eq!(fields(""), ["storage.s3.credentials_file"]);
    assert_eq!(fields("access_key_id = \"a\""), ["storage.s3.credentials_file"]);
    for rest in [
        "credentials_file = \"/run/s3\"",
        "access_key_id = \"a\"\nsecret_access_key = \"b\"",
        "instance_metadata = true",
    ] {
        assert_eq!(fields(rest), [""; 0], "{rest}");
    }
    let plain = "instance_metadata = true\nendpoint = \"http://127.0.0.1:9000\"";
    assert_eq!(fields(plain), ["storage.s3.endpoint"]);
    assert_eq!(fields(&format!("{plain}\nallow_http = true")), [""; 0]);
    let small = "instance_metadata = true\npart_bytes = 1000\nretry_timeout_secs = 0";
    assert_eq!(
        fields(small),
        ["storage.s3.part_bytes", "storage.s3.retry_timeout_secs"]
    );
    let (_, faults) =
        read_toml("[storage]\nobjects_url = \"s3://x\"\n[storage.s3]\ninstance_metadata = true");
    assert!(faults[0].contains("must be s3://BUCKET"), "{faults:?}");
}

#[test]
fn a_catalog_is_in_a_file_or_in_a_database() {
    let (_, faults) =
        read_toml("catalog_url = \"mysql://node:2024@db/x\"\nsqlite_db_path = \"a\"\n[catalog]\nreaders = 0");
    let fields: Vec<_> = faults
        .iter()
        .map(|fault| fault.split(": ").next().unwrap())
        .collect();
    assert_eq!(fields, ["catalog_url", "sqlite_db_path", "catalog.readers"]);
    assert!(!faults.concat().contains("2024"), "{faults:?}");
    let (_, faults) = read_toml("catalog_url = \"postgres://node@db/x\"");
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn a_setting_that_is_gone_is_passed_over_and_told() {
    let (settings, faults) = read_toml("contracts_dir = \"c\"\n[dashboard_api]\nport = 1");
    assert_eq!(faults, [""; 0]);
    let told =
        "contracts_dir is no setting any more, because the contract is part of the program: take it out";
    assert_eq!(settings.warnings, [told]);
}

#[test]
fn the_settings_of_tls_are_given_together_or_not_at_all() {
    let fields = |rest: &str| {
        let (_, faults) = read_toml(&format!("[external_api.tls]\n{rest}"));
        let fields = faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap().to_owned());
        fields.collect::<Vec<_>>()
    };
    let pair = "cert_file = \"/c\"\nkey_file = \"/k\"\n";
    assert_eq!(fields(pair), [""; 0]);
    assert_eq!(fields("cert_file = \"/c\""), ["external_api.tls.key_file"]);
    assert_eq!(fields("key_file = \"/k\""), ["external_api.tls.cert_file"]);
    assert_eq!(
        fields("client_ca_file = \"/a\""),
        ["external_api.tls.client_ca_file"]
    );
    let client = "client_keys = [\"k=cn:a\"]";
    assert_eq!(
        fields(&format!("{pair}{client}")),
        ["external_api.tls.client_keys"]
    );
    assert_eq!(
        fields(&format!("{pair}client_ca_file = \"/a\"\n{client}")),
        [""; 0]
    );
    let wrong = format!("{pair}client_ca_file = \"/a\"\nclient_keys = [\"k=a\"]");
    assert_eq!(fields(&wrong), ["external_api.tls.client_keys"]);
}
