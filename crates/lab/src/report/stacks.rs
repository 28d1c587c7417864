//! A page of stacked areas that needs no network: what fills something, from moment to moment.

use serde::Serialize;

use super::charts::{Chart, Figure, Look, Point};
use super::page::{SCRIPT, STYLE, library, rendered};

const TEMPLATE: &str = include_str!("stacks.html");

/// One chart of such a page.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Its heading.
    pub title: String,
    /// What stands at the two axes.
    pub axes: [&'static str; 2],
    /// Names and values, the lowest first: one value a moment. A name has its colour by its place; what is 0 throughout is not drawn.
    pub layers: Vec<(String, Vec<f64>)>,
}

#[derive(Serialize)]
struct Context<'a> {
    title: &'a str,
    about: &'a str,
    style: &'static str,
    script: &'static str,
    library: String,
    charts: Vec<Chart>,
}

impl Stack {
    fn chart(&self, number: usize) -> Chart {
        let mut figure = Figure::new(&[self.axes]);
        let has_area = |(_, (_, values)): &(usize, &(String, Vec<f64>))| values.iter().any(|value| *value != 0.0);
        for (index, (name, values)) in self.layers.iter().enumerate().filter(has_area) {
            let point =
                |(moment, value): (usize, &f64)| Point { x: moment as f64, y: *value, text: format!("{value:.1}") };
            figure.area(0, name, &Look::of(index), values.iter().enumerate().map(point).collect());
        }
        figure.chart(format!("stack-{number}"), &self.title)
    }
}

/// The page of some charts.
pub fn stacks(title: &str, about: &str, stacks: &[Stack]) -> String {
    let charts = stacks.iter().enumerate().map(|(number, stack)| stack.chart(number)).collect();
    rendered(
        "stacks.html",
        TEMPLATE,
        &Context { title, about, style: STYLE, script: SCRIPT, library: library(), charts },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_lie_on_each_other_in_their_order() {
        let layers = [("weights", [1.0, 1.0]), ("nothing", [0.0; 2]), ("values <b>", [0.5, 2.0])];
        let layers = layers.map(|(name, values)| (name.to_string(), values.to_vec())).to_vec();
        let stack = Stack { title: "backprop".into(), axes: ["moment", "MiB"], layers };
        let figure: serde_json::Value = serde_json::from_str(&stack.chart(0).figure).expect("json");
        let layers = figure["data"].as_array().expect("traces");
        let of = |key: &str| layers.iter().map(|layer| layer[key].clone()).collect::<Vec<_>>();
        assert_eq!(of("name"), ["weights", "values &lt;b&gt;"]);
        assert!(of("stackgroup").iter().all(|group| *group == of("stackgroup")[0] && group.is_string()), "one stack");
        assert_eq!(layers[1]["y"], serde_json::json!([0.5, 2.0]));
        let page = stacks("memory", "of <one> step", &[stack]);
        assert!(page.contains("of &lt;one&gt; step") && page.contains("id=\"stack-0-figure\""));
    }
}
