//! The command line, as an operator types it.

use std::process::Output;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Node, SOMEBODY, bytes, data_hash, node::dm_node, process::Process};

/// Runs a command that must succeed; what it printed.
async fn run(args: &[&str], env: &[(&str, &str)]) -> String {
    let output = output(args, env).await;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

async fn output(args: &[&str], env: &[(&str, &str)]) -> Output {
    dm_node()
        .args(args)
        .envs(env.iter().copied())
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_lines_that_dev_prints_work_when_they_are_pasted() {
    let home = tempdir().unwrap();
    let mut command = dm_node();
    command.args([
        "dev",
        "--dashboard-port",
        "0",
        "--internal-port",
        "0",
        "--external-port",
        "0",
        "--p2p-port",
        "0",
        "--data-dir",
    ]);
    let mut process = Process::start(command.arg(home.path()));
    let printed = process
        .read_until(|output| output.contains("Ctrl-C").then(|| output.to_owned()))
        .await
        .unwrap();
    let lines: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert!(lines.len() >= 3, "{printed}");
    for line in lines {
        let pasted = tokio::process::Command::new("bash")
            .args(["-c", &format!("{line} --fail")])
            .output()
            .await;
        let pasted = pasted.unwrap();
        assert!(pasted.status.success(), "{line}: {pasted:?}");
    }
    let (status, errors) = process.terminate().await;
    assert!(status.success(), "{errors}");
}

/// Runs a node that `init` has made; what it prints once it is ready.
async fn start(args: &[&str]) -> (Process, Value) {
    let mut command = dm_node();
    command
        .args(["run", "--json", "--dashboard-port", "0"])
        .args(["--internal-port", "0", "--external-port", "0", "--p2p-port", "0"])
        .args(args)
        .env("KEY_MASTER_PASSWORD", "correct horse battery staple");
    let mut process = Process::start(&mut command);
    let started = process
        .read_until(|output| serde_json::from_str(output).ok())
        .await
        .unwrap();
    (process, started)
}

#[tokio::test]
async fn a_node_is_made_for_a_configuration_that_is_kept_elsewhere() {
    let home = tempdir().unwrap();
    let (dir, file) = (home.path().join("node"), home.path().join("node.toml"));
    let settings = format!(
        "data_dir = {:?}\nblockchain_url = \"devnet\"\n",
        dir.to_str().unwrap()
    );
    std::fs::write(&file, &settings).unwrap();
    let path = file.to_str().unwrap();
    let password = [("KEY_MASTER_PASSWORD", "correct horse battery staple")];

    let both = ["init", "--config", path, "--data-dir", "elsewhere"];
    assert!(!output(&both, &password).await.status.success());
    let made = run(&["init", "--json", "--config", path], &password).await;
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["config"], path);
    assert!(!dir.join("dm-node.toml").exists(), "there is one configuration");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), settings);

    let (process, started) = start(&["--config", path]).await;
    assert_eq!(started["address"], made["address"]);
    let (status, errors) = process.terminate().await;
    assert!(status.success(), "{errors}");
}

