//! Tokens of Oracle's SQL. Comments and hints fall away; a name, a text and a bind variable are told apart.

use crate::types::swap_case;

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A keyword or a name without quotes.
    Word(String),
    /// A name in quotes.
    Quoted(String),
    /// A text in quotes.
    Text(String),
    /// A bind variable, in upper case.
    Bind(String),
    /// A number.
    Number(String),
    /// Anything else.
    Sign(String),
}

impl Token {
    /// Whether it is this keyword.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    /// Whether it is one of these keywords.
    pub fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// Whether it is this sign.
    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(own) if own == sign)
    }

    /// Whether it can be a name.
    pub fn is_name(&self) -> bool {
        matches!(self, Self::Word(_) | Self::Quoted(_))
    }

    /// As PostgreSQL reads it. Bind variables have no text of their own: see `rewrite`.
    pub fn text(&self) -> String {
        match self {
            // `#` is no letter of a name in PostgreSQL.
            Self::Word(word) if word.contains('#') => format!("\"{}\"", word.to_lowercase()),
            Self::Word(text) | Self::Number(text) | Self::Sign(text) => text.clone(),
            Self::Quoted(name) => format!("\"{}\"", swap_case(name)),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Bind(name) => format!(":{name}"),
        }
    }
}

/// What the parenthesis at `open` holds, and the place behind the one that closes it. One that nothing closes holds the
/// rest.
pub fn group(tokens: &[Token], open: usize) -> (&[Token], usize) {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(open) {
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth -= 1;
            if depth == 0 {
                return (&tokens[open + 1..place], place + 1);
            }
        }
    }
    (&tokens[open + 1..], tokens.len())
}

/// The first place from `start` outside of parentheses for which `wanted` holds.
pub fn find(tokens: &[Token], start: usize, wanted: impl Fn(&[Token]) -> bool) -> Option<usize> {
    let mut depth = 0;
    for place in start..tokens.len() {
        if tokens[place].is_sign("(") {
            depth += 1;
        } else if tokens[place].is_sign(")") {
            depth -= 1;
        } else if depth == 0 && wanted(&tokens[place..]) {
            return Some(place);
        }
    }
    None
}

/// Whether `tokens` begin with these keywords.
pub fn begins(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && words.iter().zip(tokens).all(|(word, token)| token.is(word))
}

/// Splits at a sign outside of parentheses. No tokens are no parts.
pub fn split<'a>(tokens: &'a [Token], sign: &str) -> Vec<&'a [Token]> {
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(place) = find(tokens, start, |rest| rest[0].is_sign(sign)) {
        parts.push(&tokens[start..place]);
        start = place + 1;
    }
    if start < tokens.len() || !parts.is_empty() {
        parts.push(&tokens[start..]);
    }
    parts
}

