//! What has happened by the changes of one commit, and because of which requests.

use dm_core::{news::News, span::TraceContext};

/// News, and the trace of the request that they come of, where that is recorded.
#[derive(Debug)]
pub(super) struct TracedNews {
    pub(super) news: News,
    pub(super) trace: Option<TraceContext>,
}

/// The news of a commit, in their order.
#[derive(Debug, Default)]
pub(super) struct NewsOfCommit(Vec<TracedNews>);

impl NewsOfCommit {
    pub(super) fn push(&mut self, news: News) {
        self.push_traced(news, None);
    }

    pub(super) fn push_traced(&mut self, news: News, trace: Option<TraceContext>) {
        self.0.push(TracedNews { news, trace });
    }

    pub(super) fn all(&self) -> &[TracedNews] {
        &self.0
    }
}

impl Extend<News> for NewsOfCommit {
    fn extend<T: IntoIterator<Item = News>>(&mut self, news: T) {
        news.into_iter().for_each(|news| self.push(news));
    }
}

impl Extend<TracedNews> for NewsOfCommit {
    fn extend<T: IntoIterator<Item = TracedNews>>(&mut self, news: T) {
        self.0.extend(news);
    }
}
