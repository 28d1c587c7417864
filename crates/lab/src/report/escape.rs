//! Text that means itself in a language with mark-up.

/// On one line, with a backslash before some characters and others written as `replacement` says.
pub fn escaped(text: &str, backslashed: &str, replacement: impl Fn(char) -> Option<&'static str>) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        match replacement(character) {
            Some(written) => result.push_str(written),
            None if backslashed.contains(character) => result.extend(['\\', character]),
            None if matches!(character, '\n' | '\r') => result.push(' '),
            None => result.push(character),
        }
    }
    result
}