/// Cuts a statement into tokens.
pub fn lex(sql: &str) -> Vec<Token> {
    let mut lexer = Lexer { letters: sql.chars().collect(), at: 0, tokens: Vec::new() };
    while lexer.at < lexer.letters.len() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer {
    letters: Vec<char>,
    at: usize,
    tokens: Vec<Token>,
}

fn in_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '#')
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
        self.letters[start..self.at].iter().collect()
    }

    fn step(&mut self) {
        let letter = self.letters[self.at];
        let next = self.peek(1);
        if letter.is_whitespace() {
            self.at += 1;
        } else if letter == '-' && next == Some('-') {
            self.take_while(|letter| letter != '\n');
        } else if letter == '/' && next == Some('*') {
            self.skip_comment();
        } else if matches!(letter, 'n' | 'N') && next == Some('\'') {
            self.at += 1;
        } else if matches!(letter, 'q' | 'Q') && next == Some('\'') {
            self.free_text();
        } else if letter == '\'' {
            let text = self.quoted('\'');
            self.tokens.push(Token::Text(text));
        } else if letter == '"' {
            let name = self.quoted('"');
            self.tokens.push(Token::Quoted(name));
        } else if letter == ':' && next.is_some_and(in_word) {
            self.at += 1;
            let name = self.take_while(in_word).to_uppercase();
            self.tokens.push(Token::Bind(name));
        } else if letter.is_ascii_digit() || (letter == '.' && next.is_some_and(|next| next.is_ascii_digit())) {
            self.number();
        } else if in_word(letter) {
            let word = self.take_while(in_word);
            self.tokens.push(Token::Word(word));
        } else {
            self.sign(letter, next);
        }
    }

    fn skip_comment(&mut self) {
        self.at += 2;
        while self.at < self.letters.len() && !(self.peek(0) == Some('*') && self.peek(1) == Some('/')) {
            self.at += 1;
        }
        self.at += 2;
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        self.at += 1;
        while let Some(letter) = self.peek(0) {
            self.at += 1;
            if letter != quote {
                text.push(letter);
            } else if self.peek(0) == Some(quote) {
                text.push(quote);
                self.at += 1;
            } else {
                break;
            }
        }
        text
    }

    /// `q'[it's]'`
    fn free_text(&mut self) {
        let close = match self.peek(2) {
            Some('[') => ']',
            Some('{') => '}',
            Some('(') => ')',
            Some('<') => '>',
            Some(other) => other,
            None => '\'',
        };
        // An opening without its sign is the end.
        self.at = (self.at + 3).min(self.letters.len());
        let start = self.at;
        while self.at < self.letters.len() && !(self.peek(0) == Some(close) && self.peek(1) == Some('\'')) {
            self.at += 1;
        }
        self.tokens.push(Token::Text(self.letters[start..self.at].iter().collect()));
        self.at += 2;
    }

    fn number(&mut self) {
        let mut text = self.take_while(|letter| letter.is_ascii_digit() || letter == '.');
        let exponent = matches!(self.peek(0), Some('e' | 'E'));
        if exponent && self.peek(1).is_some_and(|next| next.is_ascii_digit() || matches!(next, '+' | '-')) {
            text.push('e');
            self.at += 1;
            text += &self.take_while(|letter| letter.is_ascii_digit() || matches!(letter, '+' | '-'));
        }
        self.tokens.push(Token::Number(text));
    }

    fn sign(&mut self, letter: char, next: Option<char>) {
        let pair: String = [Some(letter), next].into_iter().flatten().collect();
        let sign = match pair.as_str() {
            "^=" => "<>".to_owned(),
            "||" | "<=" | ">=" | "<>" | "!=" | ":=" | "=>" | "::" => pair.clone(),
            _ => letter.to_string(),
        };
        self.at += sign.chars().count();
        self.tokens.push(Token::Sign(sign));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        lex(sql).iter().map(Token::text).collect()
    }

    #[test]
    fn comments_and_hints_fall_away() {
        assert_eq!(texts("SELECT /*+ INDEX(t) */ 1 -- one\nFROM t"), ["SELECT", "1", "FROM", "t"]);
    }

    #[test]
    fn what_stands_in_quotes_is_left_alone() {
        assert_eq!(texts("'it''s' N'x' q'[a'b]' \"ID\" \"Id\""), ["'it''s'", "'x'", "'a''b'", "\"id\"", "\"Id\""]);
    }

    #[test]
    fn what_nothing_closes_goes_to_the_end() {
        assert_eq!(texts("'a"), ["'a'"]);
        assert_eq!(texts("q'"), ["''"]);
        assert_eq!(texts("q'[a"), ["'a'"]);
        assert_eq!(texts("a /*"), ["a"]);
    }

    #[test]
    fn a_bind_variable_is_no_assignment() {
        assert_eq!(lex(":out := :in_1")[1], Token::Sign(":=".to_owned()));
        assert_eq!(lex(":out := :in_1")[2], Token::Bind("IN_1".to_owned()));
    }

    #[test]
    fn numbers_keep_point_and_exponent() {
        assert_eq!(texts("1.5 .5 1e-5 2E10"), ["1.5", ".5", "1e-5", "2e10"]);
    }

    #[test]
    fn parts_are_split_outside_of_parentheses() {
        let tokens = lex("a, f(b, c), d");
        assert_eq!(split(&tokens, ",").len(), 3);
        assert!(split(&[], ",").is_empty());
    }

    #[test]
    fn a_parenthesis_that_nothing_closes_holds_the_rest() {
        let tokens = lex("f(a(b), c) d (");
        assert_eq!(group(&tokens, 1), (&tokens[2..8], 9));
        assert_eq!(group(&tokens, 10), (&tokens[11..], 11));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_lexer_panic(sql in "(.|['\"qQnN(/*:-]){0,80}") {
            lex(&sql);
        }
    }
}
