//! What stands in each part of the screen.

use dm_core::clock::now_ms;
use indicatif::HumanBytes;
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, Paragraph, Sparkline, Widget},
};
use serde_json::Value;

use super::{
    frame::{Frame, Tone, tone_of},
    overview::{Overview, Rate, Tally},
};
use crate::times;

/// Rows of the plots below the figures of the network.
pub(super) const PLOT_ROWS: u16 = 6;

/// A box with lines in it.
pub(super) struct Pane {
    title: &'static str,
    lines: Vec<Line<'static>>,
    /// Whether the last lines are shown where there is no room for all.
    follows_end: bool,
}

impl Pane {
    fn new(title: &'static str, lines: Vec<Line<'static>>) -> Self {
        Self {
            title,
            lines,
            follows_end: false,
        }
    }

    /// Rows with the border.
    pub(super) fn height(&self) -> u16 {
        u16::try_from(self.lines.len())
            .unwrap_or(u16::MAX)
            .saturating_add(2)
    }

    pub(super) fn render(self, area: Rect, buffer: &mut Buffer) {
        let title = Span::styled(
            format!(" {} ", self.title),
            Style::new().add_modifier(Modifier::BOLD),
        );
        let block = Block::bordered().border_type(BorderType::Rounded).title(title);
        let room = usize::from(block.inner(area).height);
        let hidden = match self.follows_end {
            true => self.lines.len().saturating_sub(room),
            false => 0,
        };
        let lines: Vec<Line<'static>> = self.lines.into_iter().skip(hidden).collect();
        Paragraph::new(lines).block(block).render(area, buffer);
    }
}

/// The parts, those that are not well first and with the reason.
pub(super) fn health(frame: Frame, overview: &Overview) -> Pane {
    let parts = overview.parts.as_object().into_iter().flatten();
    let status = |part: &Value| part["status"].as_str().unwrap_or("unknown").to_owned();
    let (well, ill): (Vec<_>, Vec<_>) = parts.partition(|(_, part)| status(part) == "healthy");
    let mut lines = Vec::new();
    for (name, part) in ill {
        let status = status(part);
        let since = part["since"].as_u64().unwrap_or_default();
        let duration = duration(now_ms().saturating_sub(since) / 1000);
        lines.push(Line::from(vec![
            frame.span("● ", tone_of(&status)),
            Span::styled(name.clone(), Style::new().add_modifier(Modifier::BOLD)),
            Span::raw(format!(" {status} for {duration}")),
        ]));
        for field in ["reason", "action"] {
            lines.extend(part[field].as_str().map(|text| Line::raw(format!("  {text}"))));
        }
    }
    let well: Vec<&str> = well.into_iter().map(|(name, _)| name.as_str()).collect();
    for names in well.chunks(2) {
        let spans = names
            .iter()
            .flat_map(|name| [frame.span("● ", Tone::Good), Span::raw(format!("{name:<14} "))]);
        lines.push(Line::from(spans.collect::<Vec<_>>()));
    }
    Pane::new("Health", lines)
}

pub(super) fn network(overview: &Overview) -> Pane {
    let (network, storage) = (&overview.network, &overview.storage);
    let count = |of: &Value| of.as_u64().unwrap_or_default();
    let latency = network["avg_latency_ms"]
        .as_f64()
        .map_or_else(String::new, |ms| format!(", {ms:.0} ms"));
    let rate = |bytes: fn(Rate) -> u64| {
        let rate = overview.rate().map(bytes);
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", HumanBytes(rate)))
    };
    let line = |name: &str, text: String| Line::raw(format!("{name:<9} {text}"));
    let total = |field: &str| HumanBytes(count(&network[field]));
    let damaged = match count(&storage["damaged"]) {
        0 => String::new(),
        damaged => format!(", {damaged} damaged"),
    };
    let lines = vec![
        line(
            "peers",
            format!(
                "{} connected of {}{latency}",
                count(&network["active_peers"]),
                count(&network["total_peers"])
            ),
        ),
        line(
            "sent",
            format!("{:<14} {} in all", rate(|rate| rate.sent), total("data_sent")),
        ),
        line(
            "received",
            format!(
                "{:<14} {} in all",
                rate(|rate| rate.received),
                total("data_received")
            ),
        ),
        line(
            "stored",
            format!(
                "{} objects{damaged}, {} own, {} of others",
                count(&storage["objects"]),
                HumanBytes(count(&storage["own_bytes"])),
                HumanBytes(count(&storage["foreign_bytes"])),
            ),
        ),
    ];
    Pane::new("Network", lines)
}

/// The figures of the network, and the rates below them as plots.
pub(super) fn render_with_plots(
    network: Pane,
    overview: &Overview,
    style: Style,
    area: Rect,
    buffer: &mut Buffer,
) {
    let figures = u16::try_from(network.lines.len()).unwrap_or(u16::MAX);
    network.render(area, buffer);
    let inner = Block::bordered().inner(area);
    let [_, plots] = Layout::vertical([Constraint::Length(figures), Constraint::Fill(1)]).areas(inner);
    let [sent, _, received] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(1), Constraint::Fill(1)]).areas(plots);
    let of_sent: fn(&Rate) -> u64 = |rate| rate.sent;
    let of_received: fn(&Rate) -> u64 = |rate| rate.received;
    for (name, area, of) in [("sent", sent, of_sent), ("received", received, of_received)] {
        let room = usize::from(area.width);
        let hidden = overview.rates.len().saturating_sub(room);
        let values: Vec<u64> = overview.rates.iter().skip(hidden).map(of).collect();
        let most = values.iter().copied().max().unwrap_or_default();
        let title = format!("{name}, at most {}/s", HumanBytes(most));
        Sparkline::default()
            .block(Block::new().title(title))
            .data(values)
            // What is next to nothing looks like it.
            .max(most.max(1024))
            .style(style)
            .render(area, buffer);
    }
}

