//! Columns that the contract leaves out on purpose.

/// A column that no field carries, and why that loses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its name, written as in SQL.
    pub column: String,
    /// Why it may be left out.
    pub reason: String,
}

/// Whether `written`, as in SQL, names what the catalogue calls `name`: both engines fold what is not quoted.
pub fn names(written: &str, name: &str) -> bool {
    let quoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.map_or_else(|| written.eq_ignore_ascii_case(name), |quoted| quoted == name)
}
