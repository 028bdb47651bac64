//! `dm-node run`: runs the node.

use dm_services::RegisteredPlugins;

use crate::{
    cli::RunArgs,
    commands::start,
    home,
    output::{self, cell},
    stop_signal::StopSignal,
};

pub(crate) async fn run(args: &RunArgs, as_json: bool, plugins: RegisteredPlugins) -> anyhow::Result<()> {
    let loaded = home::load_to_run(args)?;
    let mut stop = StopSignal::catch()?;
    // One that waits for another instance to end can be told to stop as well.
    let node = tokio::select! {
        biased;
        node = start::start(&loaded, plugins, home::open_or_create_keys) => node?,
        () = stop.wait() => return Ok(()),
    };
    output::print(as_json, &node.document(), |document| {
        format!(
            "The node runs as {}.\n  API for clients    {}\n  API for operators  {}\n  console            {}\n  peers reach it at  {}",
            cell(&document["address"]),
            cell(&document["external_api"]),
            cell(&document["internal_api"]),
            cell(&document["console"]),
            cell(&document["p2p"][0]),
        )
    })?;
    node.run_until_stopped(stop).await
}
