//! A week of nodes that come and go: is anything lost, what can be read, and
//! what does it cost? Prints tables and, given a folder, writes plots there.
//!
//! `cargo run --release -p dm-services --example churn -- docs/plots`; `week`,
//! `attacked` or `sweeps` behind the folder does one part of it.

use std::{env, fs, path::Path};

mod sim;
mod tables;

use dm_testing::plot::{Line, Plot};
use sim::{MINUTE, Outcome, Random, Scenario, hops};
use tables::{heading, line};

fn main() -> std::io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (folder, part) = (arguments.next(), arguments.next());
    let wants = |name: &str| part.as_deref().is_none_or(|part| part == name);
    let mut plots = Vec::new();
    if wants("week") {
        plots.push(("readable-week", week_plot(&promised())));
    }
    if wants("attacked") {
        heading(
            "a week, factor 3, 1 % an hour leaves for good, 1 % is malicious",
            "nodes",
        );
        for nodes in [1_000, 10_000] {
            line(&nodes.to_string(), &Scenario::attacked(nodes).run());
        }
    }
    if wants("sweeps") {
        plots.extend(sweeps());
    }
    if let Some(folder) = folder {
        fs::create_dir_all(&folder)?;
        for (name, plot) in plots {
            fs::write(Path::new(&folder).join(format!("{name}.svg")), plot.svg())?;
        }
    }
    Ok(())
}

/// What is promised, in two sizes.
fn promised() -> Vec<Outcome> {
    heading("a week, factor 3, a tenth leaves each hour", "nodes");
    let sizes = [1_000, 10_000];
    let run = |nodes: usize| {
        let outcome = Scenario::promised(nodes).run();
        line(&nodes.to_string(), &outcome);
        outcome
    };
    sizes.map(run).into()
}

fn sweeps() -> Vec<(&'static str, Plot)> {
    let base = Scenario::promised(1_000);
    let factor = sweep("factor", &[1.0, 2.0, 3.0, 4.0, 5.0], |factor| {
        let mut scenario = base;
        scenario.config.factor = factor as u32;
        scenario
    });
    let churn = sweep("% leave/h", &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0], |percent| {
        Scenario {
            leaving: percent / 100.0,
            ..base
        }
    });
    let grace = sweep("grace min", &[0.0, 2.0, 10.0, 30.0, 60.0, 120.0], |minutes| {
        let mut scenario = base;
        scenario.config.grace = (minutes * MINUTE as f64) as u64;
        scenario
    });
    let size = sweep("nodes", &[100.0, 300.0, 1_000.0, 3_000.0], |nodes| {
        Scenario::promised(nodes as usize)
    });
    let readable = |outcome: &Outcome| 100.0 * outcome.worst_readable();
    let lost = |outcome: &Outcome| 100.0 * outcome.lost as f64 / outcome.scenario.objects as f64;
    vec![
        (
            "readable-factor",
            plot(
                "readable at the worst moment",
                "factor",
                "% of objects",
                &factor,
                readable,
            ),
        ),
        (
            "lost-factor",
            plot("lost in a week", "factor", "% of objects", &factor, lost),
        ),
        (
            "readable-churn",
            plot(
                "readable at the worst moment",
                "% of nodes that leave in an hour",
                "% of objects",
                &churn,
                readable,
            ),
        ),
        (
            "readable-repair-time",
            plot_by(
                "readable at the worst moment, by time to repair",
                "minutes until half of the losses are repaired",
                "% of objects",
                &grace,
                |outcome| outcome.repair_time(0.5) / 60.0,
                readable,
            ),
        ),
        (
            "copies-churn",
            plot(
                "copies that a node makes in a day",
                "% of nodes that leave in an hour",
                "copies",
                &churn,
                Outcome::copies_per_node_day,
            ),
        ),
        ("traffic-size", traffic_plot(&size)),
        ("hops-size", hops_plot()),
    ]
}

