//! Settings from the environment, from files and from `.env`, as deployments have them.

use std::path::Path;

use reqwest::Method;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{Node, NodeSetup, http::answer, node::dm_node, process::Process};

/// A private key of a development chain, which stands for a secret.
const SECRET: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// What a command does in a working directory.
struct Ended {
    success: bool,
    output: String,
    errors: String,
}

async fn run_in(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = dm_node();
    let output = command
        .args(args)
        .envs(env.iter().copied())
        .current_dir(dir)
        .output()
        .await
        .unwrap();
    Ended {
        success: output.status.success(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Checks the configuration in a working directory.
async fn check(dir: &Path, env: &[(&str, &str)]) -> Ended {
    run_in(dir, &["config", "check"], env).await
}

fn dir_with(file: &str, text: &str) -> TempDir {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join(file), text).unwrap();
    dir
}

/// A directory in whose `dm-data` `init` has made a node.
async fn made_by_init() -> TempDir {
    let dir = tempdir().unwrap();
    let made = run_in(dir.path(), &["init"], &[("KEY_MASTER_PASSWORD", "secret")]).await;
    assert!(made.success, "{}", made.errors);
    assert!(made.output.contains("Set blockchain_url"), "{}", made.output);
    dir
}

#[tokio::test]
async fn a_directory_made_by_init_runs_on_the_embedded_chain_only_where_that_is_said() {
    let dir = made_by_init().await;
    let config = dir.path().join("dm-data/dm-node.toml");
    let moved = dir.path().join("elsewhere.toml");
    let password = ("KEY_MASTER_PASSWORD", "secret");
    let refused = |ended: Ended| {
        assert!(
            !ended.success && ended.errors.contains("blockchain_url: "),
            "{}",
            ended.errors
        );
    };
    refused(check(dir.path(), &[]).await);
    // An empty variable hides neither the directory nor the file in it.
    refused(check(dir.path(), &[("DATA_DIR", ""), ("BLOCKCHAIN_URL", "")]).await);
    refused(run_in(dir.path(), &["run"], &[password]).await);
    let data_dir = dir.path().join("dm-data");
    refused(
        run_in(
            dir.path(),
            &["dev", "--data-dir", data_dir.to_str().unwrap()],
            &[password],
        )
        .await,
    );
    std::fs::rename(&config, &moved).unwrap();
    refused(check(dir.path(), &[]).await);
    std::fs::rename(&moved, &config).unwrap();

    for url in ["devnet", "http://127.0.0.1:8545"] {
        let checked = check(dir.path(), &[("BLOCKCHAIN_URL", url)]).await;
        assert!(checked.success, "{}", checked.errors);
    }
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("# blockchain_url = \"devnet\"", "blockchain_url = \"devnet\"");
    std::fs::write(&config, text).unwrap();
    assert!(check(dir.path(), &[]).await.success);
}

#[tokio::test]
async fn init_writes_down_the_chain_that_it_is_given() {
    let dir = tempdir().unwrap();
    let args = ["init", "--blockchain-url", "http://127.0.0.1:8545/key"];
    let made = run_in(dir.path(), &args, &[("KEY_MASTER_PASSWORD", "secret")]).await;
    assert!(made.success, "{}", made.errors);
    assert!(!made.output.contains("/key"), "{}", made.output);
    let config = std::fs::read_to_string(dir.path().join("dm-data/dm-node.toml")).unwrap();
    assert!(
        config.contains("\nblockchain_url = \"http://127.0.0.1:8545/key\"\n"),
        "{config}"
    );
    assert!(check(dir.path(), &[]).await.success);
}

#[tokio::test]
async fn an_empty_variable_is_not_set() {
    let dir = dir_with("dm-node.toml", "node_id = \"from the file\"\n");
    let empty = [
        "DATA_DIR",
        "DM_DATA_DIR",
        "BLOCKCHAIN_URL",
        "DM_BLOCKCHAIN_URL",
        "PRIVATE_KEY",
        "PRIVATE_KEY_FILE",
        "KEY_MASTER_PASSWORD",
        "KEY_MASTER_PASSWORD_FILE",
        "DM_KEY_MASTER_PASSWORD_FILE",
        "P2P_PORT",
        "NODE_ID",
        "INITIAL_PEERS",
        "DM_NETWORK__UPNP",
        "DM_NO_SUCH_SETTING",
    ]
    .map(|name| (name, ""));
    let checked = check(dir.path(), &empty).await;
    assert!(checked.success, "{}", checked.errors);

    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let api = ["status", "--api", &node.started.external_api, "--json"];
    let shown = run_in(
        dir.path(),
        &api,
        &[("DM_API", ""), ("DM_API_KEY", &node.started.api_key)],
    )
    .await;
    assert!(shown.success, "{}", shown.errors);
    let default = run_in(dir.path(), &["status"], &[("DM_API", ""), ("DM_API_KEY", "")]).await;
    assert!(!default.errors.contains("builder"), "{}", default.errors);
    let operators = ["tokens"];
    let default = run_in(dir.path(), &operators, &[("DM_INTERNAL_API_URL", "")]).await;
    assert!(!default.errors.contains("builder"), "{}", default.errors);
}

#[tokio::test]
async fn the_variables_of_a_kubernetes_service_do_not_stop_the_node() {
    let dir = tempdir().unwrap();
    let service = [
        ("DM_NODE_PORT", "tcp://10.96.0.1:8080"),
        ("DM_NODE_SERVICE_HOST", "10.96.0.1"),
        ("DM_NODE_SERVICE_PORT", "8080"),
        ("DM_NODE_SERVICE_PORT_HTTP", "8080"),
        ("DM_NODE_PORT_8080_TCP", "tcp://10.96.0.1:8080"),
        ("DM_NODE_PORT_8080_TCP_ADDR", "10.96.0.1"),
        ("DM_NODE_PORT_8080_TCP_PORT", "8080"),
        ("DM_NODE_PORT_8080_TCP_PROTO", "tcp"),
        ("EXTERNAL_API_PORT", "tcp://10.96.0.1:8081"),
    ];
    let checked = check(dir.path(), &service).await;
    assert!(checked.success, "{}", checked.errors);
    let wrong = check(dir.path(), &[("DM_EXTERNAL_API_PORT", "8081")]).await;
    assert!(!wrong.success);
    assert!(wrong.errors.contains("DM_EXTERNAL_API__PORT"), "{}", wrong.errors);
}

#[tokio::test]
async fn a_setting_that_is_gone_is_warned_of_wherever_it_stands() {
    let file = dir_with("dm-node.toml", "contracts_dir = \"contracts\"\n");
    let none = dir_with("dm-node.toml", "");
    for (dir, name, value) in [
        (&file, "DASHBOARD_API_PORT", "8082"),
        (&none, "CONTRACTS_DIR", "contracts"),
        (&none, "DM_CONTRACTS_DIR", "contracts"),
    ] {
        let checked = check(dir.path(), &[(name, value)]).await;
        assert!(checked.success, "{name}: {}", checked.errors);
        let warning = "warning: contracts_dir is no setting any more, because the contract is part of the program: take it out\n";
        assert_eq!(checked.errors, warning, "{name}");
    }
}

#[tokio::test]
async fn no_source_of_settings_shows_a_secret() {
    let secret_lines = [
        format!("private_key = \"{SECRET}\nnode_id = \"a\"\n"),
        format!("node_id = \"a\"\nprivate_key = {SECRET}\n"),
        format!("key_master_password = [\"{SECRET}\"]\n"),
        format!("[private_key]\nvalue = \"{SECRET}\"\n"),
        format!("blockchain_url = \"ftp://{SECRET}\"\n"),
        format!("private_keys = \"{SECRET}\"\n"),
    ];
    for text in secret_lines {
        let dir = dir_with("dm-node.toml", &text);
        let checked = check(dir.path(), &[]).await;
        assert!(!checked.success && !checked.errors.is_empty(), "{text}");
        assert!(!checked.errors.contains(SECRET), "{}", checked.errors);
    }
    let number = dir_with("dm-node.toml", "key_master_password = 12345678\n");
    let checked = check(number.path(), &[]).await;
    assert!(
        checked.errors.contains("key_master_password"),
        "{}",
        checked.errors
    );
    assert!(!checked.errors.contains("12345678"), "{}", checked.errors);
    let unclosed = dir_with(
        "dm-node.toml",
        &format!("private_key = \"{SECRET}\nnode_id = \"a\"\n"),
    );
    let checked = check(unclosed.path(), &[]).await;
    assert!(
        checked.errors.contains("dm-node.toml") && checked.errors.contains("line 1, column "),
        "{}",
        checked.errors
    );

    for text in [
        format!("PRIVATE_KEY {SECRET}\n"),
        format!("PRIVATE_KEY='{SECRET}\n"),
        format!("PRIVATE_KEY={SECRET} ;prod\n"),
        format!("PRIVATE_KEY=\"{SECRET}\" ;prod\n"),
        format!("PRIVATE KEY={SECRET}\n"),
    ] {
        let dir = dir_with(".env", &format!("NODE_ID=a\n{text}"));
        let checked = check(dir.path(), &[]).await;
        assert!(!checked.success, "{text}");
        let named = checked.errors.contains(".env, line 2: ") || checked.errors.contains("private_key: ");
        assert!(named && !checked.errors.contains(SECRET), "{}", checked.errors);
    }
    for variable in ["PRIVATE_KEY", "DM_PRIVATE_KEY__X", "DM_PRIVATE_KEYS"] {
        let checked = check(unset().path(), &[(variable, &format!("{SECRET}x"))]).await;
        assert!(!checked.success, "{variable}");
        assert!(!checked.errors.contains(SECRET), "{}", checked.errors);
    }
}

/// A working directory without settings.
fn unset() -> TempDir {
    tempdir().unwrap()
}

#[tokio::test]
async fn a_password_from_dot_env_is_taken_as_it_is() {
    for (line, password) in [
        ("KEY_MASTER_PASSWORD=S3cret$2024x", "S3cret$2024x"),
        (
            "KEY_MASTER_PASSWORD=correct horse battery",
            "correct horse battery",
        ),
        ("KEY_MASTER_PASSWORD=\"a \\\"$b\\\" c\" # comment", "a \"$b\" c"),
    ] {
        let dir = dir_with(".env", line);
        let made = run_in(dir.path(), &["init"], &[]).await;
        assert!(made.success, "{}", made.errors);
        // The variable itself wins over the file.
        let listed = run_in(dir.path(), &["key", "list"], &[("KEY_MASTER_PASSWORD", password)]).await;
        assert!(listed.success, "{line}: {}", listed.errors);
        let wrong = run_in(dir.path(), &["key", "list"], &[("KEY_MASTER_PASSWORD", "S3cret")]).await;
        assert!(!wrong.success);
        // An empty one does not.
        let listed = run_in(dir.path(), &["key", "list"], &[("KEY_MASTER_PASSWORD", "")]).await;
        assert!(listed.success, "{line}: {}", listed.errors);
    }
}

#[tokio::test]
async fn dot_env_is_read_in_the_working_directory_and_nowhere_else() {
    let dir = dir_with(".env", "P2P_PORT=many\n");
    let below = dir.path().join("below");
    std::fs::create_dir(&below).unwrap();
    assert!(!check(dir.path(), &[]).await.success);
    let checked = check(&below, &[]).await;
    assert!(checked.success, "{}", checked.errors);
    // A virtual environment of Python may have this name.
    std::fs::create_dir(below.join(".env")).unwrap();
    assert!(check(&below, &[]).await.success);
}

#[tokio::test]
async fn a_broken_dot_env_of_others_stops_neither_version_nor_help() {
    let dir = dir_with(".env", "this is no assignment\n");
    for args in [["--version"].as_slice(), &["--help"], &["run", "--help"]] {
        let shown = run_in(dir.path(), args, &[]).await;
        assert!(shown.success && !shown.output.is_empty(), "{}", shown.errors);
    }
    let checked = check(dir.path(), &[]).await;
    assert!(
        !checked.success && checked.errors.contains(".env, line 1: "),
        "{}",
        checked.errors
    );
}

#[tokio::test]
async fn booleans_and_paths_are_read_as_people_write_them() {
    let home = tempdir().unwrap();
    let env = [
        ("HOME", home.path().to_str().unwrap()),
        ("KEY_MASTER_PASSWORD", "secret"),
        ("DATA_DIR", "~/node"),
        ("DM_NETWORK__UPNP", "True"),
        ("DM_NETWORK__MDNS", "no"),
        ("DM_AUTHORIZATION__REQUIRED", "on"),
    ];
    let made = run_in(home.path(), &["init", "--blockchain-url", "devnet"], &env).await;
    assert!(made.success, "{}", made.errors);
    assert!(home.path().join("node/dm-node.toml").is_file());
    assert!(!home.path().join("~").exists());
    // The file in that directory is found as well.
    let checked = check(home.path(), &env).await;
    assert!(checked.success, "{}", checked.errors);
    let refused = check(home.path(), &[("DATA_DIR", "~alice/node")]).await;
    assert!(refused.errors.contains("data_dir"), "{}", refused.errors);
}

#[tokio::test]
async fn a_peer_is_reached_by_the_name_of_its_host() {
    let (home, other_home) = (tempdir().unwrap(), tempdir().unwrap());
    let node = Node::start(&home).await;
    let port = node.started.p2p[0].split('/').nth(4).unwrap();
    for peer in [format!("localhost:{port}"), format!("/dns4/localhost/tcp/{port}")] {
        let setup = NodeSetup::new(other_home.path()).env("DM_NETWORK__PEER_EXCHANGE_INTERVAL_SECS", "1");
        let other = setup.peer_at(&peer).start().await;
        other.has_peers(1).await;
        other.stop().await;
    }
    let refused = NodeSetup::new(other_home.path())
        .peer_at("localhost")
        .try_start()
        .await;
    let refusal = refused.err().unwrap();
    assert!(
        refusal.contains("initial_peers: 'localhost' is no peer: the port is missing"),
        "{refusal}"
    );
}

#[tokio::test]
async fn the_api_for_clients_answers_under_its_names_only_where_it_has_some() {
    let home = tempdir().unwrap();
    let setup = NodeSetup::new(home.path()).env("DM_EXTERNAL_API__ALLOWED_HOSTS", "node.example");
    let node = setup.start().await;
    let status = async |host: &str| {
        let url = format!("{}/verify_data/{}", node.started.external_api, "0".repeat(64));
        let request = reqwest::Client::new().get(url).header("Host", host);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("evil.example").await, 403);
    assert_ne!(status("node.example").await, 403);
    assert_ne!(status("127.0.0.1").await, 403);
}

#[tokio::test]
async fn a_hang_up_ends_the_node_in_order_unless_it_is_ignored() {
    let home = tempdir().unwrap();
    // Where the tests themselves ignore it, so do their children.
    if !ignores_hang_ups() {
        let node = Node::start(&home).await;
        let (_, status, errors) = node.end_by("-HUP").await;
        assert!(status.success(), "{status}: {errors}");
    }

    let mut command = tokio::process::Command::new("nohup");
    let setup = NodeSetup::new(home.path()).command();
    command
        .arg(setup.as_std().get_program())
        .args(setup.as_std().get_args());
    let mut process = Process::start(&mut command);
    let started: Value = process
        .read_until(|output| serde_json::from_str(output).ok())
        .await
        .unwrap();
    process.signal("-HUP").await;
    let health = format!("{}/health", started["external_api"].as_str().unwrap());
    // It goes on: what comes after the signal is answered, and the end is another's.
    for _ in 0..20 {
        assert!(reqwest::get(&health).await.unwrap().status().is_success());
    }
    let (status, errors) = process.terminate().await;
    assert!(status.success(), "{errors}");
}

/// Whether this process ignores SIGHUP, as under `nohup`.
fn ignores_hang_ups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & 1 == 1)
}