/// Shares, inbox and anchors.
pub(super) fn lists(overview: &Overview) -> Pane {
    let anchors = &overview.anchors;
    let newest = anchors.newest.as_deref();
    let newest = newest.map_or_else(
        || "none yet".to_owned(),
        |tx_hash| format!("newest {}", short(tx_hash)),
    );
    let mut lines = tally(
        "shares",
        &overview.shares,
        &[
            "shared",
            "notified",
            "acknowledged",
            "revoked",
            "erased",
            "expired",
        ],
    );
    lines.extend(tally(
        "inbox",
        &overview.inbox,
        &["new", "fetched", "acknowledged", "revoked", "erased", "expired"],
    ));
    let waiting = format!(
        "{} events, {} wait for the chain",
        anchors.events, anchors.waiting
    );
    lines.push(Line::raw(format!("{:<9} {waiting}", "log")));
    lines.push(Line::raw(format!("{:<9} {newest}", "anchor")));
    Pane::new("Shares, inbox, anchors", lines)
}

/// Two lines: how many there are, and in which states.
fn tally(name: &str, tally: &Tally, states: &[&str]) -> Vec<Line<'static>> {
    let total: usize = tally.by_state.values().sum();
    let count = match tally.has_more {
        true => format!("the newest {total}"),
        false => total.to_string(),
    };
    let known = states
        .iter()
        .filter_map(|state| tally.by_state.get_key_value(*state));
    let by_state: Vec<String> = known.map(|(state, count)| format!("{count} {state}")).collect();
    vec![
        Line::raw(format!("{name:<9} {count}")),
        Line::raw(format!("{:<9} {}", "", by_state.join(", "))),
    ]
}

/// The peers, those that are connected first.
pub(super) fn peers(frame: Frame, overview: &Overview) -> Pane {
    let mut peers: Vec<&Value> = overview.peers.iter().collect();
    peers.sort_by_key(|peer| !peer["connected"].as_bool().unwrap_or_default());
    let mut lines: Vec<Line<'static>> = peers.into_iter().map(|peer| peer_line(frame, peer)).collect();
    if lines.is_empty() {
        lines.push(Line::raw("no peers are known yet"));
    }
    Pane::new("Peers", lines)
}

fn peer_line(frame: Frame, peer: &Value) -> Line<'static> {
    let is = |field: &str| peer[field].as_bool().unwrap_or_default();
    let (state, tone) = match (peer["banned_until"].is_null(), is("connected"), is("healthy")) {
        (false, ..) => ("banned", Tone::Bad),
        (true, false, _) => ("away", Tone::Quiet),
        (true, true, true) => ("connected", Tone::Good),
        (true, true, false) => ("failing", Tone::Warn),
    };
    let id = peer["peer_id"].as_str().unwrap_or_default();
    let latency = peer["latency_ms"]
        .as_u64()
        .map_or_else(String::new, |ms| format!("{ms} ms"));
    Line::from(vec![
        frame.span("● ", tone),
        Span::raw(format!("{state:<10} {latency:>8}  {}", short(id))),
    ])
}

/// The newest events, as far as there is room.
pub(super) fn events(frame: Frame, overview: &Overview) -> Pane {
    let mut lines: Vec<Line<'static>> = overview
        .events
        .iter()
        .map(|event| event_line(frame, event))
        .collect();
    if lines.is_empty() {
        lines.push(Line::raw("nothing has happened yet"));
    }
    Pane {
        follows_end: true,
        ..Pane::new("Events", lines)
    }
}

fn event_line(frame: Frame, event: &Value) -> Line<'static> {
    let kind = event["type"].as_str().unwrap_or_default();
    let topic = kind.strip_prefix("datamgmt.").unwrap_or(kind).to_owned();
    let tone = match topic.as_str() {
        "system.error" | "token.transfer_failed" => Tone::Bad,
        "data.revoked" | "data.erased" | "data.expired" | "health.component_change" => Tone::Warn,
        "data.acknowledged" | "share.anchored" | "token.transfer_completed" => Tone::Good,
        _ => Tone::Quiet,
    };
    let data = &event["data"];
    let subject = event["subject"].as_str().map(short);
    let party = ["recipient", "owner", "component", "reason", "symbol"]
        .into_iter()
        .find_map(|field| data[field].as_str())
        .map(short);
    let state = match data["connected"].as_bool() {
        Some(true) => Some("can be reached"),
        Some(false) => Some("cannot be reached"),
        None => data["health"]["status"].as_str(),
    };
    let details: Vec<String> = subject
        .into_iter()
        .chain(party)
        .chain(state.map(str::to_owned))
        .collect();
    Line::from(vec![
        Span::raw(format!(
            "{} ",
            times::clock(event["time"].as_str().unwrap_or_default())
        )),
        frame.span("● ", tone),
        Span::raw(format!("{topic:<26} {}", details.join("  "))),
    ])
}

/// Seconds, as people say them.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A hash, an address or another long text, cut in its middle.
fn short(text: &str) -> String {
    const ENDS: usize = 8;
    let letters: Vec<char> = text.chars().collect();
    match letters.len() > 3 * ENDS {
        true => {
            let begin: String = letters[..ENDS].iter().collect();
            let end: String = letters[letters.len() - ENDS..].iter().collect();
            format!("{begin}…{end}")
        }
        false => text.to_owned(),
    }
}
