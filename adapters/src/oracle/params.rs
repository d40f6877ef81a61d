//! Values for the contract's own SQL.
//!
//! An Oracle does not say which type it wants for a parameter, so we choose one that compares rightly with any column
//! of its kind: texts go as CHAR of their own length (compared with blanks filled up where the column is a CHAR, and as
//! they are where it is a VARCHAR2), numbers as NUMBER. A point in time would be compared in the session's zone with
//! what the ERP means as local time, and be wrong by hours in silence: the SQL must say
//! `CAST(:since AS TIMESTAMP WITH TIME ZONE)`.
//!
//! A list is written out: `= ANY(:skus)` becomes `IN (…)`.

use model::contract::Refusal;
use model::sql::{NamedSql, Params, Piece};
use model::{Side, StoreError, Value, fit};

use super::bind::Bind;
use super::table::{MAX_LIST, bucket, misfit};

/// A statement of the contract with this call's values.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) text: String,
    pub(super) binds: Vec<Bind>,
}

/// Writes `columns` for `{columns}`, and places for parameters.
///
/// # Errors
/// `Misfit` when a parameter has no value or a form that SQL cannot take; `Refused` when a value is too long.
pub(super) fn prepare(side: Side, sql: &NamedSql, params: &Params, columns: &str) -> Result<Prepared, StoreError> {
    let mut writer = Writer { side, params, text: String::new(), binds: Vec::new(), names: Vec::new() };
    // Parameters of a block are bound once per name, those of SQL once per place.
    let block = sql.is_block();
    let mut pieces = sql.pieces().iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(plain) => writer.text.push_str(plain),
            Piece::Columns => writer.text.push_str(columns),
            Piece::Param(name) => {
                let after = match pieces.peek() {
                    Some(Piece::Text(text)) => text.as_str(),
                    Some(Piece::Param(_) | Piece::Columns) | None => "",
                };
                writer.param(name, after, block)?;
            }
        }
    }
    Ok(Prepared { text: writer.text, binds: writer.binds })
}

struct Writer<'a> {
    side: Side,
    params: &'a Params,
    text: String,
    binds: Vec<Bind>,
    names: Vec<&'a str>,
}

impl<'a> Writer<'a> {
    fn param(&mut self, name: &'a str, after: &str, block: bool) -> Result<(), StoreError> {
        let Some(value) = self.params.get(name) else {
            return Err(misfit(self.side, format!("the parameter :{name} was given no value")));
        };
        if let Value::List(values) = value {
            return self.list(name, values);
        }
        if block {
            let known = self.names.iter().position(|known| *known == name);
            let place = known.unwrap_or(self.names.len());
            self.text.push_str(&format!(":p{place}"));
            if known.is_none() {
                self.names.push(name);
                self.binds.push(self.bind(name, value, after)?);
            }
            return Ok(());
        }
        let bind = self.bind(name, value, after)?;
        self.place(bind);
        Ok(())
    }

    fn place(&mut self, bind: Bind) {
        self.binds.push(bind);
        self.text.push_str(&format!(":{}", self.binds.len()));
    }

    fn list(&mut self, name: &str, values: &[Value]) -> Result<(), StoreError> {
        if values.len() > MAX_LIST {
            return Err(self.refused(fit::TOO_LONG, format!("{name} has more than {MAX_LIST} members")));
        }
        let head = self.text.trim_end();
        let Some(head) = head.strip_suffix('(').map(str::trim_end) else {
            return Err(misfit(
                self.side,
                format!("the list :{name} must stand in `= ANY(:{name})` or `IN (:{name})`"),
            ));
        };
        let any = head.len() >= 3
            && head.is_char_boundary(head.len() - 3)
            && head[head.len() - 3..].eq_ignore_ascii_case("any");
        if any && let Some(column) = head[..head.len() - 3].trim_end().strip_suffix('=') {
            self.text = format!("{} IN (", column.trim_end());
        }
        let count = bucket(values.len());
        for number in 0..count {
            if number > 0 {
                self.text.push_str(", ");
            }
            // Filled up with the last; an empty list finds nothing, as null equals nothing.
            let value = values.get(number).or(values.last()).unwrap_or(&Value::Null);
            let bind = self.bind(name, value, "")?;
            self.place(bind);
        }
        Ok(())
    }

