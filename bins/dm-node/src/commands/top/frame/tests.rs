#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ratatui::{Terminal, backend::TestBackend};
use serde_json::json;

use super::*;
use crate::commands::top::overview::tests::{event, look};

fn overview() -> Overview {
    Overview::of("http://127.0.0.1:8081", (look(), vec![event(1), event(2)]))
}

/// What a terminal of this size shows.
fn shown(frame: Frame, overview: &Overview, columns: u16, rows: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|drawn| frame.render(overview, drawn.area(), drawn.buffer_mut()))
        .unwrap();
    terminal
}

fn text(terminal: &Terminal<TestBackend>) -> String {
    terminal.backend().to_string()
}

const COLORED: Frame = Frame {
    has_color: true,
    is_still: false,
};

#[test]
fn a_wide_and_a_narrow_terminal_show_the_same() {
    for (columns, rows) in [(140, 45), (100, 35), (60, 40)] {
        let screen = text(&shown(COLORED, &overview(), columns, rows));
        for told in [
            "degraded  up 2 h 1 min  http://127.0.0.1:8081",
            "chain degraded",
            "no endpoint answers",
            "start one",
            "catalog",
            "2 connected of 3, 12 ms",
            "1000 B in all",
            "7 objects, 2.00 KiB own",
            "the newest 3",
            "2 notified, 1 acknowledged",
            "1 new",
            "42 events, 1 wait for the chain",
            "newest 0xabc",
            "connected     12 ms  12D3KooWAlpha",
            "banned",
            "data.shared",
            "q quits",
        ] {
            assert!(
                screen.contains(told),
                "{columns} columns lack {told:?}:\n{screen}"
            );
        }
    }
}

#[test]
fn an_event_names_its_data_and_the_other_side() {
    let screen = text(&shown(COLORED, &overview(), 100, 35));
    assert!(
        screen.contains("2cf24dba…c5b9e29e  0x709979…17dc79C8"),
        "{screen}"
    );
}

#[test]
fn no_size_of_a_terminal_is_too_small() {
    for columns in [1, 2, 10, 40, 89, 90, 500] {
        for rows in [1, 2, 3, 7, 24, 200] {
            shown(COLORED, &overview(), columns, rows);
        }
    }
}

#[test]
fn without_colour_nothing_is_coloured_and_with_it_health_is() {
    let colors = |has_color| {
        let frame = Frame { has_color, ..COLORED };
        let terminal = shown(frame, &overview(), 100, 40);
        let cells = terminal.backend().buffer().content().iter();
        cells
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    assert_eq!(colors(false), 0);
    assert!(colors(true) > 0);
}

#[test]
fn the_newest_events_are_those_that_are_shown() {
    let mut overview = overview();
    overview.hear((3..100).map(event).collect());
    overview.hear(vec![
        json!({"id": "last", "type": "datamgmt.system.node_stopping", "time": "", "data": {}}),
    ]);
    let screen = text(&shown(COLORED, &overview, 100, 30));
    assert!(screen.contains("system.node_stopping"), "{screen}");
}

#[test]
fn a_node_that_is_away_is_told_at_the_foot_and_its_last_state_stays() {
    let mut overview = overview();
    overview.trouble = Some("no node answers at http://127.0.0.1:8081".to_owned());
    let screen = text(&shown(COLORED, &overview, 100, 30));
    assert!(screen.contains("no node answers at"), "{screen}");
    assert!(screen.contains("2 connected of 3"), "{screen}");
}

#[test]
fn what_strangers_write_moves_nothing_on_the_screen() {
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gpj.exe\u{200b}\r\n";
    let mut overview = overview();
    overview.hear(vec![json!({
        "id": "x", "type": format!("datamgmt.{hostile}"), "time": hostile, "subject": hostile,
        "data": {"component": hostile},
    })]);
    let lines = Frame::plain().lines(&overview, 120, 40);
    assert!(lines.contains("gpj.exe"), "{lines}");
    let directs = |letter: &char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
    let is_hidden = |letter: &char| letter.is_control() || directs(letter);
    let hidden: Vec<char> = lines
        .chars()
        .filter(|letter| *letter != '\n')
        .filter(is_hidden)
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}: {lines}");
}

#[test]
fn one_frame_is_plain_text_without_a_foot() {
    let lines = Frame::plain().lines(&overview(), 100, 50);
    assert!(lines.starts_with(" DataMgmt node degraded"), "{lines}");
    assert!(!lines.contains("q quits") && !lines.ends_with('\n'), "{lines}");
    assert!(lines.lines().all(|line| line.trim_end() == line), "{lines}");
}
