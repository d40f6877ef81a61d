//! Values as PostgreSQL keeps them, on the wire in binary form.
//!
//! A [`Stored`] knows its own type and is only ever sent to a parameter of that type: our own texts
//! cast every parameter, and [`super::bind`] converts for the types that the server inferred.

use std::error::Error;

use bytes::BytesMut;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use postgres_types::{FromSql, IsNull, Kind as TypeKind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::numeric;
pub(super) use crate::stored::Stored;

type Fault = Box<dyn Error + Sync + Send>;

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(ty)
        || matches!(ty.kind(), TypeKind::Enum(_))
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
