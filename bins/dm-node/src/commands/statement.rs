//! `dm-node statement`: prints what a user has to sign so that a node shares data.

use anyhow::Context;

use crate::{
    cli::StatementArgs,
    order::{self, Wanted},
    output,
};

/// Prints the text alone, without the end of a line: these bytes are signed.
pub(crate) async fn run(args: StatementArgs) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let data_hash = match (args.hash, &args.file) {
        (Some(hash), _) => hash,
        (None, file) => order::hash_file(file.as_deref().context("give a FILE or --hash")?).await?,
    };
    let wanted = Wanted {
        recipient: &args.to.into(),
        price: Some(&args.price),
    };
    let statement = order::statement(&client, &args.user, data_hash, &wanted, &args.valid_for).await?;
    output::print_raw(statement.canonical()?.as_bytes())
}
