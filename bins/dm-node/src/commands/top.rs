//! `dm-node top`: one live screen of how a running node is, for machines without a browser.

use std::io::{self, IsTerminal};

use tokio::sync::mpsc;

use self::{
    frame::Frame,
    overview::Overview,
    screen::{Key, Screen},
    watch::{Told, watch},
};
use crate::{cli::TopArgs, client::NodeClient, output, stop_signal::StopSignal};

mod frame;
mod overview;
mod panes;
mod screen;
mod watch;

/// Columns of the single frame where there is no terminal.
const PLAIN_COLUMNS: u16 = 100;
/// Rows of it.
const PLAIN_ROWS: u16 = 40;

pub(crate) async fn run(args: TopArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    // A node that is away or refuses the key is told before the screen is taken.
    let overview = Overview::of(client.api(), watch::first(&client).await?);
    if as_json || !io::stdout().is_terminal() {
        return output::print(as_json, &overview.document(), |_| {
            Frame::plain().lines(&overview, PLAIN_COLUMNS, PLAIN_ROWS)
        });
    }
    live(client, overview).await
}

/// Draws the screen until somebody wants no more of it.
async fn live(client: NodeClient, mut overview: Overview) -> anyhow::Result<()> {
    let mut stop = StopSignal::catch()?;
    let (teller, mut told) = mpsc::channel(16);
    let watching = tokio::spawn(watch(client, teller));
    let mut screen = Screen::take()?;
    let frame = Frame::colored_unless_forbidden();
    let ended = loop {
        if let Err(error) = screen.draw(|area, buffer| frame.render(&overview, area, buffer)) {
            break Err(error.into());
        }
        tokio::select! {
            key = screen.key() => match key {
                Ok(Key::Quit) => break Ok(()),
                Ok(Key::Other) => {}
                Err(error) => break Err(error.into()),
            },
            () = stop.wait() => break Ok(()),
            told = told.recv() => match told {
                Some(Told::Look(look)) => overview.see(*look),
                Some(Told::Events(events)) => overview.hear(events),
                Some(Told::Trouble(reason)) => overview.trouble = Some(reason),
                None => break Err(anyhow::anyhow!("nobody asks the node any more")),
            },
        }
    };
    watching.abort();
    ended
}
