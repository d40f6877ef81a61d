//! One statement, rewritten: bind variables become `$n`, and what PostgreSQL says otherwise is said its way.

use super::lex::{Token, begins, group, lex};
use super::{Kind, account, ddl};

/// As of when a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// The bind variable at this place says it.
    Bound(usize),
    /// A number in the text.
    Fixed(u64),
}

impl Snapshot {
    /// The system change number, where `bound` gives the value of a variable by its place.
    pub fn number(&self, bound: impl Fn(usize) -> Option<u64>) -> Option<u64> {
        match self {
            Self::Fixed(scn) => Some(*scn),
            Self::Bound(place) => bound(*place),
        }
    }
}

/// How long a lock is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// No row is locked, or for as long as the call takes.
    #[default]
    Free,
    /// Seconds of `WAIT n`.
    Wait(u32),
}

/// A statement in both tongues.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    /// As it was given.
    pub original: String,
    /// For PostgreSQL.
    pub text: String,
    /// What it is.
    pub kind: Kind,
    /// Every mention of a bind variable, in order.
    pub binds: Vec<String>,
    /// The mention behind each of `$1`, `$2`…
    pub ins: Vec<usize>,
    /// The mention behind each column of `RETURNING … INTO`.
    pub outs: Vec<usize>,
    /// Locks rows, and so opens a transaction.
    pub locks: bool,
    /// How long for.
    pub lock: Lock,
    /// `AS OF SCN`.
    pub as_of: Option<Snapshot>,
    /// Whether it asks for the system change number.
    pub wants_scn: bool,
}

/// What stands where the system change number belongs, until it is taken.
pub const SCN: &str = "@SCN@";

/// Rewrites a statement.
pub fn translate(original: &str) -> Sql {
    let mut tokens = lex(original);
    while tokens.last().is_some_and(|token| token.is_sign(";")) {
        tokens.pop();
    }
    let kind = match tokens.first() {
        Some(Token::Word(word)) => Kind::of(word),
        _ => Kind::Other,
    };
    let sql = Sql { original: original.to_owned(), kind, ..Sql::default() };
    if kind.is_block() {
        return blocks(sql, &tokens);
    }
    let mut writer = Writer { sql, tokens: &tokens, at: 0, out: Vec::new(), limit: None, into: false };
    if kind.is_ddl() {
        writer.out.push(account::translate(&tokens).unwrap_or_else(|| ddl::translate(&tokens)));
    } else {
        writer.run();
    }
    writer.finish()
}

/// A block is run by `block`; here only its variables are counted, once per name.
fn blocks(mut sql: Sql, tokens: &[Token]) -> Sql {
    for token in tokens {
        if let Token::Bind(name) = token
            && !sql.binds.contains(name)
        {
            sql.binds.push(name.clone());
        }
    }
    sql
}

/// Rewrites a part of a block; its variables are told apart by name.
pub fn translate_part(tokens: &[Token], names: &[String]) -> Sql {
    let kind = match tokens.first() {
        Some(Token::Word(word)) => Kind::of(word),
        _ => Kind::Other,
    };
    let sql = Sql { kind, ..Sql::default() };
    let mut writer = Writer { sql, tokens, at: 0, out: Vec::new(), limit: None, into: false };
    writer.run();
    let mut sql = writer.finish();
    let place = |occurrence: &usize| names.iter().position(|name| *name == sql.binds[*occurrence]).unwrap_or(0);
    sql.ins = sql.ins.iter().map(place).collect();
    sql
}

struct Writer<'a> {
    sql: Sql,
    tokens: &'a [Token],
    at: usize,
    out: Vec<String>,
    limit: Option<String>,
    /// Behind `RETURNING … INTO`.
    into: bool,
}

