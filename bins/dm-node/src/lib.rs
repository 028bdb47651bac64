#![doc = include_str!("../README.md")]

use std::process::ExitCode;

use clap::Parser;
use dm_services::RegisteredPlugins;

mod amount;
mod background;
mod catalog;
mod chain;
mod cli;
mod client;
mod commands;
mod confirm;
mod data_dir;
mod data_dir_format;
mod data_dir_lock;
mod doctor;
mod dot_env;
mod download;
mod duration;
mod folder;
mod home;
mod instance;
mod logging;
mod metrics;
mod migration;
mod namespaces;
mod node;
mod node_attestation;
mod order;
mod output;
mod paths;
mod plugins;
mod progress;
mod retries;
mod secret_input;
mod service_manager;
mod settings;
mod shared_keys;
mod stop_signal;
mod storage;
mod support_bundle;
mod times;
mod traces;
mod upload;

use cli::{Cli, Command};

/// Runs the command line of a node that has these plugins besides those in its
/// folder of plugins.
pub fn run(plugins: RegisteredPlugins) -> ExitCode {
    let dot_env = dot_env::read();
    let cli = Cli::parse();
    // Only now: `--help` and `--version` have ended the process, whatever is in the file.
    if let Err(error) = dot_env {
        return failed(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(execute(cli, plugins)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

/// Prints why nothing came of a command.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn execute(cli: Cli, plugins: RegisteredPlugins) -> anyhow::Result<ExitCode> {
    let as_json = cli.json;
    match cli.command {
        Command::Dev(args) => commands::dev::run(args, as_json, plugins).await?,
        Command::Init(args) => commands::init::run(args, as_json).await?,
        Command::Run(args) => commands::run::run(&args, as_json, plugins).await?,
        Command::Devnet(args) => commands::devnet::run(args, as_json).await?,
        Command::Doctor(args) => return commands::doctor::run(&args, as_json).await,
        Command::SupportBundle(args) => commands::support_bundle::run(&args, as_json).await?,
        Command::Completions { shell } => commands::manual::completions(shell)?,
        Command::Man { dir } => commands::manual::pages(&dir)?,
        Command::Config(command) => commands::config::run(command, as_json)?,
        Command::ApiKey(command) => commands::api_key::run(command, as_json).await?,
        Command::Key(command) => commands::key::run(command, as_json).await?,
        Command::User(command) => commands::user::run(command, as_json).await?,
        Command::Contacts(args) => commands::contacts::run(args, as_json).await?,
        Command::Vouch(args) => commands::vouch::run(args).await?,
        Command::Statement(args) => commands::statement::run(args).await?,
        Command::Share(args) => commands::share::run(args, as_json).await?,
        Command::Get(args) => commands::get::run(args, as_json).await?,
        Command::Grant(args) => commands::grant::run(args, as_json).await?,
        Command::Backup(command) => commands::backup::run(command, as_json).await?,
        Command::Migrate(args) => commands::migrate::run(args, as_json).await?,
        Command::Revoke(args) => commands::revoke::run(args, as_json).await?,
        Command::Erase(args) => commands::erase::run(args, as_json).await?,
        Command::Verify(args) => return commands::verify::run(args, as_json).await,
        Command::Status(args) => commands::status::run(args, as_json).await?,
        Command::Top(args) => commands::top::run(args, as_json).await?,
        Command::Peers(args) => commands::peers::run(args, as_json).await?,
        Command::Tokens(args) => commands::tokens::run(args, as_json).await?,
        Command::Balance(args) => commands::balance::run(args, as_json).await?,
        Command::Transfer(args) => commands::transfer::run(args, as_json).await?,
        Command::Transfers(args) => commands::transfers::run(args, as_json).await?,
        Command::Plugins(args) => commands::plugins::run(args, as_json).await?,
        Command::Subscriptions(args) => commands::subscriptions::run(args, as_json).await?,
        Command::Events(args) => commands::events::run(args, as_json).await?,
        Command::Inbox(args) => commands::inbox::run(args, as_json).await?,
        Command::Shares(args) => commands::shares::run(args, as_json).await?,
        Command::Ack(args) => commands::ack::run(args, as_json).await?,
        Command::History(args) => commands::history::run(args, as_json).await?,
    }
    Ok(ExitCode::SUCCESS)
}
