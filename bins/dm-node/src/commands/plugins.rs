//! `dm-node plugins`: shows and switches the plugins of a running node.

use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::{PluginsArgs, PluginsCommand},
    output::{self, cell},
};

pub(crate) async fn run(args: PluginsArgs, as_json: bool) -> anyhow::Result<()> {
    let Some(command) = args.command else {
        let answer = args.client.connect()?.get("/plugins", &[]).await?;
        return output::print(as_json, &answer, describe_all);
    };
    let (what, name, args) = match command {
        PluginsCommand::Enable { name, client } => ("enable", name, client),
        PluginsCommand::Disable { name, client } => ("disable", name, client),
        PluginsCommand::Reload { name, client } => ("reload", name, client),
    };
    let client = args.connect()?;
    let request = client.request(Method::POST, &format!("/plugins/{name}/{what}"));
    let status: Value = client.send(request).await?.json().await?;
    output::print(as_json, &status, describe)
}

fn describe_all(answer: &Value) -> String {
    let plugins = answer["plugins"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = plugins.iter().map(row).collect();
    output::table(
        &[
            "PLUGIN",
            "VERSION",
            "HOOKS",
            "STATE",
            "REQUIRED",
            "FAILURES",
            "LAST ERROR",
        ],
        &rows,
    )
}

fn row(plugin: &Value) -> Vec<String> {
    let hooks = plugin["hooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hooks: Vec<String> = hooks.iter().map(cell).collect();
    vec![
        cell(&plugin["name"]),
        cell(&plugin["version"]),
        hooks.join(","),
        cell(&plugin["state"]),
        cell(&plugin["required"]),
        cell(&plugin["failures"]),
        cell(&plugin["last_error"]),
    ]
}

fn describe(plugin: &Value) -> String {
    let (name, state) = (cell(&plugin["name"]), cell(&plugin["state"]));
    match &plugin["last_error"] {
        Value::String(error) => format!("The plugin {name} is {state}: {error}."),
        _ => format!("The plugin {name} is {state}."),
    }
}
