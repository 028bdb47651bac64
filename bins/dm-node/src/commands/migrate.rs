//! `dm-node migrate`: moves a stopped node to other stores, and checks that.

use dm_core::config::NodeConfig;
use serde_json::{Value, json};

use crate::{
    cli::MigrateArgs,
    home,
    migration::{self, Moved},
    output,
    progress::Steps,
    settings::{self, Sources},
};

pub(crate) async fn run(args: MigrateArgs, as_json: bool) -> anyhow::Result<()> {
    let source = home::load_config(&args.node)?;
    let target = target_config(&args, &source)?;
    let steps = Steps::start();
    let moved = if args.check {
        migration::check(&source, &target, &steps).await?
    } else {
        migration::run(&source, &target, &steps).await?
    };
    let document = document(&moved);
    output::print(as_json, &document, |document| {
        let lines = [
            ("node", "node"),
            ("from", "from"),
            ("to", "to"),
            ("rows", "rows"),
            ("entries", "entries"),
            ("objects", "objects"),
            ("bytes", "bytes"),
            ("events", "events"),
            ("root", "root"),
        ];
        let what_next = match args.check {
            true => "Both are the same.".to_owned(),
            false => format!(
                "Run the node there with `dm-node run --config {}`. It does not run in its old place any more; nothing was deleted there.",
                args.to_config.display()
            ),
        };
        format!("{}\n\n{what_next}", output::fields(document, &lines))
    })
}

/// The settings of the file; the password is the one that the keys have.
fn target_config(args: &MigrateArgs, source: &NodeConfig) -> anyhow::Result<NodeConfig> {
    let mut target = settings::load(Sources {
        file: Some(&args.to_config),
        is_other_node: true,
        ..Sources::default()
    })?
    .config;
    let password = &mut target.key_master_password;
    *password = password.take().or_else(|| source.key_master_password.clone());
    Ok(target)
}

fn document(moved: &Moved) -> Value {
    let [from, to] = &moved.places;
    json!({
        "node": moved.account.to_string(),
        "from": from,
        "to": to,
        "tables": moved.tables.tables,
        "rows": moved.tables.rows,
        "entries": moved.entries,
        "objects": moved.objects.objects,
        "bytes": moved.objects.bytes,
        "events": moved.head.map_or(0, |head| head.size),
        "root": moved.head.map(|head| head.root.to_string()),
    })
}
