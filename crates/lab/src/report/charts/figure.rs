//! Figures: panels of lines and points with one legend, in colours that the colour-blind tell apart.

use plotly::common::{
    Anchor, DashType, ErrorData, ErrorType, Line, LineShape, Marker, MarkerSymbol, Mode, Orientation, Position,
};
use plotly::layout::{Axis, GroupClick, Legend, Margin};
use plotly::{Layout, Scatter, Traces};
use serde::Serialize;

/// The colours of Okabe and Ito that show on white as well as on black: their yellow is left out, their black is grey.
const COLOURS: [&str; 7] = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8A8A8A"];

/// The symbols of points, for one round of the colours each.
const SYMBOLS: [MarkerSymbol; 6] = [
    MarkerSymbol::Circle,
    MarkerSymbol::Square,
    MarkerSymbol::Diamond,
    MarkerSymbol::Cross,
    MarkerSymbol::TriangleUp,
    MarkerSymbol::Star,
];

/// Names that stand in a row of the legend, about, and the height of a row, pixels.
const LEGEND: [usize; 2] = [4, 20];

/// The ends of the scale of what has an order, such as blocks: blue and orange of the same palette.
const SCALE: [[u8; 3]; 2] = [[0x00, 0x72, 0xB2], [0xE6, 0x9F, 0x00]];

/// A point of a line.
pub struct Point {
    /// Its place on the horizontal axis.
    pub x: f64,
    /// Its place on the vertical axis.
    pub y: f64,
    /// What is shown of it under the pointer, after the line's name.
    pub text: String,
}

/// How a line is drawn.
#[derive(Clone)]
pub struct Look {
    colour: String,
    dash: DashType,
    symbol: MarkerSymbol,
}

impl Look {
    /// The look of one of several lines without an order: first colours change, then dashes and the symbols of points.
    pub fn of(index: usize) -> Self {
        let dashes = [DashType::Solid, DashType::Dash, DashType::Dot, DashType::DashDot];
        let dash = dashes[index / COLOURS.len() % dashes.len()].clone();
        let symbol = SYMBOLS[index / COLOURS.len() % SYMBOLS.len()].clone();
        Self { colour: COLOURS[index % COLOURS.len()].into(), dash, symbol }
    }

    /// The look of one of `count` lines in order.
    pub fn in_order(index: usize, count: usize) -> Self {
        let part = index as f64 / count.saturating_sub(1).max(1) as f64;
        let [from, to] = SCALE;
        let mixed = |channel: usize| {
            let (from, to) = (f64::from(from[channel]), f64::from(to[channel]));
            (from + part * (to - from)).round() as u8
        };
        Self {
            colour: format!("#{:02X}{:02X}{:02X}", mixed(0), mixed(1), mixed(2)),
            dash: DashType::Solid,
            symbol: MarkerSymbol::Circle,
        }
    }

    /// The look of what the others are compared with.
    pub fn whole() -> Self {
        Self { colour: COLOURS[6].into(), dash: DashType::Dash, symbol: MarkerSymbol::Circle }
    }
}

/// A figure in the making.
pub struct Figure {
    traces: Traces,
    layout: Layout,
    /// The names in the legend so far.
    named: Vec<String>,
    /// The height of its panels, pixels.
    height: usize,
}

/// A figure as plotly.js takes it.
#[derive(Serialize)]
struct Drawing<'a> {
    data: &'a Traces,
    layout: &'a Layout,
}

impl Figure {
    /// A figure of up to four panels, two a row, each with the titles of its two axes.
    pub fn new(panels: &[[&str; 2]]) -> Self {
        let legend = Legend::new()
            .orientation(Orientation::Horizontal)
            .x(0.0)
            .x_anchor(Anchor::Left)
            .y(1.03)
            .y_anchor(Anchor::Bottom)
            .group_click(GroupClick::ToggleGroup)
            .trace_group_gap(4);
        let margin = Margin::new().left(60).right(20).top(20).bottom(50);
        let layout = Layout::new().legend(legend).show_legend(true).margin(margin);
        let rows = panels.len().div_ceil(2);
        let columns = panels.len().min(2);
        let with_panel = |layout: Layout, (panel, [x_title, y_title]): (usize, &[&str; 2])| {
            let number = number(panel);
            let row = rows - 1 - panel / 2; // the first row on top
            let x = Axis::new().title(*x_title).domain(&domain(panel % 2, columns, 0.1)).anchor(format!("y{number}"));
            let y = Axis::new().title(*y_title).domain(&domain(row, rows, 0.17)).anchor(format!("x{number}"));
            with_axes(layout, panel, x.zero_line(false), y.zero_line(false))
        };
        let layout = panels.iter().enumerate().fold(layout, with_panel);
        Self { traces: Traces::new(), layout, named: Vec::new(), height: 80 + 320 * rows }
    }

    /// A line through points; lines of one name in several panels share a line of the legend.
    pub fn line(&mut self, panel: usize, name: &str, look: &Look, points: Vec<Point>) {
        let line = Line::new().color(look.colour.clone()).dash(look.dash.clone()).width(2.0);
        let mode = if points.len() > 40 { Mode::Lines } else { Mode::LinesMarkers };
        self.add(panel, name, look, &points, |trace| trace.mode(mode).line(line));
    }

    /// An area on top of those before it.
    pub fn area(&mut self, panel: usize, name: &str, look: &Look, points: Vec<Point>) {
        let line = Line::new().color(look.colour.clone()).width(0.5).shape(LineShape::Hv);
        self.add(panel, name, look, &points, |trace| trace.mode(Mode::Lines).line(line).stack_group("stack"));
    }