    fn bind(&self, name: &str, value: &Value, after: &str) -> Result<Bind, StoreError> {
        match value {
            Value::Null => Ok(Bind::null()),
            Value::Int(number) => Ok(Bind::number(number)),
            Value::Decimal(decimal) => Ok(Bind::number(decimal)),
            Value::Text(text) if text.contains('\0') => {
                Err(self.refused(fit::BAD_CHARACTER, format!("{name} must not contain the NUL character")))
            }
            Value::Text(text) => Ok(Bind::char(text)),
            Value::Instant(instant) if self.is_cast(after) => Ok(Bind::instant(instant.to_utc().naive_utc())),
            Value::Instant(_) => Err(misfit(
                self.side,
                format!(
                    "the parameter :{name} is a point in time: write CAST(:{name} AS TIMESTAMP WITH TIME ZONE), and \
                     AT TIME ZONE where it meets local times"
                ),
            )),
            Value::Bool(_) => Err(misfit(
                self.side,
                format!("the parameter :{name} is a flag, and Oracle's SQL has none: pass a number or a letter"),
            )),
            Value::List(_) => Err(misfit(self.side, format!("the parameter :{name} is a list in a list"))),
        }
    }

    fn is_cast(&self, after: &str) -> bool {
        const TYPE: &str = "as timestamp with time zone";
        let before = self.text.trim_end().to_ascii_lowercase();
        let after = after.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
        before.ends_with("cast(") && after.starts_with(TYPE)
    }

    fn refused(&self, code: &str, message: String) -> StoreError {
        let refusal = Refusal { code: code.to_owned(), message };
        StoreError::Refused { side: self.side, refusal, source: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(text: &str, values: &[(&str, Value)]) -> Result<Prepared, StoreError> {
        let params = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        prepare(Side::Legacy, &NamedSql::parse(text).unwrap(), &params, "t.A")
    }

    #[test]
    fn sql_has_a_place_for_each_mention_and_a_block_one_for_each_name() {
        let values = [("sku", "A".into()), ("delta", Value::Int(1))];
        let sql = prepared("UPDATE t SET q = q + :delta WHERE s = :sku AND q + :delta >= 0", &values).unwrap();
        assert_eq!(sql.text, "UPDATE t SET q = q + :1 WHERE s = :2 AND q + :3 >= 0");
        assert_eq!(sql.binds.len(), 3);
        let block = prepared("begin stock.adjust(:sku, :delta, :sku); end;", &values).unwrap();
        assert_eq!(block.text, "begin stock.adjust(:p0, :p1, :p0); end;");
        assert_eq!(block.binds.len(), 2);
    }

    #[test]
    fn lists_are_written_out_in_steps() {
        let skus = |count: usize| [("skus", Value::List(vec!["A".into(); count]))];
        let text = |count| prepared("SELECT {columns} FROM t WHERE s = ANY(:skus)", &skus(count)).unwrap();
        assert_eq!(text(3).text, "SELECT t.A FROM t WHERE s IN (:1, :2, :3, :4)");
        assert_eq!(text(0).text, "SELECT t.A FROM t WHERE s IN (:1)");
        assert_eq!(text(1_000).binds.len(), 1_000);
        let too_many = prepared("SELECT 1 FROM t WHERE s IN (:skus)", &skus(1_001)).unwrap_err();
        assert!(matches!(too_many, StoreError::Refused { .. }));
        assert!(matches!(prepared("SELECT :skus FROM t", &skus(1)).unwrap_err(), StoreError::Misfit { .. }));
    }

    #[test]
    fn a_point_in_time_must_say_how_it_meets_local_time() {
        let since = [("since", Value::Instant(model::Instant::parse("2026-01-01T00:00:00Z").unwrap()))];
        let cast = "SELECT 1 FROM t WHERE d > CAST(:since AS TIMESTAMP WITH TIME ZONE) AT TIME ZONE 'Europe/Berlin'";
        assert_eq!(prepared(cast, &since).unwrap().binds.len(), 1);
        assert!(matches!(prepared("SELECT 1 FROM t WHERE d > :since", &since), Err(StoreError::Misfit { .. })));
    }

    #[test]
    fn what_oracle_cannot_take_is_said() {
        for (value, told) in [(Value::Bool(true), "a flag"), (Value::List(vec![Value::List(vec![])]), "list")] {
            let error = prepared("SELECT 1 FROM t WHERE a IN (:x)", &[("x", value)]).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        let missing = prepared("SELECT :x FROM DUAL", &[]).unwrap_err();
        assert!(missing.to_string().contains(":x was given no value"));
    }
}