type Sweep = Vec<(f64, Outcome)>;

fn sweep(what: &str, values: &[f64], scenario: impl Fn(f64) -> Scenario) -> Sweep {
    heading("1,000 nodes unless it says otherwise, a week", what);
    let run = |value: &f64| {
        let outcome = scenario(*value).run();
        line(&value.to_string(), &outcome);
        (*value, outcome)
    };
    values.iter().map(run).collect()
}

fn plot(
    title: &'static str,
    x: &'static str,
    y: &'static str,
    sweep: &Sweep,
    value: impl Fn(&Outcome) -> f64,
) -> Plot {
    let points = sweep.iter().map(|(x, outcome)| (*x, value(outcome))).collect();
    single(title, x, y, points)
}

fn plot_by(
    title: &'static str,
    x: &'static str,
    y: &'static str,
    sweep: &Sweep,
    at: impl Fn(&Outcome) -> f64,
    value: impl Fn(&Outcome) -> f64,
) -> Plot {
    let points = sweep
        .iter()
        .map(|(_, outcome)| (at(outcome), value(outcome)))
        .collect();
    single(title, x, y, points)
}

fn single(title: &'static str, x: &'static str, y: &'static str, points: Vec<(f64, f64)>) -> Plot {
    let low = points.iter().map(|(_, y)| *y).fold(f64::MAX, f64::min);
    let near_all = low > 50.0 && points.iter().all(|(_, y)| *y <= 100.0);
    Plot {
        title,
        x,
        y,
        log_x: false,
        range: near_all.then_some(((low - (100.0 - low) * 0.2).max(0.0), 100.0)),
        lines: vec![Line {
            name: String::new(),
            points,
        }],
    }
}

fn week_plot(weeks: &[Outcome]) -> Plot {
    let line = |outcome: &Outcome| {
        // The worst minute of each hour.
        let hours = outcome.samples.chunks(60).map(|hour| {
            let part = |sample: &sim::Sample| 100.0 * sample.readable as f64 / sample.objects.max(1) as f64;
            let worst = hour.iter().filter(|sample| sample.objects > 0).map(part);
            (hour[0].minute as f64 / 1440.0, worst.fold(100.0, f64::min))
        });
        Line {
            name: format!("{} nodes", outcome.scenario.nodes),
            points: hours.collect(),
        }
    };
    Plot {
        title: "readable objects, the worst minute of each hour",
        x: "days",
        y: "% of objects",
        log_x: false,
        range: Some((99.8, 100.0)),
        lines: weeks.iter().map(line).collect(),
    }
}

fn traffic_plot(size: &Sweep) -> Plot {
    let line = |name: &str, value: fn(&Outcome) -> f64| Line {
        name: name.to_owned(),
        points: size
            .iter()
            .map(|(nodes, outcome)| (*nodes, value(outcome)))
            .collect(),
    };
    Plot {
        title: "work of a node as the network grows, one object for each node",
        x: "nodes",
        y: "per node",
        log_x: true,
        range: None,
        lines: vec![
            line("copies in a day", Outcome::copies_per_node_day),
            line("challenges in an hour", Outcome::challenges_per_node_hour),
        ],
    }
}

fn hops_plot() -> Plot {
    println!("\n{:>14} {:>8}", "nodes", "hops");
    let mut random = Random::new(7);
    let points = [100usize, 1_000, 10_000, 100_000, 1_000_000].map(|nodes| {
        let lookups = 1_000;
        let sum: u32 = (0..lookups).map(|_| hops(nodes, &mut random)).sum();
        let mean = f64::from(sum) / f64::from(lookups);
        println!("{nodes:>14} {mean:>8.2}");
        (nodes as f64, mean)
    });
    Plot {
        title: "hops of a lookup as the network grows",
        x: "nodes",
        y: "hops",
        log_x: true,
        range: None,
        lines: vec![Line {
            name: String::new(),
            points: points.into(),
        }],
    }
}
