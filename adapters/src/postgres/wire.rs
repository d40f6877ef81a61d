//! Values as PostgreSQL keeps them, on the wire in binary form.
//!
//! A [`Stored`] knows its own type and is only ever sent to a parameter of that type: our own texts
//! cast every parameter, and [`super::bind`] converts for the types that the server inferred.

use std::error::Error;
use std::fmt;

use bytes::BytesMut;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use model::{Side, StoreError};
use postgres_types::{FromSql, IsNull, Kind as TypeKind, ToSql, Type, to_sql_checked};
use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;
use uuid::Uuid;

use super::numeric;
pub(super) use crate::stored::Stored;

type Fault = Box<dyn Error + Sync + Send>;

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(ty)
        || matches!(ty.kind(), TypeKind::Enum(_))
}

/// One column of a row, whatever the server has sent.
///
/// # Errors
/// `Misfit` where the row has no such column, or it holds something else.
pub(super) fn get<'r, T: FromSql<'r>>(
    side: Side,
    row: &'r Row,
    column: impl RowIndex + fmt::Display,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| StoreError::Misfit {
        side,
        problem: "the server answered with a row of another form than was asked for".into(),
        source: Some(error.into()),
    })
}

/// The same for a number that cannot be negative, or is kept as one that is.
///
/// # Errors
/// As [`get`], and where it does not fit.
pub(super) fn number<T: TryFrom<i64>>(
    side: Side,
    row: &Row,
    column: impl RowIndex + fmt::Display,
) -> Result<T, StoreError> {
    let number: i64 = get(side, row, column)?;
    T::try_from(number).map_err(|_| StoreError::Misfit {
        side,
        problem: "the server answered with a number that lies beyond what is kept there".into(),
        source: None,
    })
}

/// Whether a column of this type is read at all.
pub(super) fn reads(ty: &Type) -> bool {
    if let TypeKind::Domain(base) = ty.kind() {
        return reads(base);
    }
    let plain = [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::NUMERIC, Type::UUID];
    let times = [Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::DATE];
    is_text(ty) || plain.contains(ty) || times.contains(ty)
}

impl<'a> FromSql<'a> for Stored {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        // A domain is stored like the type under it.
        if let TypeKind::Domain(base) = ty.kind() {
            return Self::from_sql(base, raw);
        }
        Ok(match *ty {
            Type::BOOL => Self::Bool(bool::from_sql(ty, raw)?),
            Type::INT2 => Self::Big(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Big(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Big(i64::from_sql(ty, raw)?),
            Type::NUMERIC => Self::Numeric(numeric::decode(raw)?),
            Type::TIMESTAMP => Self::Timestamp(NaiveDateTime::from_sql(ty, raw)?),
            Type::TIMESTAMPTZ => Self::TimestampTz(DateTime::from_sql(ty, raw)?),
            Type::DATE => Self::Date(NaiveDate::from_sql(ty, raw)?),
            Type::UUID => Self::Uuid(Uuid::from_sql(ty, raw)?),
            ref text if is_text(text) => Self::Text(std::str::from_utf8(raw)?.to_owned()),
            ref other => return Err(format!("columns of type {other} are not supported").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        // Says in `from_sql` what it does not take, by name.
        true
    }
}

impl ToSql for Stored {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(flag) => flag.to_sql(ty, out),
            Self::Small(number) => number.to_sql(ty, out),
            Self::Integer(number) => number.to_sql(ty, out),
            Self::Big(number) => number.to_sql(ty, out),
            Self::Numeric(decimal) => {
                numeric::encode(decimal, out)?;
                Ok(IsNull::No)
            }
            Self::Text(text) => text.to_sql(ty, out),
            Self::Timestamp(time) => time.to_sql(ty, out),
            Self::TimestampTz(time) => time.to_sql(ty, out),
            Self::Date(day) => day.to_sql(ty, out),
            Self::Uuid(uuid) => uuid.to_sql(ty, out),
            Self::List(items) => items.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
