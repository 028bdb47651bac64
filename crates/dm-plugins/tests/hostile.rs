//! What comes of plugins that are broken, or that want more than they may.

use std::{fs, time::Duration};

use dm_core::{
    plugin::{PluginFault, Verdict},
    ports::PluginSource,
};
use dm_testing::plugins::share_of;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::common::{Folder, SAMPLE_MANIFEST, SAMPLE_TEXT, context, sample_that};

/// The fault of loading this.
async fn refused(manifest: &str, component: &[u8]) -> String {
    let folder = Folder::new(manifest, component, &[]);
    folder.load().await.err().expect("it must not load").to_string()
}

/// What the sample with another answer says to a share.
async fn asked(answer: &str) -> Result<Verdict, PluginFault> {
    let folder = Folder::with_text(SAMPLE_MANIFEST, &sample_that(answer), &[]);
    let plugin = folder.ready().await;
    let answer = plugin.before_share(&share_of(5)).await;
    if answer.is_err() {
        // Whoever failed is gone, and says so.
        let again = plugin.before_share(&share_of(5)).await.unwrap_err();
        assert_eq!(again.to_string(), "it was stopped");
        // The folder makes another one.
        folder.ready().await.shutdown().await;
    }
    answer
}

fn note(verdict: Result<Verdict, PluginFault>) -> String {
    match verdict {
        Ok(Verdict::Annotate { note }) => note,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_component_of_this_interface_is_refused_with_its_reason() {
    let core_module = wat::parse_str("(module)").unwrap();
    let empty = wat::parse_str("(component)").unwrap();
    let greedy = wat::parse_str(
        r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "x" (func)))))"#,
    )
    .unwrap();
    let mut cut_short = wat::parse_str(SAMPLE_TEXT).unwrap();
    cut_short.truncate(cut_short.len() / 2);
    for (component, reason) in [
        (&b"\x7fELF and so on"[..], "plugin.wasm is no component"),
        (&b""[..], "plugin.wasm is no component"),
        (&core_module, "plugin.wasm is no component"),
        (&cut_short, "plugin.wasm is no component"),
        (&empty, "no export"),
        (&greedy, "wasi:http/outgoing-handler"),
    ] {
        let fault = refused(SAMPLE_MANIFEST, component).await;
        assert!(fault.contains(reason), "{fault}");
        assert!(fault.len() < 600, "{fault}");
    }
    let other_type = SAMPLE_TEXT.replace(r#"(case "annotate" string)"#, r#"(case "annotate" u64)"#);
    let fault = refused(SAMPLE_MANIFEST, &wat::parse_str(other_type).unwrap()).await;
    assert!(fault.contains("no plugin of this interface"), "{fault}");
}

