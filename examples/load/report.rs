//! How figures are printed.

/// A line of the report: what, how much, and beside what.
pub(crate) fn line(what: &str, figure: &str, beside: &str) {
    println!("{what:<44} {figure:>16}   {beside}");
}

/// The middle one of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    quantile(&figures, 0.5)
}

/// The figure that so large a part of sorted figures is below.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part) as usize;
    let place = place.min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
