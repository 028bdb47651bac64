//! `dm-node top`, in a terminal and without one.

use serde_json::Value;
use tempfile::tempdir;
use tokio::process::Command;

use crate::support::{Node, SOMEBODY, eventually, node::dm_node, tmux::Tmux};

/// Begins what colours a text, as tmux writes it.
const COLOUR: &str = "\u{1b}[38;";
/// What makes a text green.
const GREEN: &str = "\u{1b}[38;5;2m";

/// The variables by which the command reaches a node.
fn access(node: &Node) -> [(&str, &str); 2] {
    [
        ("DM_API", &node.started.external_api),
        ("DM_API_KEY", &node.started.api_key),
    ]
}

/// What is typed; its end is told by a line.
fn top() -> String {
    format!("{} top; echo ended with $?", env!("CARGO_BIN_EXE_dm-node"))
}

/// Waits for the end, after which the terminal is as it was.
async fn is_as_before(tmux: &Tmux, settings: &str, code: u8) {
    let ended = format!("ended with {code}");
    let screen = tmux.shows(&["what stood before", &ended]).await;
    assert!(!screen.contains("DataMgmt node"), "{screen}");
    assert_eq!(
        tmux.modes().await,
        "1 0",
        "the cursor is seen, on the first screen"
    );
    assert_eq!(tmux.output_of("stty -g").await, settings);
}

#[tokio::test]
async fn the_screen_lives_fits_and_leaves_the_terminal_as_it_was() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let Some(tmux) = Tmux::start(110, 40, &access(&node)).await else {
        return;
    };
    let settings = tmux.output_of("stty -g").await;
    tmux.type_line("clear; echo what stood before").await;
    tmux.type_line(&top()).await;
    tmux.shows(&[
        "DataMgmt node",
        "Health",
        "Network",
        "Peers",
        "Shares, inbox, anchors",
        "Events",
        "q quits",
    ])
    .await;
    assert_eq!(
        tmux.modes().await,
        "0 1",
        "the alternate screen, without a cursor"
    );

    node.must_share("seen at once", SOMEBODY).await;
    tmux.shows(&["data.shared", "share.anchored", "shares    1"])
        .await;
    tmux.resize(60, 45).await;
    let screen = tmux.shows(&["DataMgmt node", "data.shared", "q quits"]).await;
    assert!(screen.lines().all(|line| line.chars().count() <= 60), "{screen}");
    tmux.resize(110, 40).await;
    let is_coloured = eventually("the screen is coloured", async || {
        tmux.coloured_screen().await.contains(GREEN).then_some(true)
    });
    assert!(is_coloured.await);

    tmux.press("q").await;
    is_as_before(&tmux, &settings, 0).await;
}

#[tokio::test]
async fn ctrl_c_and_signals_end_the_screen_also_while_the_node_is_away() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let environment = [&access(&node)[..], &[("NO_COLOR", "1")]].concat();
    let Some(tmux) = Tmux::start(110, 40, &environment).await else {
        return;
    };
    let settings = tmux.output_of("stty -g").await;
    let begin = async || {
        tmux.type_line("clear; echo what stood before").await;
        tmux.type_line(&top()).await;
        tmux.shows(&["DataMgmt node", "q quits"]).await;
    };
    begin().await;
    let screen = tmux.coloured_screen().await;
    assert!(!screen.contains(COLOUR), "{screen:?}");
    tmux.press("C-c").await;
    is_as_before(&tmux, &settings, 0).await;

    begin().await;
    node.kill().await;
    tmux.shows(&["DataMgmt node", "no node answers at"]).await;
    let top = tmux.foreground_process().await;
    let sent = Command::new("kill").args(["-TERM", &top]).status().await.unwrap();
    assert!(sent.success());
    is_as_before(&tmux, &settings, 0).await;

    tmux.type_line("clear; echo what stood before").await;
    tmux.type_line(&self::top()).await;
    tmux.shows(&["error: no node answers at"]).await;
    is_as_before(&tmux, &settings, 1).await;
}

#[tokio::test]
async fn where_there_is_no_terminal_one_frame_is_printed() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    node.must_share("to be counted", SOMEBODY).await;
    let run = async |args: &[&str], key: &str| {
        let mut command = dm_node();
        command
            .arg("top")
            .args(args)
            .envs(access(&node))
            .env("DM_API_KEY", key);
        command.output().await.unwrap()
    };
    let frame = run(&[], &node.started.api_key).await;
    assert!(frame.status.success(), "{frame:?}");
    let text = String::from_utf8(frame.stdout).unwrap();
    assert!(
        text.contains("DataMgmt node") && text.contains("data.shared"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains("q quits"), "{text}");

    let document = run(&["--json"], &node.started.api_key).await;
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    let shares = document["shares"]["by_state"].as_object().unwrap();
    assert_eq!(
        shares.values().filter_map(Value::as_u64).sum::<u64>(),
        1,
        "{document}"
    );
    assert!(document["parts"]["catalog"].is_object(), "{document}");

    let refused = run(&[], "dm_1_2").await;
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{errors}");
    assert!(errors.starts_with("error: the node answers 401"), "{errors}");
}
