//! What plugins are asked.

use dm_core::{
    plugin::{Hook, Piece, PluginFault, ReceivedView, RetrievalView, ShareView, Verdict},
    ports::Plugin,
};

/// A question to every plugin with its hook.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    Share(&'a ShareView),
    Content(&'a Piece),
    Retrieval(&'a RetrievalView),
    Receive(&'a ReceivedView),
}

impl Question<'_> {
    pub(super) fn hook(self) -> Hook {
        match self {
            Self::Share(_) => Hook::Share,
            Self::Content(_) => Hook::Content,
            Self::Retrieval(_) => Hook::Retrieval,
            Self::Receive(_) => Hook::Receive,
        }
    }

    pub(super) async fn put_to(self, plugin: &dyn Plugin) -> Result<Verdict, PluginFault> {
        match self {
            Self::Share(share) => plugin.before_share(share).await,
            Self::Content(piece) => plugin.examine(piece).await,
            Self::Retrieval(retrieval) => plugin.before_retrieval(retrieval).await,
            Self::Receive(received) => plugin.before_receive(received).await,
        }
    }
}