#[tokio::test]
async fn every_part_is_kept_where_the_settings_say() {
    let home = tempdir().unwrap();
    let place = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let node = NodeSetup::new(&home.path().join("data"))
        .env("DB_PATH", &place("objects-elsewhere"))
        .env("SQLITE_DB_PATH", &place("elsewhere.sqlite"))
        .env("PLUGIN_DIR", &place("plugins-elsewhere"))
        .start()
        .await;
    let folder = home.path().join("plugins-elsewhere/broken");
    std::fs::create_dir_all(folder).unwrap();
    let (_, plugins) = answer(node.internal(Method::POST, "/plugins/broken/reload")).await;
    assert!(
        !plugins["error"].as_str().unwrap().contains("Not found"),
        "{plugins}"
    );
    assert!(home.path().join("elsewhere.sqlite").is_file());
    assert!(home.path().join("objects-elsewhere").is_dir());
    assert!(!home.path().join("data/catalog.sqlite").exists());
    assert!(!home.path().join("data/objects").exists());
}

#[tokio::test]
async fn secrets_come_from_files() {
    let dir = tempdir().unwrap();
    let (key, password) = (dir.path().join("key"), dir.path().join("password"));
    std::fs::write(&key, format!("{SECRET}\n")).unwrap();
    std::fs::write(&password, "secret\n").unwrap();
    let files = [
        ("PRIVATE_KEY_FILE", key.to_str().unwrap()),
        ("KEY_MASTER_PASSWORD_FILE", password.to_str().unwrap()),
    ];
    let made = run_in(dir.path(), &["init", "--json"], &files).await;
    assert!(made.success, "{}", made.errors);
    let made: Value = serde_json::from_str(&made.output).unwrap();
    // The account that development chains derive from this key.
    assert_eq!(made["address"], "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    let password = [files[0], ("KEY_MASTER_PASSWORD", "secret")];
    let opened = run_in(dir.path(), &["key", "list"], &password).await;
    assert!(opened.success, "{}", opened.errors);
    // A variable that is set to nothing stands in no file's way.
    let empty = [
        ("PRIVATE_KEY", ""),
        files[0],
        ("KEY_MASTER_PASSWORD", ""),
        files[1],
    ];
    assert!(run_in(dir.path(), &["key", "list"], &empty).await.success);
}
