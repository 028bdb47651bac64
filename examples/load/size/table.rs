//! The costs as a table and as charts.

use std::{fs, path::Path};

use dm_testing::plot::{Line, Plot};

use super::Costs;

pub(super) fn heading() {
    println!(
        "{:>10} {:>8} {:>9} {:>8} {:>8} {:>10} {:>10} {:>9} {:>7} {:>9} {:>7} {:>10}",
        "objects",
        "filled/s",
        "disk GiB",
        "start s",
        "killed s",
        "settle CPU",
        "settle MiB",
        "idle MiB",
        "idle %",
        "share ms",
        "ratio",
        "shares MiB",
    );
}

pub(super) fn line(costs: &Costs) {
    println!(
        "{:>10} {:>8.0} {:>9.2} {:>8.2} {:>8.2} {:>10.1} {:>10.0} {:>9.0} {:>7.2} {:>9.2} {:>7.2} {:>10.0}",
        costs.objects,
        costs.fill_rate,
        costs.disk_gib,
        costs.start,
        costs.start_after_kill,
        costs.settling,
        costs.settling_mib,
        costs.idle_mib,
        costs.idle_percent,
        costs.share_ms,
        costs.share_ratio,
        costs.shares_mib,
    );
}

/// Writes a chart of each promise.
pub(crate) fn write_plots(folder: &Path, all: &[Costs]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let write = |name: &str, plot: &Plot| fs::write(folder.join(format!("{name}.svg")), plot.svg());
    let memory = [
        line_of(all, "idle", |costs| costs.idle_mib),
        line_of(all, "at the most after a start", |costs| costs.settling_mib),
        line_of(all, "at the most during shares", |costs| costs.shares_mib),
    ];
    write("size-memory", &plot("resident memory", "MiB", memory.into()))?;
    let starts = [
        line_of(all, "after a close", |costs| costs.start),
        line_of(all, "after a kill", |costs| costs.start_after_kill),
    ];
    write("size-start", &plot("start to healthy", "seconds", starts.into()))?;
    let shares = [line_of(all, "share", |costs| costs.share_ratio)];
    let title = "CPU of a share, beside that of an empty node";
    write("size-share", &plot(title, "times", shares.into()))?;
    let idle = [line_of(all, "idle", |costs| costs.idle_percent)];
    write(
        "size-idle",
        &plot("CPU of an idle node", "% of a core", idle.into()),
    )?;
    Ok(())
}

fn line_of(all: &[Costs], name: &str, cost: impl Fn(&Costs) -> f64) -> Line {
    Line {
        name: name.to_owned(),
        points: all
            .iter()
            .map(|costs| (costs.objects as f64, cost(costs)))
            .collect(),
    }
}

fn plot(title: &'static str, y: &'static str, lines: Vec<Line>) -> Plot {
    Plot {
        title,
        x: "stored objects",
        y,
        log_x: true,
        range: None,
        lines,
    }
}
