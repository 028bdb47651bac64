//! Line charts as plain SVG.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700"];

/// A line through points.
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Where it goes through: horizontal and vertical.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
pub struct Plot {
    /// Its heading.
    pub title: &'static str,
    /// What the horizontal axis shows.
    pub x: &'static str,
    /// What the vertical axis shows.
    pub y: &'static str,
    /// Whether a step on the horizontal axis is a factor.
    pub log_x: bool,
    /// Where the vertical axis begins and ends; else it fits the points.
    pub range: Option<(f64, f64)>,
    /// The lines; a legend names them where there are several.
    pub lines: Vec<Line>,
}

impl Plot {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let (x0, x1) = self.x_range();
        let (y0, y1) = self.y_range();
        let at_x = |x: f64| LEFT + (self.scale(x) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{}\" y=\"22\" text-anchor=\"middle\" font-size=\"15\">{}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            WIDTH / 2.0,
            self.title,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 12.0,
            self.x,
            (TOP + HEIGHT - BOTTOM) / 2.0,
            self.y,
        );
        for step in 0..=4 {
            let y = y0 + (y1 - y0) * f64::from(step) / 4.0;
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {0:.1}H{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
                at_y(y),
                WIDTH - RIGHT,
                LEFT - 6.0,
                at_y(y) + 4.0,
                number(y),
            );
        }
        for x in self.ticks() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                at_x(x),
                HEIGHT - BOTTOM + 18.0,
                number(x),
            );
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(y.clamp(y0, y1))))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
                points.join(" "),
            );
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        if self.lines.len() < 2 {
            return;
        }
        for (index, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let y = TOP + 14.0 + 16.0 * index as f64;
            let _ = writeln!(
                svg,
                "<path d=\"M{0} {1}h18\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{2}\" y=\"{3}\">{4}</text>",
                WIDTH - 170.0,
                y - 4.0,
                WIDTH - 146.0,
                y,
                line.name,
            );
        }
    }

    /// Where the horizontal axis is labelled: at the points, where they are few.
    fn ticks(&self) -> Vec<f64> {
        let mut xs: Vec<f64> = self.points().map(|(x, _)| x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        if xs.len() <= 10 {
            return xs;
        }
        let (first, last) = (xs[0], xs[xs.len() - 1]);
        (0..=7)
            .map(|step| first + (last - first) * f64::from(step) / 7.0)
            .collect()
    }

    fn scale(&self, x: f64) -> f64 {
        if self.log_x { x.ln() } else { x }
    }

    fn x_range(&self) -> (f64, f64) {
        spread(self.points().map(|(x, _)| self.scale(x)))
    }

    fn y_range(&self) -> (f64, f64) {
        self.range.unwrap_or_else(|| {
            let (_, high) = spread(self.points().map(|(_, y)| y));
            (0.0, if high > 0.0 { high * 1.05 } else { 1.0 })
        })
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.lines.iter().flat_map(|line| line.points.iter().copied())
    }
}

fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low < high {
        (low, high)
    } else {
        (low - 1.0, low + 1.0)
    }
}

fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
