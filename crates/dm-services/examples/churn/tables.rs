use crate::sim::Outcome;

/// One scenario's figures as a line of a table.
pub(crate) fn line(name: &str, outcome: &Outcome) {
    println!(
        "{name:>14} {:>6} {:>11.4} {:>11.4} {:>8.2} {:>8.0} {:>8.0} {:>10.2} {:>10.1} {:>10.2} {:>7.1}",
        outcome.lost,
        100.0 * outcome.worst_readable(),
        100.0 * outcome.mean_readable(),
        outcome.mean_copies(),
        outcome.repair_time(0.5),
        outcome.repair_time(0.99),
        outcome.copies_per_node_day(),
        outcome.challenges_per_node_hour(),
        outcome.searches_per_node_hour(),
        outcome.took.as_secs_f64(),
    );
}

/// What stands in the columns.
pub(crate) fn heading(title: &str, first: &str) {
    println!("\n{title}");
    println!(
        "{first:>14} {:>6} {:>11} {:>11} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>7}",
        "lost",
        "worst %",
        "mean %",
        "copies",
        "p50 s",
        "p99 s",
        "copies/d",
        "asked/h",
        "searched/h",
        "took s",
    );
}
