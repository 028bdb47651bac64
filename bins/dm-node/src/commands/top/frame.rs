//! Where everything stands on the screen.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Widget},
};

use super::{overview::Overview, panes};

/// Columns from which panes stand beside each other.
const WIDE: u16 = 90;

/// How the screen is drawn.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    has_color: bool,
    /// Whether it stands still: then nobody can end it.
    is_still: bool,
}

/// What a text says of the node's health.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Tone {
    Good,
    Warn,
    Bad,
    Quiet,
}

impl Frame {
    /// A screen in colour, unless `NO_COLOR` is set (<https://no-color.org>).
    pub(super) fn colored_unless_forbidden() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            has_color: !forbidden,
            is_still: false,
        }
    }

    /// One frame, for what is no terminal.
    pub(super) fn plain() -> Self {
        Self {
            has_color: false,
            is_still: true,
        }
    }

    /// The frame as lines of text.
    pub(super) fn lines(self, overview: &Overview, columns: u16, rows: u16) -> String {
        let area = Rect::new(0, 0, columns, rows);
        let mut buffer = Buffer::empty(area);
        self.render(overview, area, &mut buffer);
        let cells: Vec<&str> = buffer
            .content()
            .iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        let lines = cells.chunks(usize::from(columns));
        let lines: Vec<String> = lines.map(|line| line.concat().trim_end().to_owned()).collect();
        lines.join("\n").trim_end().to_owned()
    }

    pub(super) fn render(self, overview: &Overview, area: Rect, buffer: &mut Buffer) {
        let health = panes::health(self, overview);
        let network = panes::network(overview);
        let lists = panes::lists(overview);
        let peers = panes::peers(self, overview);
        let events = panes::events(self, overview);
        let foot = if self.is_still { 0 } else { 1 };
        if area.width >= WIDE {
            let upper = health.height().max(network.height() + panes::PLOT_ROWS);
            let lower = peers.height().clamp(lists.height(), lists.height() + 4);
            let rows = [
                Constraint::Length(1),
                Constraint::Max(upper),
                Constraint::Max(lower),
                Constraint::Min(5),
                Constraint::Length(foot),
            ];
            let [title, upper, lower, rest, foot] = Layout::vertical(rows).areas(area);
            let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]);
            let [left, right] = halves.areas(upper);
            health.render(left, buffer);
            panes::render_with_plots(network, overview, self.style(Tone::Good), right, buffer);
            let [left, right] = halves.areas(lower);
            peers.render(left, buffer);
            lists.render(right, buffer);
            events.render(rest, buffer);
            self.title(overview, title, buffer);
            self.foot(overview, foot, buffer);
        } else {
            let heights = [
                Constraint::Length(1),
                Constraint::Max(health.height()),
                Constraint::Length(network.height()),
                Constraint::Length(lists.height()),
                Constraint::Max(peers.height()),
                Constraint::Min(4),
                Constraint::Length(foot),
            ];
            let [title, first, second, third, fourth, rest, foot] = Layout::vertical(heights).areas(area);
            health.render(first, buffer);
            network.render(second, buffer);
            lists.render(third, buffer);
            peers.render(fourth, buffer);
            events.render(rest, buffer);
            self.title(overview, title, buffer);
            self.foot(overview, foot, buffer);
        }
    }

    fn title(self, overview: &Overview, area: Rect, buffer: &mut Buffer) {
        let tone = tone_of(&overview.status);
        let uptime = overview.network["uptime"].as_u64().unwrap_or_default();
        let line = Line::from(vec![
            Span::styled(" DataMgmt node ", Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(
                overview.status.clone(),
                self.style(tone).add_modifier(Modifier::BOLD),
            ),
            Span::raw(format!("  up {}  {}", panes::duration(uptime), overview.api)),
        ]);
        line.render(area, buffer);
    }

    fn foot(self, overview: &Overview, area: Rect, buffer: &mut Buffer) {
        let line = match &overview.trouble {
            Some(reason) => Line::styled(format!(" {reason}"), self.style(Tone::Bad)),
            None => Line::styled(" q quits", self.style(Tone::Quiet)),
        };
        Paragraph::new(line).render(area, buffer);
    }

    /// How a text of this tone looks. Without colour what is bad is bold.
    pub(super) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        match (tone, self.has_color) {
            (Tone::Good, true) => style.fg(Color::Green),
            (Tone::Warn, true) => style.fg(Color::Yellow),
            (Tone::Bad, true) => style.fg(Color::Red),
            (Tone::Quiet, true) => style.fg(Color::DarkGray),
            (Tone::Bad, false) => style.add_modifier(Modifier::BOLD),
            (_, false) => style,
        }
    }

    /// A text of this tone.
    pub(super) fn span(self, text: impl Into<String>, tone: Tone) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }
}

/// The tone of a status such as `healthy`.
pub(super) fn tone_of(status: &str) -> Tone {
    match status {
        "healthy" => Tone::Good,
        "degraded" => Tone::Warn,
        _ => Tone::Bad,
    }
}

#[cfg(test)]
mod tests;