#[tokio::test]
async fn a_component_that_is_not_there_or_far_too_large_is_refused() {
    let folder = Folder::new(SAMPLE_MANIFEST, b"", &[]);
    let file = folder.dir.path().join("sample/plugin.wasm");
    fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let fault = folder.load().await.err().unwrap().to_string();
    assert_eq!(fault, "plugin.wasm has more than 67108864 bytes");
    fs::remove_file(&file).unwrap();
    let fault = folder.load().await.err().unwrap().to_string();
    assert!(fault.starts_with("plugin.wasm: "), "{fault}");
    let manifest = folder.dir.path().join("sample/plugin.toml");
    fs::write(&manifest, [0xff]).unwrap();
    assert!(folder.load().await.is_err());
    fs::remove_file(&manifest).unwrap();
    assert!(folder.source.load("sample").await.unwrap().is_none());
    for name in ["..", "", "sample/../sample", "SAMPLE"] {
        assert!(folder.source.load(name).await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_manifest_that_asks_for_too_much_is_refused() {
    let component = wat::parse_str(SAMPLE_TEXT).unwrap();
    let greedy = format!("{SAMPLE_MANIFEST}[limits]\nmemory_bytes = 1000000000000");
    let fault = refused(&greedy, &component).await;
    assert!(fault.contains("plugins.max_memory_bytes"), "{fault}");
    let curious = SAMPLE_MANIFEST.replace("[\"content\"]", "[\"content\", \"node.health\"]");
    let fault = refused(&curious, &component).await;
    assert!(fault.contains("plugins.granted.sample"), "{fault}");
}

#[tokio::test]
async fn a_plugin_that_panics_or_recurses_without_end_is_a_fault_and_nothing_worse() {
    let fault = asked("unreachable").await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "wasm trap: wasm `unreachable` instruction executed"
    );
    let fault = asked("(call $deeper)").await.unwrap_err();
    assert!(fault.to_string().contains("call stack exhausted"), "{fault}");
}

#[tokio::test]
async fn answers_that_are_none_are_faults() {
    for (answer, reason) in [
        // A gigabyte that is not there.
        (
            "(call $verdict (i32.const 1) (i32.const 0) (i32.const 0x40000000))",
            "out of bounds",
        ),
        (
            "(call $verdict (i32.const 1) (i32.const -8) (i32.const 100))",
            "out of bounds",
        ),
        // A fourth case of three, and a text that is no UTF-8.
        (
            "(call $verdict (i32.const 3) (i32.const 0) (i32.const 0))",
            "discriminant",
        ),
        (
            "(i32.store8 (i32.const 0) (i32.const 255)) (call $verdict (i32.const 1) (i32.const 0) (i32.const 1))",
            "utf-8",
        ),
        ("(i32.const 1)", "align"),
        ("(i32.const 0x7ffffff0)", "out of bounds"),
    ] {
        let fault = asked(answer).await.unwrap_err().to_string();
        assert!(fault.contains(reason), "{answer}: {fault}");
    }
}

/// The sample with this many memories of 600 pages (37.5 MiB) beside its own.
fn sample_with_memories(count: usize) -> String {
    let instances = "(core instance (instantiate $hog))".repeat(count);
    let hogs = format!("(core module $hog (memory 600)) {instances} (core module");
    SAMPLE_TEXT.replacen("(core module", &hogs, 1)
}

#[tokio::test]
async fn the_memories_of_a_plugin_share_its_limit() {
    let one = Folder::with_text(SAMPLE_MANIFEST, &sample_with_memories(1), &[]);
    one.ready().await.shutdown().await;
    let two = Folder::with_text(SAMPLE_MANIFEST, &sample_with_memories(2), &[]);
    let fault = two.load().await.unwrap().initialize(context()).await.unwrap_err();
    assert!(fault.to_string().contains("memory"), "{fault}");
}

#[tokio::test]
async fn a_plugin_that_takes_all_memory_gets_its_limit_and_its_huge_answer_is_a_fault() {
    let fault = asked("(call $grow)").await.unwrap_err().to_string();
    // 64 MiB is the limit, and more than a message may have.
    assert!(
        fault.contains("67108864 bytes") || fault.contains("fuel"),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endless_plugin_leaves_its_thread_to_others_and_is_given_up() {
    let folder = Folder::with_text(
        SAMPLE_MANIFEST,
        &sample_that("(loop $ever (br $ever)) unreachable"),
        &[],
    );
    let plugin = folder.ready().await;
    let share = share_of(5);
    let call = plugin.before_share(&share);
    // On the only thread of this runtime, somebody else gets through.
    let others = tokio::spawn(async { tokio::time::sleep(Duration::from_millis(20)).await });
    let given_up = tokio::time::timeout(Duration::from_millis(200), call).await;
    assert!(given_up.is_err());
    assert!(others.is_finished());
    assert_eq!(
        plugin.before_share(&share).await.unwrap_err().to_string(),
        "it was stopped"
    );
}

#[tokio::test]
async fn a_component_that_loops_while_it_is_made_is_given_up() {
    let text = SAMPLE_TEXT.replace(
        "(func (export \"shutdown\"))",
        "(func (export \"shutdown\")) (func $forever (loop $ever (br $ever))) (start $forever)",
    );
    assert_ne!(text, SAMPLE_TEXT);
    let folder = Folder::with_text(SAMPLE_MANIFEST, &text, &[]);
    let plugin = folder.load().await.unwrap();
    let starting = tokio::time::timeout(Duration::from_millis(200), plugin.initialize(context()));
    assert!(starting.await.is_err());
}

#[tokio::test]
async fn node_functions_answer_only_whom_the_operator_allows() {
    let text = sample_that("(call $ask-node)");
    let folder = Folder::with_text(SAMPLE_MANIFEST, &text, &["node.health"]);
    let verdict = folder.ready().await.before_share(&share_of(5)).await;
    assert_eq!(note(verdict), "needs the permission `node.health`");

    let manifest = SAMPLE_MANIFEST.replace("[\"content\"]", "[\"content\", \"node.health\"]");
    let folder = Folder::with_text(&manifest, &text, &["node.health"]);
    let verdict = folder.ready().await.before_share(&share_of(5)).await;
    assert_eq!(note(verdict), "{\"status\":\"healthy\"}");
}

/// A server that gives this answer to everybody.
async fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let _ = client.read(&mut request).await;
                let _ = client.write_all(answer.as_bytes()).await;
            });
        }
    });
    origin
}

/// What the sample notes of an answer from `origin`, with permission for `allowed`.
async fn fetched(origin: &str, allowed: &str) -> String {
    let manifest = SAMPLE_MANIFEST.replace("[\"content\"]", &format!("[\"content\", \"{allowed}\"]"));
    let manifest = format!("{manifest}[settings]\nurl = \"{origin}/hook\"");
    let folder = Folder::with_text(&manifest, &sample_that("(call $ask-web)"), &[allowed]);
    note(folder.ready().await.before_share(&share_of(5)).await)
}

#[tokio::test]
async fn a_plugin_reaches_the_origins_that_it_may_and_no_others() {
    let hook = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned()).await;
    let other = server("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret".to_owned()).await;
    assert_eq!(fetched(&hook, &hook).await, "hello");
    assert_eq!(
        fetched(&other, &hook).await,
        format!("needs the permission `{other}`")
    );
    // The same host under another scheme or port is another origin.
    assert!(
        fetched(&hook, &hook.replace("http:", "https:"))
            .await
            .starts_with("needs the permission")
    );
    // Who is redirected gets that answer, and not what is there.
    let away = server(format!(
        "HTTP/1.1 302 Found\r\nlocation: {other}/\r\ncontent-length: 4\r\n\r\naway"
    ))
    .await;
    assert_eq!(fetched(&away, &away).await, "away");
    // A host name in the user's part of the URL is no host.
    let trick = hook.replace("http://", "http://user@");
    assert_eq!(fetched(&trick, &hook).await, "hello");
}

#[tokio::test]
async fn an_answer_from_outside_that_is_too_long_is_an_error() {
    let long = "x".repeat((1 << 20) + 1);
    let hook = server(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}",
        long.len()
    ))
    .await;
    assert_eq!(
        fetched(&hook, &hook).await,
        "the answer has more than 1048576 bytes"
    );
}
