//! The report as Markdown.

use super::escape;
use super::order::CONTRADICTIONS;
use super::summary::Summary;
use super::table::{Cell, Table};

/// Title, question, table, failures.
pub fn markdown(summary: &Summary) -> String {
    let mut lines =
        vec![format!("# {}", escaped(&summary.study)), String::new(), escaped(&summary.question), String::new()];
    if !summary.expected.is_empty() {
        lines.extend([format!("Expected: {}", escaped(&summary.expected)), String::new()]);
    }
    lines.extend([escaped(&summary.progress()), String::new()]);
    lines.extend(rows(&Table::of(summary)));
    lines.extend(orders(summary));
    if !summary.fronts.is_empty() {
        lines.extend([String::new(), "## Fronts".into()]);
    }
    for own in &summary.fronts {
        lines.extend([String::new(), escaped(&own.title()), String::new()]);
        lines.extend(own.sentences().iter().map(|sentence| format!("* {}", escaped(sentence))));
    }
    if !summary.failures.is_empty() {
        lines.extend([String::new(), "## Failed runs".into(), String::new()]);
        let failed = |failure: &super::Failure| format!("* {}: {}", escaped(&failure.run), escaped(&failure.error));
        lines.extend(summary.failures.iter().map(failed));
    }
    lines.join("\n") + "\n"
}

/// What stands as in the paper, and what does not.
fn orders(summary: &Summary) -> Vec<String> {
    if summary.orders.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), "## Order".into()];
    for order in &summary.orders {
        lines.extend([String::new(), escaped(&order.sentence())]);
        if !order.contradictions.is_empty() {
            lines.extend([String::new(), format!("{CONTRADICTIONS}:"), String::new()]);
            lines.extend(order.contradictions.iter().map(|pair| format!("* {}", escaped(&pair.sentence()))));
        }
    }
    lines
}

fn rows(table: &Table) -> Vec<String> {
    if table.rows.is_empty() {
        return vec!["The study has no runs.".into()];
    }
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let mut lines = vec![
        line(table.columns.iter().map(|column| escaped(&column.title)).collect()),
        line(table.columns.iter().map(|column| if column.is_number { "--:" } else { ":--" }.to_string()).collect()),
    ];
    let text = |cell: &Cell| {
        let text = escaped(&cell.text);
        if cell.is_best { format!("**{text}**") } else { text }
    };
    lines.extend(table.rows.iter().map(|row| line(row.iter().map(text).collect())));
    lines.push(String::new());
    lines.push(table.notes.join(" "));
    lines
}

/// A text that means itself: no mark-up, no end of a cell or of a line.
fn escaped(text: &str) -> String {
    escape::escaped(text, "\\`*_[]|#~", |character| match character {
        '<' => Some("&lt;"),
        '&' => Some("&amp;"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_means_more_than_itself() {
        assert_eq!(escaped("a|b *c*\n<d> & `e`"), "a\\|b \\*c\\* &lt;d> &amp; \\`e\\`");
    }
}
