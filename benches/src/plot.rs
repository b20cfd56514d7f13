//! Recall against queries a second as an SVG file: for each engine a line through the medians, a bar from the slowest to
//! the fastest round at each point.

use std::fmt::Write;

use crate::clock::Spread;

/// A line of the plot.
#[derive(Debug)]
pub struct Curve {
    /// For the legend.
    pub name: String,
    /// Recall and queries a second, in order of `ef`.
    pub points: Vec<(f64, Spread)>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 230.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

const COLOURS: [&str; 10] =
    ["#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2", "#7f7f7f", "#bcbd22"];

/// Recall where the horizontal axis begins.
const RECALL_MIN: f64 = 0.85;

/// The whole file.
#[must_use]
pub fn recall_plot(title: &str, curves: &[Curve]) -> String {
    let axes = Axes::around(curves);
    let mut svg = String::new();
    let mut line = |text: &str| writeln!(svg, "{text}").expect("writing to a string cannot fail");
    line(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
    ));
    line("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
    line(&format!("<text x=\"{LEFT}\" y=\"28\" font-size=\"16\">{}</text>", escaped(title)));
    axes.draw(&mut line);
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let shown: Vec<&(f64, Spread)> = curve.points.iter().filter(|point| point.0 >= RECALL_MIN).collect();
        let path: Vec<String> =
            shown.iter().map(|(recall, qps)| format!("{:.1},{:.1}", axes.x(*recall), axes.y(qps.median))).collect();
        line(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        ));
        for (recall, qps) in shown {
            let (x, low, middle, high) = (axes.x(*recall), axes.y(qps.min), axes.y(qps.median), axes.y(qps.max));
            line(&format!("<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.6\"/>"));
            line(&format!("<circle cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
        let (x, y) = (WIDTH - RIGHT + 15.0, TOP + 10.0 + 20.0 * i as f64);
        line(&format!("<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>", y - 10.0));
        line(&format!("<text x=\"{}\" y=\"{y}\">{}</text>", x + 18.0, escaped(&curve.name)));
    }
    let (x, y) = (WIDTH - RIGHT + 15.0, TOP + 30.0 + 20.0 * curves.len() as f64);
    for (i, text) in ["point: median of the rounds", "bar: slowest to fastest round"].into_iter().enumerate() {
        line(&format!("<text x=\"{x}\" y=\"{}\" fill=\"#555\">{text}</text>", y + 16.0 * i as f64));
    }
    line("</svg>");
    svg
}

/// Recall that has a line and a label.
const RECALLS: [f64; 9] = [0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 1.0];

/// What is missed, by its logarithm, so that there is room where engines are compared; a thousandth stands for nothing missed.
fn missed(recall: f64) -> f64 {
    (1.0 - recall + 0.001).ln()
}

/// Recall by the logarithm of what is missed, queries a second by their logarithm.
struct Axes {
    bottom: f64,
    top: f64,
}

impl Axes {
    fn around(curves: &[Curve]) -> Self {
        let spreads = || curves.iter().flat_map(|curve| &curve.points).filter(|point| point.0 >= RECALL_MIN);
        let least = spreads().map(|point| point.1.min).fold(f64::INFINITY, f64::min);
        let most = spreads().map(|point| point.1.max).fold(1.0, f64::max);
        Self { bottom: least.min(most / 2.0).max(1.0).ln(), top: most.ln() }
    }

    fn x(&self, recall: f64) -> f64 {
        let (first, last) = (missed(RECALL_MIN), missed(1.0));
        LEFT + (missed(recall) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, qps: f64) -> f64 {
        HEIGHT - BOTTOM - (qps.max(1.0).ln() - self.bottom) / (self.top - self.bottom) * (HEIGHT - TOP - BOTTOM)
    }

    fn draw(&self, line: &mut impl FnMut(&str)) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for recall in RECALLS {
            let x = self.x(recall);
            line(&format!("<path d=\"M{x:.1} {floor}V{TOP}\" stroke=\"#ddd\"/>"));
            line(&format!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{recall}</text>", floor + 16.0));
        }
        let mut tick = 1.0f64;
        while tick < 1e7 {
            for qps in
                [tick, tick * 2.0, tick * 5.0].into_iter().filter(|qps| (self.bottom..=self.top).contains(&qps.ln()))
            {
                let y = self.y(qps);
                line(&format!("<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>"));
                line(&format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{qps:.0}</text>", LEFT - 6.0, y + 4.0));
            }
            tick *= 10.0;
        }
        let middle = (LEFT + right) / 2.0;
        line(&format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">recall@10</text>", floor + 42.0));
        line(&format!(
            "<text x=\"18\" y=\"{0}\" transform=\"rotate(-90 18 {0})\" text-anchor=\"middle\">queries a second, one thread</text>",
            (TOP + floor) / 2.0
        ));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
