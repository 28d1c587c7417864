//! The report as a LaTeX table.

use super::escape;
use super::order::Order;
use super::summary::Summary;
use super::table::{Cell, Column, Table};

/// A table to be read with `\input` into a document that uses the package booktabs.
pub fn latex(summary: &Summary) -> String {
    let table = Table::of(summary);
    let mut lines: Vec<String> = vec![
        format!("% The results of the study {}; needs \\usepackage{{booktabs}}.", summary.study),
        "\\begin{table}".into(),
        "\\centering".into(),
        format!("\\caption{{{} {}}}", escaped(&summary.question), escaped(&summary.progress())),
        format!("\\label{{table:{}}}", summary.study),
    ];
    lines.extend(rows(&table));
    let failed = |failure: &super::Failure| format!("Failed: {}, {}", failure.run, failure.error);
    let orders = summary.orders.iter().map(Order::sentence);
    for note in table.notes.iter().cloned().chain(orders).chain(summary.failures.iter().map(failed)) {
        lines.push(format!("\\par{{\\footnotesize {}}}", escaped(&note)));
    }
    lines.push("\\end{table}".into());
    lines.join("\n") + "\n"
}

fn rows(table: &Table) -> Vec<String> {
    if table.rows.is_empty() {
        return vec!["The study has no runs.".into()];
    }
    let line = |cells: Vec<String>| format!("{} \\\\", cells.join(" & "));
    let align = |column: &Column| if column.is_number { 'r' } else { 'l' };
    let mut lines = vec![
        format!("\\begin{{tabular}}{{{}}}", table.columns.iter().map(align).collect::<String>()),
        "\\toprule".into(),
        line(table.columns.iter().map(|column| escaped(&column.title)).collect()),
        "\\midrule".into(),
    ];
    let text = |cell: &Cell| {
        let text = escaped(&cell.text);
        if cell.is_best { format!("\\textbf{{{text}}}") } else { text }
    };
    lines.extend(table.rows.iter().map(|row| line(row.iter().map(text).collect())));
    lines.extend(["\\bottomrule".into(), "\\end{tabular}".into()]);
    lines
}

/// A text that means itself.
fn escaped(text: &str) -> String {
    escape::escaped(text, "&%$#_{}", |character| match character {
        '\\' => Some("\\textbackslash{}"),
        '^' => Some("\\textasciicircum{}"),
        '~' => Some("\\textasciitilde{}"),
        '<' => Some("\\textless{}"),
        '>' => Some("\\textgreater{}"),
        '|' => Some("\\textbar{}"),
        '`' => Some("\\textasciigrave{}"),
        '±' => Some("$\\pm$"),
        '–' => Some("--"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_means_more_than_itself() {
        assert_eq!(
            escaped("50 % of_{a}\\b\n1 ± 2 & <c>"),
            "50 \\% of\\_\\{a\\}\\textbackslash{}b 1 $\\pm$ 2 \\& \\textless{}c\\textgreater{}"
        );
    }
}