impl Writer<'_> {
    fn run(&mut self) {
        while self.at < self.tokens.len() {
            self.step();
            self.at += 1;
        }
    }

    fn next(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn follows(&self, words: &[&str]) -> bool {
        self.at < self.tokens.len() && begins(&self.tokens[self.at..], words)
    }

    fn put(&mut self, text: impl Into<String>) {
        self.out.push(text.into());
    }

    /// The text of a variable's mention.
    fn bind(&mut self, name: &str) -> String {
        self.sql.binds.push(name.to_owned());
        self.sql.ins.push(self.sql.binds.len() - 1);
        format!("${}", self.sql.ins.len())
    }

    fn step(&mut self) {
        let token = self.tokens[self.at].clone();
        match &token {
            Token::Bind(name) if self.into => {
                self.sql.binds.push(name.clone());
                self.sql.outs.push(self.sql.binds.len() - 1);
            }
            _ if self.into => {}
            Token::Bind(name) => {
                let text = self.bind(name);
                self.put(text);
            }
            // Nothing is null.
            Token::Text(text) if text.is_empty() => self.put("NULL"),
            Token::Sign(sign) if sign == "||" => self.put("OPERATOR(oracle.|||)"),
            Token::Sign(sign) if sign == "/" => self.put("OPERATOR(oracle./)"),
            Token::Word(_) if self.clause() || self.function() => {}
            other => self.put(other.text()),
        }
    }

    /// Clauses that PostgreSQL writes otherwise, or that are not sent.
    fn clause(&mut self) -> bool {
        if self.follows(&["AS", "OF", "SCN"]) {
            self.sql.as_of = match self.next(3).cloned() {
                Some(Token::Bind(name)) => {
                    self.sql.binds.push(name);
                    Some(Snapshot::Bound(self.sql.binds.len() - 1))
                }
                Some(Token::Number(number)) => number.parse().ok().map(Snapshot::Fixed),
                _ => None,
            };
            self.at += 3;
        } else if self.follows(&["FOR", "UPDATE"]) {
            self.sql.locks = true;
            self.put("FOR UPDATE");
            self.at += 1;
        } else if self.sql.locks && self.follows(&["WAIT"]) {
            if let Some(Token::Number(number)) = self.next(1) {
                self.sql.lock = number.parse().map(Lock::Wait).unwrap_or_default();
                self.at += 1;
            }
        } else if self.follows(&["FETCH", "FIRST"]) || self.follows(&["FETCH", "NEXT"]) {
            self.fetch_first();
        } else if self.follows(&["MINUS"]) {
            self.put("EXCEPT");
        } else if self.sql.kind.is_dml() && self.follows(&["RETURNING"]) {
            self.put("RETURNING");
        } else if self.sql.kind.is_dml() && self.follows(&["INTO"]) && self.out.iter().any(|word| word == "RETURNING") {
            self.into = true;
        } else if (self.follows(&["WHERE", "ROWNUM"]) || self.follows(&["AND", "ROWNUM"])) && self.row_number() {
        } else {
            return false;
        }
        true
    }

    /// `FETCH FIRST (expression) ROWS ONLY`: the count is a whole number in PostgreSQL.
    fn fetch_first(&mut self) {
        let start = self.at + 2;
        let end = (start..self.tokens.len()).find(|place| self.tokens[*place].is_any(&["ROW", "ROWS"]));
        let Some(end) = end else { return };
        self.at = start;
        self.put("FETCH FIRST ((");
        while self.at < end {
            self.step();
            self.at += 1;
        }
        self.put(")::numeric::bigint) ROWS ONLY");
        // ROWS ONLY
        self.at = end + 1;
    }

    /// `WHERE ROWNUM <= n`, at the end of the statement.
    fn row_number(&mut self) -> bool {
        let (Some(Token::Sign(sign)), Some(count)) = (self.next(2).cloned(), self.next(3).cloned()) else {
            return false;
        };
        let text = match count {
            Token::Bind(name) => self.bind(&name),
            Token::Number(number) => number,
            _ => return false,
        };
        let less = if sign == "<" { " - 1" } else { "" };
        self.limit = Some(format!(" LIMIT ({text}::numeric::bigint{less})"));
        self.at += 3;
        true
    }

    fn function(&mut self) -> bool {
        let token = &self.tokens[self.at];
        let called = self.next(1).is_some_and(|next| next.is_sign("("));
        let member = self.next(1).is_some_and(|next| next.is_sign("."));
        if token.is("SYSDATE") {
            self.put("oracle.sysdate()");
        } else if token.is("SYSTIMESTAMP") {
            self.put("clock_timestamp()");
        } else if token.is("ROWID") {
            self.put("ctid");
        } else if token.is("NVL") && called {
            self.put("coalesce");
        } else if token.is_any(&["GREATEST", "LEAST"]) && called {
            let name = token.text().to_lowercase();
            self.put(format!("oracle.{name}"));
        } else if token.is("CURRENT_SCN") {
            self.sql.wants_scn = true;
            self.put(format!("{SCN} AS current_scn"));
        } else if token.is("DBMS_FLASHBACK") && member {
            self.sql.wants_scn = true;
            self.put(SCN);
            self.at += 2;
        } else if token.is_any(&["DBMS_LOCK", "DBMS_APPLICATION_INFO", "DBMS_SESSION"]) && member {
            let package = token.text().to_lowercase();
            let name = self.next(2).map(Token::text).unwrap_or_default().to_lowercase();
            self.put(format!("oracle.{package}_{name}"));
            self.at += 2;
        } else if member && self.next(2).is_some_and(|next| next.is_any(&["NEXTVAL", "CURRVAL"])) {
            let sequence = token.text().to_lowercase();
            let word = self.next(2).map(Token::text).unwrap_or_default().to_lowercase();
            self.put(format!("{word}('{sequence}')"));
            self.at += 2;
        } else if token.is("CAST") && called {
            self.cast();
        } else if token.is("TIMESTAMP") && matches!(self.next(1), Some(Token::Text(_))) {
            self.put("timestamp");
        } else {
            return false;
        }
        true
    }

    /// `CAST(x AS type)`: the type by Oracle's name.
    fn cast(&mut self) {
        let (inside, end) = group(self.tokens, self.at + 1);
        let mut depth = 0;
        let mut place = None;
        for (number, token) in inside.iter().enumerate() {
            match token {
                Token::Sign(sign) if sign == "(" => depth += 1,
                Token::Sign(sign) if sign == ")" => depth -= 1,
                token if depth == 0 && token.is("AS") => place = Some(number),
                _ => {}
            }
        }
        let Some(place) = place else {
            self.put("CAST");
            return;
        };
        let target = ddl::cast_type(&inside[place + 1..]);
        let first = self.at + 2;
        self.put("CAST(");
        self.at = first;
        while self.at < first + place {
            self.step();
            self.at += 1;
        }
        self.put(format!("AS {target})"));
        self.at = end - 1;
    }

    fn finish(mut self) -> Sql {
        if let Some(limit) = self.limit.take() {
            let last = self.out.iter().rposition(|word| word == "FOR UPDATE").filter(|_| self.sql.locks);
            let place = last.unwrap_or(self.out.len());
            self.out.insert(place, limit);
        }
        let mut text = String::new();
        for word in &self.out {
            let close = text.ends_with(['(', '.']) || word.starts_with([')', '.', ',', '(']) && !text.ends_with(' ');
            if !text.is_empty() && !close {
                text.push(' ');
            }
            text.push_str(word);
        }
        self.sql.text = text;
        self.sql
    }
}

#[cfg(test)]
mod tests;