#[tokio::test]
async fn a_node_is_made_by_init_and_started_by_run() {
    let home = tempdir().unwrap();
    let dir = home.path().join("node");
    let dir = dir.to_str().unwrap();
    let password = [("KEY_MASTER_PASSWORD", "correct horse battery staple")];

    let refused = output(&["init", "--data-dir", dir], &[]).await;
    assert!(!refused.status.success());
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("KEY_MASTER_PASSWORD"),
        "{refused:?}"
    );
    assert!(!std::path::Path::new(dir).exists());

    let init = ["init", "--json", "--data-dir", dir, "--blockchain-url", "devnet"];
    let made: Value = serde_json::from_str(&run(&init, &password).await).unwrap();
    let again = output(&["init", "--data-dir", dir], &password).await;
    assert!(!again.status.success(), "init never overwrites");

    let (process, started) = start(&["--data-dir", dir]).await;
    assert_eq!(started["address"], made["address"]);
    let (api, key) = (
        started["external_api"].as_str().unwrap(),
        made["api_key"].as_str().unwrap(),
    );
    let client = [("DM_API", api), ("DM_API_KEY", key)];

    let file = home.path().join("file");
    let data = bytes(400_000, 9);
    std::fs::write(&file, &data).unwrap();
    let shared = run(
        &["share", "--json", file.to_str().unwrap(), "--to", SOMEBODY],
        &client,
    )
    .await;
    let shared: Value = serde_json::from_str(&shared).unwrap();
    assert_eq!(shared["data_hash"], data_hash(&data));
    let hash = shared["data_hash"].as_str().unwrap();
    let copy = home.path().join("copy");
    run(&["get", hash, "-o", copy.to_str().unwrap()], &client).await;
    assert!(std::fs::read(&copy).unwrap() == data);
    assert!(run(&["verify", hash], &client).await.starts_with("verified"));
    let status = run(&["status"], &client).await;
    assert!(status.contains("healthy"), "{status}");
    assert!(status.contains("healthy since "), "{status}");
    assert!(status.contains("objects stored         1\n"), "{status}");
    assert!(status.contains("objects damaged now    0\n"), "{status}");
    assert!(run(&["history"], &client).await.contains(hash));
    assert!(run(&["peers"], &client).await.contains("PEER"));
    let internal = started["internal_api"].as_str().unwrap();
    assert!(
        run(&["tokens", "--api", internal], &client)
            .await
            .contains("native")
    );

    // Keys are made and ended beside the running node.
    let made = run(
        &[
            "api-key",
            "create",
            "--name",
            "b",
            "--scopes",
            "read",
            "--data-dir",
            dir,
        ],
        &password,
    )
    .await;
    let reader = made.trim();
    assert!(reader.starts_with("dm_") && !reader.contains('\n'), "{made}");
    run(&["status"], &[("DM_API", api), ("DM_API_KEY", reader)]).await;
    let listed = run(&["api-key", "list", "--json", "--data-dir", dir], &password).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed["api_keys"][1]["id"].as_str().unwrap();
    assert!(!listed.to_string().contains(reader), "{listed}");
    run(&["api-key", "revoke", id, "--data-dir", dir], &password).await;
    crate::support::eventually("the key is revoked", || async {
        let refused = output(&["status"], &[("DM_API", api), ("DM_API_KEY", reader)]).await;
        (!refused.status.success()).then_some(())
    })
    .await;

    let (status, errors) = process.terminate().await;
    assert!(status.success(), "{errors}");
    let rotated = run(&["key", "rotate", "--json", "--data-dir", dir], &password).await;
    assert_eq!(serde_json::from_str::<Value>(&rotated).unwrap()["version"], 2);
    assert!(
        run(&["key", "list", "--data-dir", dir], &password)
            .await
            .lines()
            .count()
            == 6,
        "two versions and a key for grants"
    );
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_printed_at_once() {
    let home = tempdir().unwrap();
    let file = home.path().join("dm-node.toml");
    std::fs::write(
        &file,
        "p2p_port = \"many\"\nnode_id = \"\"\nno_such_setting = 1\n[external_api]\nport = 99999\n",
    )
    .unwrap();
    let checked = output(
        &["config", "check", "--config", file.to_str().unwrap()],
        &[("BLOCKCHAIN_URL", "ftp://example.org"), ("PRIVATE_KEY", "1234")],
    )
    .await;
    assert!(!checked.status.success());
    let errors = String::from_utf8_lossy(&checked.stderr).into_owned();
    for field in [
        "p2p_port",
        "node_id",
        "no_such_setting",
        "external_api.port",
        "blockchain_url",
        "private_key",
    ] {
        assert!(
            errors.lines().any(|line| line.starts_with(field)),
            "{field}: {errors}"
        );
    }
    assert!(!errors.contains("1234"), "a secret is not repeated: {errors}");
    let default = run(&["config", "default"], &[]).await;
    std::fs::write(&file, default).unwrap();
    run(&["config", "check", "--config", file.to_str().unwrap()], &[]).await;
}

#[tokio::test]
async fn a_client_without_a_node_says_so() {
    let failed = output(
        &["status"],
        &[("DM_API", "http://127.0.0.1:9"), ("DM_API_KEY", "k")],
    )
    .await;
    assert!(!failed.status.success());
    let errors = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(errors.contains("http://127.0.0.1:9"), "{errors}");
}

#[tokio::test]
async fn text_is_for_people_and_json_is_one_document() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let client = [
        ("DM_API", node.started.external_api.as_str()),
        ("DM_API_KEY", node.started.api_key.as_str()),
    ];
    let text = run(&["status"], &client).await;
    assert!(text.starts_with("status"), "{text}");
    let json: Value = serde_json::from_str(&run(&["status", "--json"], &client).await).unwrap();
    assert_eq!(json["health"]["status"], "healthy", "{json}");
}
