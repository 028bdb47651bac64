//! How figures are printed.

/// A line of the report: what, how much, and beside what.
pub(crate) fn line(what: &str, figure: &str, beside: &str) {
    println!("{what:<44} {figure:>16}   {beside}");
}

/// The middle one of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
