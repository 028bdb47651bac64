//! Local reads of 1 KiB from an instance, beside those of a node with embedded stores.

use super::commons::Commons;
use crate::{
    node::Node,
    reads::{ask_for, requests},
    report,
};

/// Each measures both, in turn.
const ROUNDS: usize = 3;

pub(super) async fn measure(commons: &Commons) -> anyhow::Result<()> {
    let embedded = Node::start(&commons.binary, &[]).await?;
    let instance = commons.start(0, None).await?;
    let from_embedded = requests(&embedded).await?;
    let from_instance = requests(&instance).await?;
    let (mut rates, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        limits.push(ask_for(&embedded.external_api, &from_embedded).await?.1);
        rates.push(ask_for(&instance.external_api, &from_instance).await?.1);
    }
    let (rate, limit) = (report::median(rates), report::median(limits));
    report::line(
        "local reads of 1 KiB from an instance",
        &format!("{rate:.0}/s"),
        &format!(
            "{:.0} % of a node with embedded stores ({limit:.0}/s); goal 60 %",
            100.0 * rate / limit
        ),
    );
    embedded.stop().await?;
    instance.stop().await?;
    Ok(())
}
