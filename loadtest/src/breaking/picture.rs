//! Deliveries per second and the 99th percentile over time, the fault marked: SVG. Pure.

use std::fmt::Write as _;

use super::times::Point;

/// What a picture is drawn from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Story {
    pub(super) name: String,
    /// Seconds from the fault until all stood again.
    pub(super) repaired: f64,
    pub(super) points: Vec<Point>,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const PANEL: f64 = 120.0;
const TOP: f64 = 22.0;
const BETWEEN: f64 = 30.0;
const BOTTOM: f64 = 26.0;
const HEIGHT: f64 = TOP + PANEL + BETWEEN + PANEL + BOTTOM;

/// Seconds and pixels.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn of(story: &Story) -> Self {
        let ats = || story.points.iter().map(|point| point.at);
        let from = ats().fold(0.0, f64::min);
        let to = ats().fold(story.repaired, f64::max) + 0.5;
        Self { from, to }
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + (at - self.from) / (self.to - self.from) * (WIDTH - LEFT - RIGHT)
    }
}

/// The picture of a round, to stand in a page.
pub(super) fn svg(story: &Story) -> String {
    let axis = Axis::of(story);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        story.name
    );
    let (fault, repaired) = (axis.x(0.0), axis.x(story.repaired));
    let (top, low) = (TOP, TOP + PANEL + BETWEEN);
    for panel in [top, low] {
        line(
            &mut out,
            "broken",
            &[format!(
                "M{fault:.1} {panel:.1}H{repaired:.1}V{:.1}H{fault:.1}Z",
                panel + PANEL
            )],
        );
        line(
            &mut out,
            "frame",
            &[format!(
                "M{LEFT} {panel}V{:.1}H{:.1}",
                panel + PANEL,
                WIDTH - RIGHT
            )],
        );
    }
    rates(&mut out, story, &axis, top);
    latencies(&mut out, story, &axis, low);
    for panel in [top, low] {
        line(
            &mut out,
            "fault",
            &[format!("M{fault:.1} {panel:.1}v{PANEL}")],
        );
    }
    text(&mut out, fault + 4.0, top - 6.0, "start", "fault");
    ticks(&mut out, &axis, low + PANEL);
    out.push_str("</svg>\n");
    out
}

/// Arrivals a second, from 0.
fn rates(out: &mut String, story: &Story, axis: &Axis, top: f64) {
    let most = story.points.iter().map(|point| point.per_second);
    let most = most.fold(1.0, f64::max);
    let y = |rate: f64| top + PANEL * (1.0 - rate / most);
    text(out, LEFT - 6.0, top + 4.0, "end", &format!("{most:.0}"));
    text(out, LEFT - 6.0, top + PANEL, "end", "0");
    text(out, LEFT, top - 6.0, "start", "deliveries/s");
    let points = story.points.iter();
    let path = points.map(|point| (axis.x(point.at + 0.25), y(point.per_second)));
    line(out, "rate", &[path_of(path)]);
}

/// In ms, each decade as high as the next; broken where nothing came.
fn latencies(out: &mut String, story: &Story, axis: &Axis, top: f64) {
    let most = story.points.iter().filter_map(|point| point.p99_ms);
    let decades = most.fold(10.0, f64::max).log10().ceil();
    let y = |ms: f64| top + PANEL * (1.0 - ms.max(1.0).log10() / decades);
    text(out, LEFT, top - 6.0, "start", "p99, ms");
    let mut decade = 0.0;
    while decade <= decades {
        let at = y(10_f64.powf(decade));
        line(
            out,
            "grid",
            &[format!("M{LEFT} {at:.1}H{:.1}", WIDTH - RIGHT)],
        );
        text(
            out,
            LEFT - 6.0,
            at + 4.0,
            "end",
            &format!("{:.0}", 10_f64.powf(decade)),
        );
        decade += 1.0;
    }
    let stretches = story.points.split(|point| point.p99_ms.is_none());
    let paths: Vec<String> = stretches
        .filter(|stretch| !stretch.is_empty())
        .map(|stretch| {
            let points = stretch
                .iter()
                .filter_map(|point| Some((point.at, point.p99_ms?)));
            path_of(points.map(|(at, ms)| (axis.x(at + 0.25), y(ms))))
        })
        .collect();
    line(out, "p99", &paths);
}

/// Every 5 s from the fault.
fn ticks(out: &mut String, axis: &Axis, bottom: f64) {
    let mut at = (axis.from / 5.0).ceil() * 5.0;
    while at <= axis.to {
        text(
            out,
            axis.x(at),
            bottom + 16.0,
            "middle",
            &format!("{at:.0} s"),
        );
        at += 5.0;
    }
}

/// Points as a path; a single one as a dot.
fn path_of(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        _ = write!(path, "{command}{x:.1} {y:.1}");
    }
    if !path.contains('L') {
        path.push_str("h2");
    }
    path
}

fn line(out: &mut String, class: &str, paths: &[String]) {
    _ = writeln!(out, "<path class=\"{class}\" d=\"{}\"/>", paths.concat());
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story() -> Story {
        let point = |at, per_second, p99_ms| Point {
            at,
            per_second,
            p99_ms,
        };
        Story {
            name: "was-kill".to_owned(),
            repaired: 1.0,
            points: vec![
                point(-1.0, 100.0, Some(10.0)),
                point(-0.5, 100.0, Some(10.0)),
                point(0.0, 0.0, None),
                point(0.5, 200.0, Some(900.0)),
                point(1.0, 100.0, Some(20.0)),
            ],
        }
    }

    fn path(svg: &str, class: &str) -> String {
        let start = format!("<path class=\"{class}\" d=\"");
        let (_, rest) = svg.split_once(&start).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    #[test]
    fn every_point_is_drawn_and_the_fault_marked() {
        let svg = svg(&story());
        let rate = path(&svg, "rate");
        assert_eq!(rate.matches(['M', 'L']).count(), 5, "{rate}");
        // From −1 to 1.5 s over 784 pixels from 64 on: the fault is at 0.4 of it.
        assert_eq!(path(&svg, "fault"), "M377.6 22.0v120");
        // The most of all touches the top, nothing at all the bottom.
        assert!(rate.contains(" 22.0") && rate.contains(" 142.0"), "{rate}");
    }

    #[test]
    fn the_line_breaks_where_nothing_came() {
        let svg = svg(&story());
        let p99 = path(&svg, "p99");
        assert_eq!(
            (p99.matches('M').count(), p99.matches('L').count()),
            (2, 2),
            "{p99}"
        );
    }

    #[test]
    fn no_arrival_at_all_is_a_picture_too() {
        let empty = Story {
            points: Vec::new(),
            ..story()
        };
        let svg = svg(&empty);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