    /// A line of steps, each around its point: the outline of a histogram.
    pub fn steps(&mut self, panel: usize, name: &str, look: &Look, points: Vec<Point>) {
        let line = Line::new().color(look.colour.clone()).dash(look.dash.clone()).width(2.0).shape(LineShape::Hvh);
        self.add(panel, name, look, &points, |trace| trace.mode(Mode::Lines).line(line));
    }

    /// A point with its name beside it, if wanted, and bars of its deviations.
    pub fn point(
        &mut self,
        panel: usize,
        name: &str,
        look: &Look,
        point: Point,
        deviations: [f64; 2],
        label: Option<Position>,
    ) {
        let bar = |deviation: f64| {
            let bar = ErrorData::new(ErrorType::Data).array(vec![deviation]).thickness(1.0).width(3);
            bar.visible(deviation > 0.0).color(look.colour.clone())
        };
        let [x, y] = deviations.map(bar);
        self.add(panel, name, look, &[point], |trace| {
            let trace = trace.error_x(x).error_y(y).clip_on_axis(false);
            match label {
                Some(place) => trace.mode(Mode::MarkersText).text(escaped(name)).text_position(place),
                None => trace.mode(Mode::Markers),
            }
        });
    }

    fn add(
        &mut self,
        panel: usize,
        name: &str,
        look: &Look,
        points: &[Point],
        draw: impl FnOnce(Box<Scatter<f64, f64>>) -> Box<Scatter<f64, f64>>,
    ) {
        if points.is_empty() {
            return;
        }
        let is_new = !self.named.iter().any(|known| known == name);
        if is_new {
            self.named.push(name.to_string());
        }
        let (x, y) = points.iter().map(|point| (point.x, point.y)).unzip();
        let text = points.iter().map(|point| escaped(&point.text)).collect();
        let number = number(panel);
        let trace = Scatter::new(x, y)
            .name(escaped(name))
            .legend_group(escaped(name))
            .show_legend(is_new)
            .marker(Marker::new().color(look.colour.clone()).symbol(look.symbol.clone()).size(7))
            .hover_text_array(text)
            .hover_template("%{fullData.name}<br>%{hovertext}<extra></extra>")
            .x_axis(format!("x{number}"))
            .y_axis(format!("y{number}"));
        self.traces.push(draw(trace));
    }

    /// Whether nothing is drawn.
    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    /// The figure as a chart.
    pub fn chart(&self, id: impl Into<String>, title: &str) -> super::Chart {
        let drawing = Drawing { data: &self.traces, layout: &self.layout };
        // The legend takes its room from the panels.
        let [names, row] = LEGEND;
        let legend = row * (self.named.len() / names).saturating_sub(1);
        let figure = serde_json::to_string(&drawing).expect("a figure is plain values");
        // Inside a script element only `<` could end it, and in JSON it stands in strings alone.
        super::Chart {
            id: id.into(),
            title: title.into(),
            figure: figure.replace('<', "\\u003c"),
            height: self.height + legend,
        }
    }
}

/// What plotly.js adds to the names of a panel's axes.
fn number(panel: usize) -> String {
    if panel == 0 { String::new() } else { (panel + 1).to_string() }
}

/// The part of the figure that one of `count` panels in a row takes, between gaps.
fn domain(index: usize, count: usize, gap: f64) -> [f64; 2] {
    let width = (1.0 - gap * (count - 1) as f64) / count as f64;
    let from = index as f64 * (width + gap);
    [from, (from + width).min(1.0)]
}

fn with_axes(layout: Layout, panel: usize, x: Axis, y: Axis) -> Layout {
    match panel {
        0 => layout.x_axis(x).y_axis(y),
        1 => layout.x_axis2(x).y_axis2(y),
        2 => layout.x_axis3(x).y_axis3(y),
        _ => layout.x_axis4(x).y_axis4(y),
    }
}

/// A text that plotly.js shows as it is: it reads mark-up in names and texts.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_once_and_mean_nothing_else() {
        let mut figure = Figure::new(&[["epoch", "loss"], ["epoch", "accuracy, %"]]);
        assert!(figure.is_empty());
        let point = || vec![Point { x: 1.0, y: 2.0, text: "</script>".into() }];
        figure.line(0, "<b>a</b>", &Look::of(0), point());
        figure.line(1, "<b>a</b>", &Look::of(0), point());
        let chart = figure.chart("id", "title").figure;
        assert!(!chart.contains('<'), "{chart}");
        let json: serde_json::Value = serde_json::from_str(&chart).expect("json");
        assert_eq!(json["data"][0]["name"], "&lt;b&gt;a&lt;/b&gt;");
        assert_eq!((&json["data"][0]["showlegend"], &json["data"][1]["showlegend"]), (&true.into(), &false.into()));
        assert_eq!((&json["data"][1]["xaxis"], &json["layout"]["yaxis2"]["anchor"]), (&"x2".into(), &"x2".into()));
    }

    #[test]
    fn panels_fill_the_figure_and_looks_differ() {
        assert_eq!([domain(0, 2, 0.1), domain(1, 2, 0.1)], [[0.0, 0.45], [0.55, 1.0]]);
        assert_eq!(domain(0, 1, 0.1), [0.0, 1.0]);
        assert_eq!(Look::in_order(0, 1).colour, "#0072B2");
        assert_eq!(Look::in_order(3, 4).colour, "#E69F00");
        assert_eq!(Look::of(7).colour, COLOURS[0]);
        assert_ne!(format!("{:?}", Look::of(7).symbol), format!("{:?}", Look::of(0).symbol));
    }
}
