//! One value of a line of rows.

/// What a run has in a column, which is of one kind throughout; none where there is nothing yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    Text(Option<String>),
    Integer(Option<u64>),
    Number(Option<f64>),
}
