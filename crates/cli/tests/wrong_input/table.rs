//! The table of wrong inputs.

/// The commands.
pub const COMMANDS: &[&str] = &[
    "train",
    "study",
    "report",
    "bench",
    "check",
    "eval",
    "step",
    "init",
    "methods",
    "model list",
    "model layers",
    "model show",
    "completions",
    "man",
    "data list",
    "data download",
    "data verify",
    "data preview",
];

/// The ways an input can be wrong.
pub const KINDS: &[&str] =
    &["type", "range", "misspelt", "missing", "folder", "unreadable", "empty", "huge", "format", "contradictory"];

/// A line of the table.
#[derive(Debug)]
pub struct Case {
    pub line: usize,
    pub command: String,
    pub kind: String,
    pub arguments: String,
    /// What standard error must hold.
    pub words: Vec<String>,
}

/// All of it.
pub struct Table {
    pub cases: Vec<Case>,
    /// Commands with kinds they have fewer than three inputs of.
    few: Vec<(String, String)>,
}

impl Table {
    pub fn read() -> Self {
        let mut table = Self { cases: Vec::new(), few: Vec::new() };
        for (number, line) in include_str!("cases.txt").lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let columns: Vec<&str> = line.split(" | ").collect();
            let [first, second, third, fourth] = columns[..] else { panic!("line {}: {line}", number + 1) };
            if first == "few" {
                table.few.extend(third.split(' ').map(|kind| (second.to_string(), kind.to_string())));
                continue;
            }
            table.cases.push(Case {
                line: number + 1,
                command: first.to_string(),
                kind: second.to_string(),
                arguments: third.to_string(),
                words: fourth.split(" & ").map(str::to_string).collect(),
            });
        }
        table
    }

    pub fn has_few(&self, command: &str, kind: &str) -> bool {
        self.few.iter().any(|(few, of)| few == command && of == kind)
    }
}

/// The arguments of a line: apart at spaces that are outside all braces.
pub fn split(arguments: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in arguments.chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        match letter {
            ' ' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("a part").push(letter),
        }
    }
    parts
}
