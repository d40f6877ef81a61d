//! Drawings in SVG, made here. Each says in words what it shows.

use maud::{Markup, html};

use super::layout::percent;

/// Who answers reads: legacy from the left, modern from the right.
pub(super) fn split(reads: f64) -> Markup {
    let words = format!("modern answers {} of the keys, legacy {}", percent(reads), percent(rest(reads)));
    html! {
        svg.split viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(words) {
            rect.legacy x="0" y="0" width=(rest(reads)) height="6" {}
            rect.modern x=(rest(reads)) y="0" width=(reads) height="6" {}
        }
        p.split-words { span { "legacy " b { (percent(rest(reads))) } } span { "modern " b { (percent(reads)) } } }
    }
}

/// What is left of 100 %, to the hundredth.
fn rest(reads: f64) -> f64 {
    (10_000.0 - reads * 100.0).round() / 100.0
}

/// A percentage at a moment, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) at: i64,
    pub(super) percent: f64,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// How a percentage went up and down until `now`; `points` in the order of time. Nothing without points.
pub(super) fn steps(title: &str, points: &[Point], now: i64, label: impl Fn(i64) -> String) -> Markup {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let told = format!(
        "From {} on {} to {} now, in {} steps; the table of changes tells the last ones.",
        percent(first.percent),
        label(first.at),
        percent(last.percent),
        points.len()
    );
    html! {
        figure.chart {
            figcaption { (title) }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) ": " (told) } {
                @for line in [0.0, 50.0, 100.0] {
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(height(line)) y2=(height(line)) {}
                    text.scale x=(LEFT - 6.0) y=(height(line) + 4.0) text-anchor="end" { (line) " %" }
                }
                path.area d=(path(points, now, true)) {}
                path.line d=(path(points, now, false)) {}
                text.scale x=(LEFT) y=(HEIGHT - 8.0) { (label(first.at)) }
                text.scale x=(WIDTH) y=(HEIGHT - 8.0) text-anchor="end" { "now" }
            }
        }
    }
}

fn height(percent: f64) -> f64 {
    let room = HEIGHT - TOP - BOTTOM;
    ((TOP + room * (1.0 - percent / 100.0)) * 10.0).round() / 10.0
}

fn path(points: &[Point], now: i64, closed: bool) -> String {
    let begin = points.first().map_or(now, |point| point.at);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a few years")]
    let across = |at: i64| {
        let share = (at - begin) as f64 / (now - begin).max(1) as f64;
        ((LEFT + (WIDTH - LEFT) * share.clamp(0.0, 1.0)) * 10.0).round() / 10.0
    };
    let mut path = String::new();
    for (place, point) in points.iter().enumerate() {
        let begun = if place == 0 { format!("M{}", across(point.at)) } else { format!("H{} V", across(point.at)) };
        let gap = if place == 0 { " " } else { "" };
        path.push_str(&format!("{begun}{gap}{} ", height(point.percent)));
    }
    path.push_str(&format!("H{WIDTH}"));
    if closed {
        path.push_str(&format!(" V{} H{LEFT} Z", height(0.0)));
    }
    path
}

/// A measured line: its points in the order of time, in seconds.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// How it is drawn; lines differ in more than their colour.
    pub(super) class: &'static str,
    pub(super) points: Vec<(i64, f64)>,
}

/// What was measured over time, and in words the least, the most and the last of each line.
pub(super) fn lines(title: &str, unit: &str, lines: &[Line]) -> Markup {
    let all = || lines.iter().flat_map(|line| line.points.iter());
    let (Some(from), Some(until)) = (all().map(|point| point.0).min(), all().map(|point| point.0).max()) else {
        return html! { p.soft { (title) ": nothing measured." } };
    };
    let top = all().map(|point| point.1).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let told: Vec<_> = lines.iter().filter_map(|line| in_words(line, unit)).collect();
    html! {
        figure.chart {
            figcaption { (title) ": " (told.join("; ")) "." }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) ": " (told.join("; ")) } {
                @for share in [0.0, 50.0, 100.0] {
                    line.grid x1=(LEFT) x2=(WIDTH) y1=(height(share)) y2=(height(share)) {}
                    text.scale x=(LEFT - 6.0) y=(height(share) + 4.0) text-anchor="end" { (figure(top * share / 100.0)) }
                }
                @for line in lines { path class={ "line " (line.class) } d=(measured(line, from, until, top)) {} }
                text.scale x=(WIDTH) y=(HEIGHT - 8.0) text-anchor="end" { (unit) ", until now" }
            }
        }
    }
}

fn in_words(line: &Line, unit: &str) -> Option<String> {
    let values = || line.points.iter().map(|point| point.1);
    let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    let last = values().next_back()?;
    Some(format!("{} {} {unit} (from {} to {})", line.name, figure(last), figure(least), figure(most)))
}

/// With as many digits as say something.
fn figure(value: f64) -> String {
    let text = if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn measured(line: &Line, from: i64, until: i64, top: f64) -> String {
    let mut path = String::new();
    for (place, (at, value)) in line.points.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a few days")]
        let share = (at - from) as f64 / (until - from).max(1) as f64;
        let across = ((LEFT + (WIDTH - LEFT) * share) * 10.0).round() / 10.0;
        path.push_str(&format!("{}{across} {} ", if place == 0 { 'M' } else { 'L' }, height(value / top * 100.0)));
    }
    // A single point would not be seen.
    if line.points.len() == 1 { path + "h4" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_adds_up_whatever_the_percentage() {
        for (reads, legacy) in [(0.0, "100 %"), (12.34, "87.66 %"), (99.99, "0.01 %"), (100.0, "0 %")] {
            let drawn = split(reads).into_string();
            assert!(drawn.contains(&format!("<b>{legacy}</b>")), "{reads}: {drawn}");
        }
    }

    #[test]
    fn a_chart_goes_in_steps_from_the_first_change_until_now() {
        let points = [Point { at: 0, percent: 0.0 }, Point { at: 50, percent: 100.0 }];
        assert_eq!(path(&points, 100, false), "M44 134 H382 V10 H720");
        assert_eq!(steps("Reads", &[], 100, |_| String::new()).into_string(), "");
    }

    #[test]
    fn measured_lines_fit_their_frame_and_are_told_in_words() {
        let line = |points| Line { name: "modern", class: "modern", points };
        let drawn = lines("Latency", "ms", &[line(vec![(0, 5.0), (10, 20.0), (20, 10.0)])]).into_string();
        assert!(drawn.contains("d=\"M44 103 L382 10 L720 72 \""), "{drawn}");
        assert!(drawn.contains("Latency: modern 10 ms (from 5 to 20)"), "{drawn}");
        assert!(lines("Latency", "ms", &[line(vec![])]).into_string().contains("nothing measured"));
    }
}
