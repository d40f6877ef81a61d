//! Columns that line up in a terminal.

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Lines of equal columns, two blanks between them, none at the end. The first row is the heading.
pub(super) fn aligned(columns: &[Align], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, align), &width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Every line of `text` moved to the right, empty ones left empty.
pub(super) fn indented(text: &str, by: usize) -> String {
    let line = |line: &str| {
        if line.is_empty() { "\n".to_owned() } else { format!("{:by$}{line}\n", "") }
    };
    text.lines().map(line).collect()
}

/// Text that cannot drive a terminal: control characters and those that turn the direction of
/// writing are shown as `\u{1b}`; line ends stay.
pub(super) fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && (c.is_control() || turns(c)) {
            harmless.extend(c.escape_unicode());
        } else {
            harmless.push(c);
        }
    }
    harmless
}
