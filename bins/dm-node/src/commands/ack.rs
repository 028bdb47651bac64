//! `dm-node ack`: tells the sender of data that it was read and checked here.

use serde_json::{Value, json};

use super::get::data_hash;
use crate::{
    cli::AckArgs,
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: AckArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let hash = data_hash(&client, &args.data).await?;
    let route = format!("/inbox/{hash}/acknowledge");
    let mut answers = json!([client.post(&route, &Value::Null).await?]);
    times::add_iso_ms(&mut answers, "acknowledged_at");
    let answer = answers[0].take();
    output::print(as_json, &answer, |answer| {
        format!(
            "{hash} acknowledged at {}, event {} of the log",
            times::local_ms(&answer["acknowledged_at"]),
            cell(&answer["receipt"])
        )
    })
}
